"""What `sftlab plan` says of memory."""

from typing import TYPE_CHECKING

from sftlab.cli.printing import size

if TYPE_CHECKING:
    from sftlab.plan.devices import Device
    from sftlab.plan.memory import LargestRun


def memory_lines(run: "LargestRun | None", devices: "tuple[Device, ...]") -> list[str]:
    """What the largest run holds beside what a device here has; a warning where it does not fit, with what would."""
    from sftlab.plan.memory import room_on

    if run is None:
        return []
    room = room_on(devices)
    lines = [
        f"memory: the largest run ({run.spec.run}) holds about {size(run.need.device_bytes)} of weights, gradients and "
        f"moments on its device, activations apart, and {size(run.need.host_bytes)} in the host's memory; a "
        f"{'GPU' if devices[0].kind == 'cuda' else 'worker'} here has {size(room)}"
    ]
    if run.need.on(devices[0]) > room:
        changes = [f"`{words}` ({size(needed)})" for words, needed in run.fitting_changes(devices).items()]
        otherwise = f"it would with {' or '.join(changes)}" if changes else "take a smaller base or a larger device"
        lines.append(f"warning: that does not fit: {otherwise}")
    return lines
