"""Where the best learning rate or batch size may lie outside what was tried."""

from collections.abc import Iterator

import polars as pl

from sftlab.analyse.effects import Finding
from sftlab.analyse.wording import listed

TRIED = {"learning_rate": "learning rate", "batch_size": "batch size"}
LENGTHS = {"samples": "samples", "epochs": "epochs", "fixed_steps": "steps", "schedule": "schedule"}


def edge_findings(runs: pl.DataFrame) -> Iterator[Finding]:
    """A warning for each method and dataset whose chosen learning rate or batch size is the first or last of its list.

    `runs` is the table of that name. A list of one is no list; what was chosen between two always lies at an edge.
    """
    for column, noun in TRIED.items():
        candidates = runs.filter(pl.col("chosen").is_not_null())
        ends = candidates.group_by("method").agg(
            pl.col(column).min().alias("least"), pl.col(column).max().alias("most")
        )
        chosen = candidates.filter("chosen").join(ends.filter(pl.col("least") < pl.col("most")), on="method")
        at_edge = chosen.filter((pl.col(column) == pl.col("least")) | (pl.col(column) == pl.col("most")))
        several = runs["base"].n_unique() > 1
        varied = [name for name in LENGTHS if runs[name].n_unique() > 1]
        parts = at_edge.partition_by("method", "dataset", column, *varied, as_dict=True, maintain_order=True)
        for (method, dataset, value, *lengths), rows in parts.items():
            bases = rows["base"].unique(maintain_order=True).to_list()
            about = [f"{LENGTHS[name]} {length}" for name, length in zip(varied, lengths, strict=True)]
            about += [listed(bases)] if several else []
            of = f" ({', '.join(about)})" if about else ""
            yield Finding(
                "data",
                f"The best {noun} of {method} on {dataset}{of} lies at the edge {_number(value)} of its list: "
                "widen it.",
                subject="edge",
            )


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
