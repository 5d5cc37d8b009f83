"""How many multiplications and additions a second one thread of this machine does in matrix products."""

import statistics
import time
from collections.abc import Mapping

import torch

SECONDS = 0.25
REPEATS = 5


def matrix_rates(shapes: Mapping[str, tuple[int, int, int]]) -> dict[str, dict[str, float]]:
    """Floating-point operations per CPU-second of (m x k) @ (k x n) by name and type, counted as 2 m k n.

    The median of five spells of a quarter second; spells of all shapes and types take turns.
    """
    pairs = {
        (name, str(dtype).removeprefix("torch.")): (torch.randn(m, k).to(dtype), torch.randn(k, n).to(dtype))
        for name, (m, k, n) in shapes.items()
        for dtype in (torch.float32, torch.bfloat16)
    }
    found: dict[tuple[str, str], list[float]] = {key: [] for key in pairs}
    with torch.inference_mode():
        for _ in range(REPEATS):
            for key, (left, right) in pairs.items():
                found[key].append(_rate(left, right))
    rates: dict[str, dict[str, float]] = {name: {} for name in shapes}
    for (name, dtype), values in found.items():
        rates[name][dtype] = statistics.median(values)
    return rates


def _rate(left: torch.Tensor, right: torch.Tensor) -> float:
    out = left @ right
    start, count = time.process_time(), 0
    while time.process_time() - start < SECONDS:
        torch.matmul(left, right, out=out)
        count += 1
    return 2 * left.shape[0] * left.shape[1] * right.shape[1] * count / (time.process_time() - start)
