"""Of how high a rank weight changes are, by depth."""

import polars as pl

from sftlab.analyse.layers import layer_change_frame, profiles
from sftlab.analyse.properties import NO_MIXTURES, Sources


def stable_rank_by_depth(spectra: pl.DataFrame, runs: pl.DataFrame, sources: Sources = NO_MIXTURES) -> pl.DataFrame:
    """Mean stable rank of the changed matrices of each layer, by method, part and depth, with interval.

    `spectra` and `runs` are the tables. A layer's value is the mean over its matrices (of a part, and of `all`); means
    over cells, intervals and `near_peak` are those of `layer_change`, with `stable_rank` in place of the change.
    """
    known = spectra.filter(pl.col("stable_rank").is_not_null() & pl.col("depth").is_not_null())
    both = pl.concat([known, known.with_columns(part=pl.lit("all"))])
    of_layer = both.group_by("run", "epoch", "part", "layer", "depth", maintain_order=True).agg(
        pl.col("stable_rank").mean().alias("relative_change")
    )
    return layer_change_frame(profiles(of_layer, runs), sources).rename({"relative_change": "stable_rank"})
