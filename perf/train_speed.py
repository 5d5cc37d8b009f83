"""Tokens per CPU-second of training: a plain transformers loop, TRL's SFTTrainer, and sftlab, on the same work.

    python perf/train_speed.py --quick
    python perf/train_speed.py --save

Every side trains the same random model on the same examples in the same order, one thread, in one process, in turn.
Imports and the making of models are not counted. A first pass of each side (with compilation, where there is any) is
shown as warm-up: CPU-seconds above a later pass. Later passes are measured from the end of their first step to the end
of their last. Losses of every step must agree before any ratio is shown. Tokens are those of the examples,
never padding.
"""

import argparse
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

os.environ.update({"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"})

import numpy as np
import torch
from clock import Span, interleaved, median_span
from llama_shapes import SHAPES
from matrix_rate import matrix_rates
from record import Result, machine, markdown_table, say
from train_loops import Pass, Work, make_work, plain_loop, sftlab_loop, trl_loop

BOUNDS = {"transformers bf16": 2e-2, "TRL": 1e-4, "sftlab float32": 1e-4, "sftlab bf16": 2e-2}
"""Largest relative difference of a step's loss from the plain loop's. bfloat16 keeps eight bits: 0.4 % a rounding."""
PLAIN = "transformers"


def main() -> None:
    """Measure what the command line asks for."""
    asked = _arguments()
    _be_quiet()
    torch.set_num_threads(1)
    at_start = machine()
    with tempfile.TemporaryDirectory(prefix="sftlab-train-speed-") as folder:
        tempfile.tempdir = folder
        cells = all_cells(asked)
    settings = {name: getattr(asked, name) for name in ("steps", "batch_size", "repeats")}
    settings |= {f"bound on losses of {side}": bound for side, bound in BOUNDS.items()}
    values = {"cells": [cell.values for cell in cells]}
    Result("train-speed", settings, values, table(cells)).finish(at_start, save=asked.save)


def all_cells(asked: argparse.Namespace) -> "list[Cell]":
    """Every size, method and length that was asked for, one after the other."""
    cells = []
    for shape in asked.sizes:
        for method in asked.methods:
            for longest in asked.lengths:
                say(f"{shape} {method} T <= {longest}")
                work = make_work(shape, longest=longest, method=method, steps=asked.steps, batch_size=asked.batch_size)
                cells.append(measure(work, repeats=asked.repeats, autocast=asked.autocast))
                say(f"  {cells[-1].line}")
    return cells


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Tokens per CPU-second of training, three ways.")
    parser.add_argument("--sizes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--lengths", nargs="+", type=int, default=[64, 128, 256, 512])
    parser.add_argument("--methods", nargs="+", choices=("full", "lora"), default=["full", "lora"])
    parser.add_argument("--steps", type=int, default=4, help="optimizer steps a pass; all but the first are measured")
    parser.add_argument("--batch-size", type=int, default=16, help="examples a step")
    parser.add_argument("--repeats", type=int, default=3, help="measured passes a side; the median counts")
    parser.add_argument("--autocast", action="store_true", help="also the plain loop under bfloat16 autocast")
    parser.add_argument("--quick", action="store_true", help="one size and length only: 1M, T = 64")
    parser.add_argument("--save", action="store_true", help="keep the result under perf/results/")
    asked = parser.parse_args()
    if asked.steps < 2:
        parser.error(f"--steps is at least 2, of which the first is not measured: got {asked.steps}")
    if asked.quick:
        asked.sizes, asked.lengths = ["1M"], [64]
    return asked


def _be_quiet() -> None:
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    import datasets

    datasets.disable_progress_bars()


@dataclass(frozen=True)
class Side:
    """One way of training, measured: the steady span of a pass, warm-up apart, and how far its losses are off."""

    steady: Span
    warm_up: Span
    tokens: int
    flops: float
    off: float
    how: str

    @property
    def tokens_per_cpu_second(self) -> float:
        """Tokens of the examples per CPU-second."""
        return self.tokens / self.steady.cpu

    @property
    def flops_per_cpu_second(self) -> float:
        """Useful floating-point operations per CPU-second."""
        return self.flops / self.steady.cpu


@dataclass(frozen=True)
class Cell:
    """One size, method and length, by side; with the matrix rates of this machine measured just before."""

    work: Work
    sides: Mapping[str, Side]
    rates: Mapping[str, Mapping[str, float]]

    @property
    def ratios(self) -> dict[str, float]:
        """Tokens per CPU-second of each side over the plain loop's."""
        plain = self.sides[PLAIN].tokens_per_cpu_second
        return {name: side.tokens_per_cpu_second / plain for name, side in self.sides.items()}

    def share(self, name: str, products: str = "512") -> float:
        """Share of the rate of products of this shape, in the type that a side computes in."""
        dtype = "bfloat16" if name.endswith("bf16") else "float32"
        return self.sides[name].flops_per_cpu_second / self.rates[products][dtype]

    @property
    def line(self) -> str:
        """All sides in a line."""
        return "; ".join(
            f"{name} {side.tokens_per_cpu_second:,.0f} tokens/CPU-s ({self.ratios[name]:.2f}x)"
            for name, side in self.sides.items()
        )

    @property
    def values(self) -> dict[str, object]:
        """All numbers."""
        sides = {
            name: {
                "tokens_per_cpu_second": side.tokens_per_cpu_second,
                "tokens_per_wall_second": side.tokens / side.steady.wall,
                "ratio": self.ratios[name],
                "cpu_seconds": side.steady.cpu,
                "wall_seconds": side.steady.wall,
                "warm_up_cpu_seconds": side.warm_up.cpu,
                "warm_up_wall_seconds": side.warm_up.wall,
                "flops_per_cpu_second": side.flops_per_cpu_second,
                "share_of_matrix_rate": self.share(name),
                "share_of_model_shaped_matrix_rate": self.share(name, "mlp"),
                "largest_loss_difference": side.off,
                "how": side.how,
            }
            for name, side in self.sides.items()
        }
        return {
            "shape": self.work.shape,
            "weights": SHAPES[self.work.shape].num_weights,
            "method": self.work.method,
            "longest": self.work.positions,
            "tokens": self.sides[PLAIN].tokens,
            "labelled_share": float(self.work.encoded.learned_tokens.sum() / self.work.encoded.lengths.sum()),
            "matrix_flops_per_cpu_second": {name: dict(found) for name, found in self.rates.items()},
            "sides": sides,
        }


