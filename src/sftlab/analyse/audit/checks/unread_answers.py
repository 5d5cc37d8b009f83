"""Generated answers that could not be read, and gains that may be nothing else."""

from collections.abc import Iterator

import polars as pl

from sftlab.analyse.audit.finding import AuditFinding, Tables
from sftlab.analyse.wording import counted

MANY = 0.1
"""Share of unread answers from which a score is suspect, and the change of that share from which a gain is."""


def unread_answers(tables: Tables) -> Iterator[AuditFinding]:
    """Benchmarks on which some model's answers were unread in more than a tenth of the items."""
    scores = tables["scores"].filter(
        pl.col("unparsed").is_not_null() & (pl.col("n") > 0) & pl.col("main").is_not_null()
    )
    shares = scores.with_columns(unread=pl.col("unparsed") / pl.col("n"))
    of_base = shares.filter(pl.col("dataset") == "none").select(
        "base", "benchmark", "scorer", "metric", pl.col("unread").alias("base_unread")
    )
    for (benchmark,), rows in shares.join(
        of_base, on=["base", "benchmark", "scorer", "metric"], how="left", maintain_order="left"
    ).group_by("benchmark", maintain_order=True):
        many = rows.filter(pl.col("unread") > MANY)
        changed = rows.filter((pl.col("base_unread") - pl.col("unread")).abs() > MANY)
        if many.is_empty():
            continue
        text = (
            f"on {benchmark}, {counted(many.height, 'score')} of {rows.height} left more than a tenth of answers unread"
        )
        if not changed.is_empty():
            text += f"; in {changed.height} of them the share differs from the base's by more than a tenth"
        yield AuditFinding(
            check="unread_answers",
            severity="warning",
            text=text,
            why="a gain in a generative score is partly a gain in being readable, and the two cannot be told apart "
            "from the score alone",
            advice="look at the answers, and at the likelihood score of the same benchmark beside it",
            rows=pl.concat([many, changed])
            .unique(maintain_order=True)
            .select(
                "checkpoint",
                "base",
                "dataset",
                "benchmark",
                "scorer",
                "metric",
                "value",
                "n",
                "unparsed",
                "base_unread",
            ),
        )
