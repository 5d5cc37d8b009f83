"""Whether a study's tables and the peer's results are the same numbers."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

LOSS_BOUND = 1e-4
SCORE_BOUND = 1e-3
SHARE_OF_ITEMS = 0.03
"""How far a score that counts answers may be off: rounding turns a few near ties of a trained model."""
COUNTED = ("accuracy", "accuracy_per_byte", "exact_match")


@dataclass(frozen=True)
class Differences:
    """Largest relative differences of losses and continuous scores, and absolute ones of scores that count answers."""

    losses: float
    validation: float
    bits_per_byte: float
    weight_change: float
    perplexity: float
    counted: float
    counted_scores: int
    counted_scores_off: int

    @property
    def sentence(self) -> str:
        """The differences in words."""
        return (
            f"losses of all steps within {self.losses:.1e} relative, validation losses {self.validation:.1e}, "
            f"bits per byte {self.bits_per_byte:.1e}, weight change {self.weight_change:.1e}, "
            f"perplexity {self.perplexity:.1e}; {self.counted_scores - self.counted_scores_off} of "
            f"{self.counted_scores} accuracies and exact matches equal, the others within {self.counted:.2g}"
        )

    def require_equal(self) -> None:
        """End the program where any is above its bound."""
        bounds = {"losses": LOSS_BOUND, "validation": LOSS_BOUND, "perplexity": LOSS_BOUND}
        bounds |= {"bits_per_byte": SCORE_BOUND, "weight_change": SCORE_BOUND, "counted": SHARE_OF_ITEMS}
        off = {name: bound for name, bound in bounds.items() if not getattr(self, name) <= bound}
        if off:
            raise SystemExit(f"the two sides differ by more than {off}: no ratio is shown ({self.sentence})")


def differences(study: Path, store: Path, peer: Mapping[str, Any]) -> Differences:
    """Compare every run and base that the peer did."""
    from sftlab.analyse.tables import build_tables
    from sftlab.plan.opening import open_study

    opened = open_study(study, store)
    tables = build_tables(opened.resolved.cells, opened.store)
    pairs: dict[str, list[tuple[float, float]]] = {
        name: [] for name in ("losses", "validation", "bits_per_byte", "weight_change", "perplexity", "counted")
    }
    models = {base.base.model: base.base.name for base in opened.resolved.cells.bases}
    for base in peer["bases"]:
        of_base = tables["scores"].filter((pl.col("base") == models[base["base"]]) & (pl.col("dataset") == "none"))
        _pair_scores(of_base, base["scores"], pairs)
    for run in peer["runs"]:
        _pair_run(tables, run, pairs)
    continuous = {name: _largest_ratio(found) for name, found in pairs.items() if name != "counted"}
    off = [abs(one - other) for one, other in pairs["counted"]]
    return Differences(
        **continuous, counted=max(off), counted_scores=len(off), counted_scores_off=sum(value > 1e-9 for value in off)
    )


def _pair_run(
    tables: Mapping[str, pl.DataFrame], run: Mapping[str, Any], pairs: dict[str, list[tuple[float, float]]]
) -> None:
    of_run = {
        name: tables[name].filter(pl.col("run") == run["run"]) for name in ("runs", "losses", "validation", "layers")
    }
    pairs["losses"] += zip(of_run["losses"].sort("step")["loss"].to_list(), run["losses"], strict=True)
    after = of_run["validation"].filter(pl.col("epoch") > 0).sort("epoch")["loss"].to_list()
    pairs["validation"] += zip(after, run["validation"], strict=True)
    last = of_run["layers"].filter(pl.col("epoch") == pl.col("epoch").max())
    whole = last.filter(pl.col("layer").is_null() & (pl.col("part") == "all"))
    pairs["weight_change"].append((float(whole["relative_change"].item()), run["weight_change"]))
    about = of_run["runs"].row(0, named=True)
    data = tables["data"].filter(
        (pl.col("base") == about["base"])
        & (pl.col("dataset") == about["dataset"])
        & (pl.col("seed") == about["seed"])
        & (pl.col("property") == "response_perplexity")
    )
    pairs["perplexity"].append((float(data["value"].item()), run["perplexity"]))
    _pair_scores(tables["scores"].filter(pl.col("run") == run["run"]), run["scores"], pairs)


def _pair_scores(ours: pl.DataFrame, theirs: Mapping[str, float], pairs: dict[str, list[tuple[float, float]]]) -> None:
    for name, value in theirs.items():
        benchmark, metric = name.split(" ")
        found = ours.filter((pl.col("benchmark") == benchmark) & (pl.col("metric") == metric))["value"].item()
        pairs["counted" if metric in COUNTED else "bits_per_byte"].append((float(found), value))


def _largest_ratio(pairs: Iterable[tuple[float, float]]) -> float:
    off = [abs(one / other - 1) for one, other in pairs]
    return max(off) if off and all(map(math.isfinite, off)) else math.inf
