"""`sftlab diff` on a checkpoint made for the purpose, against plainly reading the same files: time and peak memory.

Both sides run in processes of their own on files that are in the page cache (the second reading of each is timed), so
that the disk is nobody's advantage. The change of one tensor is checked against float64.
"""

import argparse
import json
import math
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from record import Result, machine, markdown_table, say

BLOCK = 1 << 24


def write_pair(folder: Path, *, hidden: int, layers: int, vocabulary: int, dtype: str) -> tuple[Path, Path, float]:
    """Two checkpoints of a Llama's shape in shards of a layer; the true relative change of the first tensor."""
    import torch
    from safetensors.torch import save_file

    kind = getattr(torch, dtype)
    generator = torch.Generator().manual_seed(0)
    shapes = {"model.embed_tokens.weight": (vocabulary, hidden)}
    for layer in range(layers):
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            shapes[f"model.layers.{layer}.self_attn.{name}.weight"] = (hidden, hidden)
        for name in ("gate_proj", "up_proj"):
            shapes[f"model.layers.{layer}.mlp.{name}.weight"] = (4 * hidden, hidden)
        shapes[f"model.layers.{layer}.mlp.down_proj.weight"] = (hidden, 4 * hidden)
    sides = folder / "base", folder / "tuned"
    index: dict[str, str] = {}
    truth = 0.0
    for side in sides:
        side.mkdir()
    for number, (name, shape) in enumerate(shapes.items()):
        base = torch.randn(shape, generator=generator).to(kind)
        tuned = (base.float() + 0.02 * torch.randn(shape, generator=generator)).to(kind)
        if number == 0:
            change = (tuned.double() - base.double()).square().sum() / base.double().square().sum()
            truth = math.sqrt(float(change))
        index[name] = f"model-{number:05d}.safetensors"
        for side, tensor in zip(sides, (base, tuned), strict=True):
            save_file({name: tensor}, side / index[name])
    for side in sides:
        (side / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    return (*sides, truth)


def read_plainly(*sides: Path) -> None:
    """Every byte of both checkpoints, once, into a buffer."""
    buffer = bytearray(BLOCK)
    for side in sides:
        for path in sorted(side.glob("*.safetensors")):
            with path.open("rb", buffering=0) as file:
                while file.readinto(buffer):
                    pass


def compare(base: Path, tuned: Path) -> float:
    """`diff_checkpoints`; the change of its first tensor."""
    from sftlab.measure.checkpoint_diff import diff_checkpoints

    return float(diff_checkpoints(base, tuned).tensors["relative_change"][0])


def timed_here(side: str, base: Path, tuned: Path) -> None:
    """Run one side twice in this process and print the second time, the memory it took beyond the start, the result."""
    sides: dict[str, Callable[[], float | None]] = {
        "read": lambda: read_plainly(base, tuned),
        "diff": lambda: compare(base, tuned),
    }
    import torch

    torch.set_num_threads(1)
    first = sides[side]()
    start, cpu = time.perf_counter(), time.process_time()
    sides[side]()
    spans = {"wall": time.perf_counter() - start, "cpu": time.process_time() - cpu}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    say(json.dumps({**spans, "peak_bytes": peak, "anonymous_bytes": _anonymous_bytes(), "found": first}))


def _anonymous_bytes() -> int:
    """Memory of this process that is no mapped file: what a machine must really have."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def main() -> None:
    """Write the pair, time both sides in turn, show and keep the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smallest", action="store_true", help="a few megabytes, to see that it runs")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float32"))
    parser.add_argument("--save", action="store_true", help="keep the result under results/")
    parser.add_argument("--side", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        timed_here(given.side[0], Path(given.side[1]), Path(given.side[2]))
        return
    at_start = machine()
    size = {"hidden": 128, "layers": 4, "vocabulary": 1000} if given.smallest else {}
    shape = {"hidden": 2048, "layers": 16, "vocabulary": 64_000, **size}
    with tempfile.TemporaryDirectory() as folder:
        base, tuned, truth = write_pair(Path(folder), dtype=given.dtype, **shape)
        num_bytes = sum(path.stat().st_size for path in base.glob("*.safetensors"))
        say(f"two checkpoints of {num_bytes / 1e9:.2f} GB")
        found: dict[str, list[dict[str, float]]] = {"read": [], "diff": []}
        for _ in range(given.repeats):
            for side, times in found.items():
                command = [sys.executable, __file__, "--side", side, str(base), str(tuned)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                times.append(json.loads(done.stdout.splitlines()[-1]))
    assert all(math.isclose(one["found"], truth, rel_tol=1e-6) for one in found["diff"]), "not the true change"
    median = {
        side: {
            name: statistics.median(one[name] for one in times)
            for name in ("wall", "cpu", "peak_bytes", "anonymous_bytes")
        }
        for side, times in found.items()
    }
    ratio = median["diff"]["wall"] / median["read"]["wall"]
    rows = [
        (side, one["wall"], one["cpu"], 2 * num_bytes / one["wall"] / 1e9, one["anonymous_bytes"] / 1e6)
        for side, one in median.items()
    ]
    rows.append(("diff over read", ratio, median["diff"]["cpu"] / median["read"]["cpu"], None, None))
    table = markdown_table(("side", "seconds", "CPU-seconds", "GB/s", "memory, MB (without mapped files)"), rows)
    settings = {**shape, "dtype": given.dtype, "bytes_each": num_bytes, "repeats": given.repeats, "threads": 1}
    Result("diff-speed", settings, {"sides": found, "ratio": ratio}, table).finish(at_start, save=given.save)


if __name__ == "__main__":
    main()