def measure(work: Work, *, repeats: int, autocast: bool) -> Cell:
    """All sides on this work: first a pass that warms up, then the measured ones in turn. Stops where losses differ."""
    shape = SHAPES[work.shape]
    rates = matrix_rates({"512": (512, 512, 512), "mlp": (2048, shape.hidden, shape.inner)})
    runs: dict[str, Callable[[], Pass]] = {
        PLAIN: plain_loop(work, "float32"),
        **({"transformers bf16": plain_loop(work, "bfloat16")} if autocast else {}),
        "TRL": trl_loop(work),
        "sftlab float32": sftlab_loop(work, "float32"),
        "sftlab bf16": sftlab_loop(work, "bfloat16"),
    }
    first = {name: passes[0] for name, passes in interleaved(runs, repeats=1).items()}
    later = interleaved(runs, repeats=repeats)
    off = {name: largest_difference(first[PLAIN], [first[name], *later[name]]) for name in runs}
    for name, bound in BOUNDS.items():
        if name in off and not off[name] <= bound:
            raise SystemExit(
                f"{name} on {work.shape} {work.method} T <= {work.positions}: a loss is off by {off[name]:.2g} "
                f"relative to the plain loop, more than {bound:g}: no ratio is shown\n"
                f"plain: {first[PLAIN].losses}\n{name}: {first[name].losses}"
            )
    lengths = work.lengths(after=1)
    tokens, flops = int(lengths.sum()), useful_flops(work, lengths)
    sides = {}
    for name in runs:
        whole = median_span(one.whole for one in later[name])
        warm_up = Span(first[name].whole.wall - whole.wall, first[name].whole.cpu - whole.cpu)
        steady = median_span(one.steady for one in later[name])
        sides[name] = Side(steady, warm_up, tokens, flops, off[name], first[name].how)
    return Cell(work, sides, rates)


def largest_difference(expected: Pass, found: list[Pass]) -> float:
    """Largest relative difference of any step's loss in any pass; infinite where there are more or fewer steps."""
    if any(len(one.losses) != len(expected.losses) for one in found):
        return float("inf")
    losses, reference = np.array([one.losses for one in found]), np.array(expected.losses)
    difference = np.abs(losses / reference - 1)
    return float(difference.max()) if np.isfinite(difference).all() else float("inf")


def useful_flops(work: Work, lengths: np.ndarray) -> float:
    """What training on these tokens needs: 6 a weight and token, and causal attention; LoRA no gradients of the base.

    The forward pass takes 2 a weight, the gradients of activations 2 and those of weights 2, which a frozen weight
    does not need (the adapters' own products, a few per cent, are left out). Attention takes 2 h t^2 a layer and
    sequence forward (half of the 4 h t^2 of the full square) and twice that backward. The language-model head is
    counted at every position, labelled or not, for all sides alike.
    """
    shape = SHAPES[work.shape]
    tokens = float(lengths.sum())
    weights = shape.num_weights * (6 if work.method == "full" else 4)
    attention = 6 * shape.layers * shape.hidden * float(np.square(lengths.astype(float)).sum())
    return weights * tokens + attention


def mlp_rates(cells: list[Cell]) -> dict[str, Mapping[str, float]]:
    """Rates of products as in each size's feed-forward layers (2048 tokens)."""
    return {f"2048 tokens through the {cell.work.shape} feed-forward layer": cell.rates["mlp"] for cell in cells}


def table(cells: list[Cell]) -> str:
    """Tokens per CPU-second, ratio and share of the matrix rate of every side."""
    names = list(cells[0].sides)
    head = ["weights", "method", "T", f"{PLAIN} tokens/CPU-s"]
    head += [f"{name} x" for name in names[1:]]
    head += [f"{name} % of matrix rate" for name in names]
    head += [f"{name} warm-up CPU-s" for name in names if name.startswith("sftlab")]
    rows = [
        [
            cell.work.shape,
            cell.work.method,
            cell.work.positions,
            cell.sides[PLAIN].tokens_per_cpu_second,
            *(cell.ratios[name] for name in names[1:]),
            *(100 * cell.share(name) for name in names),
            *(cell.sides[name].warm_up.cpu for name in names if name.startswith("sftlab")),
        ]
        for cell in cells
    ]
    rates = "; ".join(
        f"{name} float32 {found['float32'] / 1e9:,.0f}, bfloat16 {found['bfloat16'] / 1e9:,.0f}"
        for name, found in {"512 x 512": cells[-1].rates["512"], **mlp_rates(cells)}.items()
    )
    note = (
        f"Matrix rates of one thread in GFLOP per CPU-second: {rates}. The share is that of useful operations in the "
        "rate of 512 x 512 products of the type that a side computes in. Lengths are uniform from T / 4 to T, about "
        "half of the tokens are labelled."
    )
    return f"{markdown_table(head, rows)}\n\n{note}"


if __name__ == "__main__":
    main()
