"""Models that training left as they were, and models without a base to compare with."""

from collections.abc import Iterator

import polars as pl

from sftlab.analyse.audit.finding import AuditFinding, Tables
from sftlab.analyse.wording import counted, listed


def untrained_models(tables: Tables) -> Iterator[AuditFinding]:
    """Checkpoints whose weights equal the base's."""
    layers = tables.get("layers")
    if layers is None or layers.is_empty():
        return
    whole = layers.filter(pl.col("layer").is_null() & (pl.col("part") == "all"))
    same = whole.filter(pl.col("change_norm") == 0.0)
    if not same.is_empty():
        yield AuditFinding(
            check="untrained_models",
            severity="error",
            text=f"the weights of {counted(same.height, 'checkpoint')} are those of the base",
            why="training changed nothing: the learning rate was 0, too small for the precision, or no step was taken",
            advice="look at the losses and the precision of these runs",
            rows=same.select("checkpoint", "run", "epoch", "change_norm"),
        )


def missing_bases(tables: Tables) -> Iterator[AuditFinding]:
    """Benchmarks on which a base itself was not scored: its models have no gain there."""
    scores = tables["scores"].filter(pl.col("value").is_not_null())
    tuned = scores.filter(pl.col("dataset") != "none").select("base", "benchmark", "scorer").unique(maintain_order=True)
    bases = scores.filter(pl.col("dataset") == "none").select("base", "benchmark", "scorer")
    missing = tuned.join(bases, on=["base", "benchmark", "scorer"], how="anti", maintain_order="left")
    if not missing.is_empty():
        names = missing["base"].unique(maintain_order=True).to_list()
        yield AuditFinding(
            check="missing_bases",
            severity="warning",
            text=f"{listed(names)} {'was' if len(names) == 1 else 'were'} not scored as a base on "
            f"{counted(missing['benchmark'].n_unique(), 'benchmark')} on which fine-tuned models were",
            why="a score without its base's is no gain",
            advice="score the base as well",
            rows=missing,
        )
