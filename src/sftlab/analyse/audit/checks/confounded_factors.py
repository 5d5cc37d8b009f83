"""Factors of the design that cannot be told apart, and designs without repetition."""

from collections.abc import Iterator
from itertools import permutations

import polars as pl

from sftlab.analyse.audit.finding import AuditFinding, Tables
from sftlab.analyse.wording import counted, listed

FACTORS = ("method", "schedule", "samples", "epochs", "batch_size", "precision", "reduction", "decay")
RECIPE = ("base", "dataset", "samples", "method", "learning_rate", "batch_size", "schedule", "epochs", "fixed_steps")


def confounded_factors(tables: Tables) -> Iterator[AuditFinding]:
    """Levels of one factor that occur with a single level of another, though others of its levels are in the study.

    What every method sets for itself (its batch size, say) is part of the method and no factor. Of two levels that only
    occur together one finding tells.
    """
    runs = tables["runs"]
    names = [name for name in FACTORS if name in runs.columns and runs[name].drop_nulls().n_unique() > 1]
    names = [name for name in names if name == "method" or not _set_by_method(runs, name)]
    told: set[frozenset[tuple[str, object]]] = set()
    for factor, other in permutations(names, 2):
        for (level,), rows in runs.drop_nulls([factor, other]).group_by(factor, maintain_order=True):
            rest = set(runs.filter(pl.col(factor) != level)[other].drop_nulls()) - {rows[other][0]}
            pair = frozenset([(factor, level), (other, rows[other][0])])
            if rows[other].n_unique() > 1 or not rest or pair in told:
                continue
            told.add(pair)
            yield AuditFinding(
                check="confounded_factors",
                severity="warning",
                text=f"{factor} {level} was only ever run with {other} {rows[other][0]} "
                f"({counted(rows.height, 'run')}), while other runs had {other} {listed(sorted(map(str, rest)))}",
                why=f"an effect of {factor} {level} cannot be told from one of {other}, but where both are held equal",
                advice=f"compare {factor} {level} within {other} {rows[other][0]} only, or run what is missing",
                rows=rows.select("run", "base", "dataset", factor, other),
            )


def _set_by_method(runs: pl.DataFrame, name: str) -> bool:
    levels = runs.drop_nulls(["method", name]).group_by("method").agg(pl.col(name).n_unique())[name]
    return bool((levels == 1).all())


def missing_seeds(tables: Tables) -> Iterator[AuditFinding]:
    """No recipe that was run with more than one seed."""
    runs = tables["runs"]
    if runs.is_empty():
        return
    repeated = runs.group_by([name for name in RECIPE if name in runs.columns]).len().filter(pl.col("len") > 1)
    if repeated.is_empty():
        yield AuditFinding(
            check="missing_seeds",
            severity="note",
            text=f"none of {counted(runs.height, 'run')} was repeated with another seed",
            why="how much a score changes when nothing but chance does is unknown: small differences between single "
            "models cannot be judged",
            advice="repeat some cells with other seeds",
            rows=runs.head(0).select("run"),
        )
