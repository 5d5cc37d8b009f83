"""Which model of a study somebody means: a base, a run, or one checkpoint of it."""

from dataclasses import dataclass

import polars as pl

from sftlab.errors import StudyError
from sftlab.study.spelling import nearest

NAMED_AT_MOST = 4


@dataclass(frozen=True)
class Model:
    """One set of weights: a base (`run` None, epoch 0) or a run after an epoch.

    `checkpoint` is the label under which tables name it, None where no table does yet.
    """

    name: str
    base: str
    run: str | None
    epoch: int
    checkpoint: str | None

    def rows(self, scores: pl.DataFrame) -> pl.DataFrame:
        """Its rows of the table `scores`."""
        own = pl.col("run").is_null() if self.run is None else pl.col("run") == self.run
        return scores.filter(own & (pl.col("base") == self.base) & (pl.col("epoch") == self.epoch))


def models(scores: pl.DataFrame, runs: pl.DataFrame) -> list[Model]:
    """All models that the tables name, bases first; each run after every epoch that is scored, the last one first."""
    known = scores.select("base", "run", "epoch", "checkpoint").unique(maintain_order=True)
    found = [
        Model(row["base"], row["base"], None, 0, row["checkpoint"])
        for row in known.filter(pl.col("run").is_null()).iter_rows(named=True)
    ]
    met = {model.base for model in found}
    bases = runs["base"].unique(maintain_order=True)
    found += [Model(base, base, None, 0, None) for base in bases if base not in met]
    of_runs = known.drop_nulls("run").sort("epoch", descending=True, maintain_order=True)
    found += [
        Model(row["run"], row["base"], row["run"], row["epoch"], row["checkpoint"])
        for row in of_runs.iter_rows(named=True)
    ]
    met = {model.run for model in found if model.run is not None}
    unscored = runs.filter(~pl.col("run").is_in(list(met)))
    return found + [
        Model(row["run"], row["base"], row["run"], row["scored_epoch"] or row["epochs"] or 1, None)
        for row in unscored.select("run", "base", "scored_epoch", "epochs").iter_rows(named=True)
    ]


def model_named(asked: str, known: list[Model]) -> Model:
    """The model of that name, run (after the last scored epoch) or checkpoint, or the only one that begins so.

    Raises StudyError where none or several are meant, with the nearest name.
    """
    for name in ("name", "checkpoint"):
        exact = [model for model in known if getattr(model, name) == asked]
        if exact:
            return exact[0]
    begun = [
        model
        for model in known
        if asked and any(name.startswith(asked) for name in (model.name, model.checkpoint or ""))
    ]
    if len({(model.base, model.run) for model in begun}) == 1:
        return begun[0]
    if begun:
        names = list(dict.fromkeys(model.name for model in begun))
        more = f" and {len(names) - NAMED_AT_MOST} more" if len(names) > NAMED_AT_MOST else ""
        raise StudyError(
            f"{asked!r} is how several models begin, and one is needed: {', '.join(names[:NAMED_AT_MOST])}{more}"
        )
    words = [model.name for model in known] + [model.checkpoint for model in known if model.checkpoint]
    hint = nearest(asked, dict.fromkeys(words)).partition(";")[0]
    raise StudyError(
        f"there is no run, checkpoint or base {asked!r}{hint}; `sftlab table STUDY runs` and `checkpoints` list what "
        "there is"
    )
