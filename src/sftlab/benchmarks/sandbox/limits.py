"""What one program may use."""

import resource
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds on one program: more than honest solutions need, and too little for a hostile one to harm anybody.

    `num_processes` counts threads too. `memory_bytes` is the address space of each process; `scratch_bytes` is all
    that can be written, and also the longest file.
    """

    cpu_seconds: int = 10
    wall_seconds: float = 30.0
    memory_bytes: int = 1 << 30
    num_processes: int = 8
    scratch_bytes: int = 16 << 20
    num_files: int = 256

    def hold_program(self, *, num_others: int) -> None:
        """Bind this process, and all it starts, for good; `num_others` are the processes of the same user outside."""
        self._hold(
            {
                resource.RLIMIT_CPU: self.cpu_seconds,
                resource.RLIMIT_AS: self.memory_bytes,
                resource.RLIMIT_NPROC: self.num_processes + num_others,
                resource.RLIMIT_FSIZE: self.scratch_bytes,
                resource.RLIMIT_NOFILE: 64,
                resource.RLIMIT_CORE: 0,
                resource.RLIMIT_MEMLOCK: 0,
                resource.RLIMIT_MSGQUEUE: 0,
            }
        )

    def hold_tests(self) -> None:
        """Bind the process that runs the tests: as much time and memory, and no file."""
        self._hold(
            {
                resource.RLIMIT_CPU: self.cpu_seconds,
                resource.RLIMIT_AS: self.memory_bytes,
                resource.RLIMIT_FSIZE: 0,
                resource.RLIMIT_CORE: 0,
            }
        )

    @staticmethod
    def _hold(bounds: dict[int, int]) -> None:
        for kind, bound in bounds.items():
            hard = resource.getrlimit(kind)[1]
            least = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
            resource.setrlimit(kind, (least, least))
