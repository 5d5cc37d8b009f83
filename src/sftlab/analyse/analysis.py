"""Everything that an analysis of a study found: what the command line prints and the report draws."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property

import polars as pl

from sftlab.analyse.audit.finding import AuditFinding
from sftlab.analyse.effects import SECTIONS, Finding, Section
from sftlab.analyse.model_map import ModelMap, Tsne, tsne

TEXT, REAL, COUNT, TRUTH = pl.String(), pl.Float64(), pl.Int64(), pl.Boolean()
Schema = Mapping[str, pl.DataType]

METRIC: Schema = {"benchmark": TEXT, "scorer": TEXT, "metric": TEXT, "main": TRUTH, "unit": TEXT}
INTERVAL: Schema = {"se": REAL, "ci_low": REAL, "ci_high": REAL, "n": COUNT}
TEST: Schema = {"p": REAL, "p_adjusted": REAL, "verdict": TEXT}

SCHEMAS: Mapping[str, Schema] = {
    "metrics": {**METRIC, "higher_is_better": TRUTH, "scored": COUNT},
    "gains": {
        "base": TEXT,
        "family": TEXT,
        "dataset": TEXT,
        "method": TEXT,
        **METRIC,
        "gain": REAL,
        **INTERVAL,
        "items": COUNT,
        "seeds": COUNT,
        "status": TEXT,
        "reason": TEXT,
        **TEST,
    },
    "ranking": {
        **METRIC,
        "population": TEXT,
        "dataset": TEXT,
        "rank": COUNT,
        "gain": REAL,
        **INTERVAL,
        "cells": COUNT,
        "fewest_items": COUNT,
    },
    "comparisons": {
        **METRIC,
        "population": TEXT,
        "dataset": TEXT,
        "other": TEXT,
        "difference": REAL,
        **INTERVAL,
        **TEST,
        "smallest_effect": REAL,
    },
    "power": {
        **METRIC,
        "question": TEXT,
        "population": TEXT,
        "smallest_effect": REAL,
        "questions": COUNT,
        "n": COUNT,
    },
    "properties": {
        **METRIC,
        "property": TEXT,
        "scope": TEXT,
        "kind": TEXT,
        "correlation": REAL,
        **INTERVAL,
        "cells": COUNT,
        **TEST,
    },
    "property_points": {
        **METRIC,
        "property": TEXT,
        "base": TEXT,
        "family": TEXT,
        "dataset": TEXT,
        "value": REAL,
        "gain": REAL,
    },
    "partial_correlations": {
        **METRIC,
        "property": TEXT,
        "scope": TEXT,
        "given": TEXT,
        "correlation": REAL,
        **INTERVAL,
        "cells": COUNT,
        **TEST,
    },
    "strongest_property": {
        **METRIC,
        "property": TEXT,
        "correlation": REAL,
        "behind": REAL,
        **INTERVAL,
        "led": REAL,
        "in_set": TRUTH,
    },
    "layer_change": {
        "method": TEXT,
        "part": TEXT,
        "depth": REAL,
        "relative_change": REAL,
        **INTERVAL,
        "cells": COUNT,
        "near_peak": TRUTH,
    },
    "layer_correlations": {
        **METRIC,
        "method": TEXT,
        "depth": REAL,
        "divided_by_total": TRUTH,
        "correlation": REAL,
        **INTERVAL,
        "cells": COUNT,
        **TEST,
        "near_peak": TRUTH,
    },
    "training": {
        **METRIC,
        "factor": TEXT,
        "level": TEXT,
        "other": TEXT,
        "difference": REAL,
        **INTERVAL,
        "cells": COUNT,
        "smallest_effect": REAL,
        **TEST,
    },
    "training_points": {
        **METRIC,
        "factor": TEXT,
        "level": TEXT,
        "other": TEXT,
        "base": TEXT,
        "family": TEXT,
        "dataset": TEXT,
        "gain": REAL,
        "other_gain": REAL,
    },
    "seed_noise": {**METRIC, "sd": REAL, "df": COUNT},
    "agreement": {
        "factor": TEXT,
        "level": TEXT,
        "other": TEXT,
        "raw": REAL,
        "correlation": REAL,
        "ci_low": REAL,
        "ci_high": REAL,
        "n": COUNT,
        "units": TEXT,
        "ceiling": REAL,
        "disattenuated": REAL,
        "p": REAL,
        "p_adjusted": REAL,
    },
    "mean_agreement": {
        "factor": TEXT,
        "correlation": REAL,
        "ci_low": REAL,
        "ci_high": REAL,
        "n": COUNT,
        "p": REAL,
    },
    "components": {
        "component": COUNT,
        "share": REAL,
        "cumulative": REAL,
        "null_share": REAL,
        "null_high": REAL,
        "beyond_null": TRUTH,
    },
    "loadings": {"component": COUNT, "benchmark": TEXT, "loading": REAL},
    "variance_shares": {"source": TEXT, "share": REAL, **INTERVAL, "variance": REAL},
    "dimension_by_depth": {
        "base": TEXT,
        "family": TEXT,
        "dataset": TEXT,
        "method": TEXT,
        "layer": COUNT,
        "depth": REAL,
        "dimension": REAL,
        "ci_low": REAL,
        "ci_high": REAL,
        "change": REAL,
        "models": COUNT,
        "points": COUNT,
    },
    "dimension_change": {"method": TEXT, "depth": REAL, "change": REAL, **INTERVAL, "cells": COUNT, **TEST},
    "map_points": {
        "source": TEXT,
        "view": TEXT,
        "checkpoint": TEXT,
        "run": TEXT,
        "base": TEXT,
        "family": TEXT,
        "dataset": TEXT,
        "method": TEXT,
        "samples": COUNT,
        "schedule": TEXT,
        "seed": COUNT,
        "epoch": COUNT,
        "last": TRUTH,
        "x": REAL,
        "y": REAL,
    },
    "map_components": {"source": TEXT, "view": TEXT, "component": COUNT, "share": REAL, "cumulative": REAL},
    "map_groups": {
        "source": TEXT,
        "view": TEXT,
        "factor": TEXT,
        "share": REAL,
        "null_share": REAL,
        "null_high": REAL,
        "p": REAL,
        "p_adjusted": REAL,
        "levels": COUNT,
        "cells": COUNT,
    },
    "map_movement": {
        "source": TEXT,
        "method": TEXT,
        "epochs": COUNT,
        "epoch": COUNT,
        "distance": REAL,
        **INTERVAL,
        "cells": COUNT,
        "share": REAL,
        "share_low": REAL,
        "share_high": REAL,
    },
    "consistency": {
        **METRIC,
        "dataset": TEXT,
        "gain": REAL,
        **INTERVAL,
        "p": REAL,
        "p_adjusted": REAL,
        "new_low": REAL,
        "new_high": REAL,
        "sd": REAL,
        "p_spread": REAL,
        "helped": COUNT,
        "hurt": COUNT,
        "holds": TEXT,
    },
}


TSNE: Schema = {
    "source": TEXT,
    "view": TEXT,
    "checkpoint": TEXT,
    "run": TEXT,
    "base": TEXT,
    "epoch": COUNT,
    "x": REAL,
    "y": REAL,
    "perplexity": REAL,
    "neighbours_kept": REAL,
    "stability": REAL,
}


@dataclass(frozen=True)
class Analysis:
    """The answers of a study, as frames with the columns of `SCHEMAS` and as sentences.

    Gains are tuned minus base, oriented so that positive is better, at the last scored epoch of each run and of
    chosen runs only. Columns that recur: `benchmark`, `scorer`, `metric` with `main` (the metric the answer is given
    in) and `unit`; `se`, `ci_low`, `ci_high` (95 %) and `n`, the number of independent units; `p` and `p_adjusted`
    with `verdict` (`higher`, `lower`, `cannot tell` or `too small to tell`). Unknown values are null.

    - metrics: what each benchmark is scored in; `scored` counts its checkpoints.
    - gains: one row per base x dataset x method (`all` is their mean) x metric; `n` counts runs; interval from paired
      items and seeds, of that base; cells without a gain have a `status` other than done and a `reason`.
    - ranking: datasets by mean gain, best first; `population` is `bases like these` (interval over base families, `n`
      of them) or `these bases` (interval over paired items and seeds, `n` items that at least one base has;
      `fewest_items` is how many the base with the fewest has). Over the recipes that all datasets were tried with;
      `rank` is null where there is none.
    - comparisons: every pair of datasets, the better one first: how much more it helped where both were tried alike.
      `smallest_effect`, here and elsewhere, is what a design with this uncertainty would have found in 4 of 5 studies
      after correction, were it the only effect.
    - power: that for every kind of question, of several the median; `questions` are asked together, `n` as there.
    - properties: correlation of a data property with gain over family x dataset cells; `scope` is `within` (centred by
      family) or `across`; `kind` is pearson or spearman; `n` is the number of clusters the interval counts.
    - property_points: the base x dataset cells behind them.
    - partial_correlations: the same, of what is left once base score and length (`given`) are accounted for.
    - strongest_property: properties by their correlation within families, and how far each is `behind` the strongest;
      `in_set`: it may be the strongest, with 95 % confidence; `led`: how often it is, with a dataset left out.
    - layer_change: mean relative weight change by depth (0 first layer, 1 last) per method; parts without a depth
      (embedding, head, norm outside layers, and `all` of the model) have a null depth. `near_peak`: cannot be told
      from the largest.
    - layer_correlations: correlation of that change with gain over family x dataset cells, centred by family.
    - training: level minus other of a factor (of `FACTORS`, such as method or samples), all else equal. Here and in
      `layer_change`, mixtures of datasets that were tried alone do not count: they are no datasets of their own.
    - training_points: the base x dataset cells behind them.
    - seed_noise: standard deviation of gain between seeds of the same cell, with its degrees of freedom.
    - agreement: correlations between the levels of a factor (base, dataset, benchmark) over the other two; `raw`, and
      `correlation` after double centring; `ceiling` and `disattenuated` where item noise is known; `p` by permutation.
    - mean_agreement: their mean over all pairs of levels.
    - components, loadings: principal components of gains on all benchmarks, beside a null without anything shared.
    - variance_shares: what gains depend on, of a complete array of main-metric gains.
    - audit: what is wrong with the numbers; scores that it excludes are in no answer.
    - consistency: for every dataset and benchmark, whether the gain holds over families (`holds`).
    - dimension_by_depth: intrinsic dimension of hidden states of bases (dataset `none`) and after each dataset and
      method, with its `change` from the base; `points` counts texts. dimension_change: the mean change by depth.
    - map_points: every model as a point, of `log-likelihoods` of fixed texts or of `scores` (`source`): first two
      principal components of the `models` or of their `changes` from the base (`view`); `map_components` their shares
      of the variance; `map_tsne` lays the same models out by t-SNE.
    - map_groups: share of a map's variance that lies between bases, datasets or methods, beside its mean and 97.5 %
      quantile with labels permuted (`null_share`, `null_high`); of cell means after training.
    - map_movement: distance from the base after each epoch (root mean square: nats a text, or standard deviations of
      changes in scores), and as a `share` of that at the end.
    """

    study: str
    findings: tuple[Finding, ...]
    metrics: pl.DataFrame
    gains: pl.DataFrame
    ranking: pl.DataFrame
    comparisons: pl.DataFrame
    properties: pl.DataFrame
    property_points: pl.DataFrame
    layer_change: pl.DataFrame
    layer_correlations: pl.DataFrame
    training: pl.DataFrame
    training_points: pl.DataFrame
    seed_noise: pl.DataFrame
    agreement: pl.DataFrame
    mean_agreement: pl.DataFrame
    components: pl.DataFrame
    loadings: pl.DataFrame
    variance_shares: pl.DataFrame
    consistency: pl.DataFrame
    partial_correlations: pl.DataFrame = field(default_factory=lambda: framed("partial_correlations", []))
    strongest_property: pl.DataFrame = field(default_factory=lambda: framed("strongest_property", []))
    power: pl.DataFrame = field(default_factory=lambda: framed("power", []))
    dimension_by_depth: pl.DataFrame = field(default_factory=lambda: framed("dimension_by_depth", []))
    dimension_change: pl.DataFrame = field(default_factory=lambda: framed("dimension_change", []))
    map_points: pl.DataFrame = field(default_factory=lambda: framed("map_points", []))
    map_components: pl.DataFrame = field(default_factory=lambda: framed("map_components", []))
    map_groups: pl.DataFrame = field(default_factory=lambda: framed("map_groups", []))
    map_movement: pl.DataFrame = field(default_factory=lambda: framed("map_movement", []))
    audit: tuple[AuditFinding, ...] = ()
    maps: tuple[ModelMap, ...] = ()

    def __post_init__(self) -> None:
        for name, schema in SCHEMAS.items():
            got = getattr(self, name).schema
            assert dict(got) == dict(schema), f"{name}: {got}"

    def sentences(
        self, section: Section | None = None, *, benchmark: str | None = None, subject: str | None = None
    ) -> tuple[str, ...]:
        """The sentences, in reading order, of a section, a benchmark or a subject; of all where none is named."""
        return tuple(
            finding.text
            for finding in self.findings
            if (section is None or finding.section == section)
            and (benchmark is None or finding.benchmark == benchmark)
            and (subject is None or finding.subject == subject)
        )

    @cached_property
    def tsne(self) -> tuple[Tsne | None, ...]:
        """A t-SNE layout of each of `maps`, made when it is asked for; None of too few or too many models."""
        return tuple(tsne(one) for one in self.maps)

    @cached_property
    def map_tsne(self) -> pl.DataFrame:
        """The layouts as a frame: source, view, checkpoint, run, base, epoch, x, y, and how far to trust each."""
        rows = [
            {
                "source": one.source,
                "view": one.view,
                **point,
                "x": float(at[0]),
                "y": float(at[1]),
                "perplexity": layout.perplexity,
                "neighbours_kept": layout.neighbours_kept,
                "stability": layout.stability,
            }
            for one, layout in zip(self.maps, self.tsne, strict=True)
            if layout is not None
            for point, at in zip(
                layout.models.select("checkpoint", "run", "base", "epoch").iter_rows(named=True),
                layout.place,
                strict=True,
            )
        ]
        return pl.DataFrame(rows, schema=dict(TSNE))

    def to_json(self) -> dict[str, object]:
        """Plain values: sentences by section, findings with their effects, and every frame as a list of rows."""
        frames = {one.name: getattr(self, one.name) for one in fields(self) if one.name in SCHEMAS}
        return {
            "study": self.study,
            "sentences": {section: list(self.sentences(section)) for section in SECTIONS},
            "findings": [asdict(finding) for finding in self.findings],
            "audit": [finding.to_json() for finding in self.audit],
            **{name: frame.to_dicts() for name, frame in frames.items()},
            "map_tsne": self.map_tsne.to_dicts(),
        }


def framed(name: str, rows: list[dict[str, object]]) -> pl.DataFrame:
    """Rows as the frame of that name; columns a row does not have are null, and NaN is our own bug."""
    schema = SCHEMAS[name]
    for row in rows:
        assert set(row) <= set(schema), f"{name}: {set(row) - set(schema)}"
        assert not any(isinstance(value, float) and math.isnan(value) for value in row.values()), f"{name}: {row}"
    columns = {column: [row.get(column) for row in rows] for column in schema}
    return pl.DataFrame(columns, schema=dict(schema), strict=False)
