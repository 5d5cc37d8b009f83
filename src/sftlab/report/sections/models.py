"""The models of a study as the page holds them, so that it can rank, filter and look into them by itself."""

from collections.abc import Sequence

import polars as pl

from sftlab.analyse.audit.auditing import without_excluded
from sftlab.analyse.gain_sets import last_epochs
from sftlab.analyse.metrics import metric_named
from sftlab.analyse.schemas import CONTRACT, conformed, empty
from sftlab.report.columnar import coded, shortened
from sftlab.report.sections.material import Material
from sftlab.report.sections.outcomes import Outcome, outcomes
from sftlab.report.sections.shared_errors import shared_errors

FACTORS = ("method", "samples", "schedule", "epochs", "fixed_steps", "learning_rate", "batch_size")
"""What a recipe is made of beside its dataset."""
WORDED = {
    "samples": "{:,} samples",
    "epochs": "{} epochs",
    "fixed_steps": "{} steps",
    "learning_rate": "rate {:g}",
    "batch_size": "batch {}",
}
CURVE_POINTS = 60_000
"""Points of all loss curves in the explorer together."""
FEWEST_POINTS, MOST_POINTS = 8, 60
OF_RECIPE = ("samples", "schedule", "epochs", "learning_rate", "batch_size", "seed")
SHOWN = (
    "status", "reason", "adapter", "precision", "tokens", "steps", "examples", "loss_first", "loss_last",
    "wall_seconds", "device",
)  # fmt: skip


def has_models(material: Material) -> bool:
    """Whether any tuned model has a score, so that there is something to rank and to look into."""
    scores = material.table("scores")
    scored = not scores.is_empty() and scores.filter(pl.col("run").is_not_null())["value"].count() > 0
    return scored and bool(outcomes(material.analysis.gains))


def model_data(material: Material) -> dict[str, object] | None:
    """Every tuned model after its last epoch with its scores, gains and recipe; None where no gain is known.

    `value`, `gain` and their standard errors have a list an outcome with an entry a model, in the outcome's shown unit.
    """
    scores = material.table("scores")
    found = outcomes(material.analysis.gains)
    if not has_models(material):
        return None
    excluding = [one for one in material.analysis.audit if not one.excluded.is_empty()]
    last = last_epochs(without_excluded(conformed(scores, CONTRACT["scores"]), excluding))
    models = _models(last)
    cells = last.join(models.select("run", "place"), on="run")
    return {
        "count": models.height,
        "columns": {name: coded(models[name]) for name in ("run", "base", "family", "dataset", "method", "recipe")},
        "facts": _facts(models, material.table("runs")),
        "outcomes": [_outcome(outcome, cells, material) for outcome in found],
        **{
            name: [_spread(outcome, cells, column, models.height) for outcome in found]
            for name, column in _NUMBERS.items()
        },
        "curves": _curves(models["run"].to_list(), material.table("losses")),
    }


_NUMBERS = {"value": "value", "value_se": "se", "gain": "gain", "gain_se": "gain_se"}


def _models(last: pl.DataFrame) -> pl.DataFrame:
    """A row a model, numbered, with the name of its recipe."""
    names = ("run", "base", "family", "dataset", "seed", *FACTORS)
    scored = last.filter(pl.col("value").is_not_null())
    models = scored.select(*names, "chosen").unique("run", maintain_order=True).with_row_index("place")
    selecting = models.filter(pl.col("chosen").is_not_null())["method"].unique().to_list()
    free = ~pl.col("method").is_in(selecting)
    models = models.with_columns(
        pl.when(free).then(pl.col(name)).alias(name) for name in ("learning_rate", "batch_size")
    )
    varied = [name for name in FACTORS if models.select(pl.col(name).n_unique().over("method").max()).item() > 1]
    if models["method"].n_unique() > 1:
        varied = ["method", *(name for name in varied if name != "method")]
    recipe = [_recipe(row, varied) for row in models.iter_rows(named=True)]
    return models.with_columns(pl.Series("recipe", recipe, dtype=pl.String()))


def _recipe(row: dict[str, object], varied: Sequence[str]) -> str:
    parts = [WORDED.get(name, "{}").format(row[name]) for name in varied if row[name] is not None]
    return " \u00b7 ".join([str(row["dataset"]), *parts])


def _outcome(outcome: Outcome, cells: pl.DataFrame, material: Material) -> dict[str, object]:
    """What is known of an outcome.

    `seed` is the variance of gain between seeds and its degrees of freedom, `shared` the share of their items' errors
    that bases have in common.
    """
    rows = outcome.rows(cells)
    between = outcome.shown(material.analysis.seed_noise, "sd").drop_nulls("sd").head(1).to_dicts()
    items = rows["gain_n"].drop_nulls().min() if rows.height else None
    seed_variance = (between[0]["sd"] / outcome.scale) ** 2 if between else 0.0
    return {
        "benchmark": outcome.benchmark,
        "scorer": outcome.scorer,
        "metric": outcome.metric.replace("_", " "),
        "main": outcome.main,
        "unit": outcome.shown_unit,
        "items": items,
        "shared": shared_errors(rows, outcome.rows(material.analysis.ranking), seed_variance),
        "seed": [shortened(between[0]["sd"] ** 2), between[0]["df"]] if between else None,
        "better": 1 if metric_named(outcome.metric).higher_is_better else -1,
    }


def _spread(outcome: Outcome, cells: pl.DataFrame, name: str, count: int) -> list[float | None]:
    values: list[float | None] = [None] * count
    for place, value in outcome.rows(cells).select("place", name).drop_nulls().iter_rows():
        values[place] = shortened(value * outcome.scale, 6)
    return values


def _facts(models: pl.DataFrame, runs: pl.DataFrame) -> dict[str, list[object]]:
    """What else is known of every model's run."""
    of_runs = conformed(runs, CONTRACT["runs"]) if not runs.is_empty() else empty(CONTRACT["runs"])
    of_runs = of_runs.select("run", *OF_RECIPE, *SHOWN).unique("run", maintain_order=True)
    joined = models.select("run", *OF_RECIPE).join(of_runs, on="run", how="left", suffix="_run", maintain_order="left")
    known = joined.with_columns(pl.coalesce(name, f"{name}_run").alias(name) for name in OF_RECIPE)
    facts = {name: known[name].to_list() for name in (*OF_RECIPE, *SHOWN)}
    return {name: values for name, values in facts.items() if any(value is not None for value in values)}


def _curves(runs: Sequence[str], losses: pl.DataFrame) -> dict[str, list[list[float | None]]]:
    """Steps and losses of every run, at evenly spaced points."""
    if losses.is_empty():
        return {}
    points = max(FEWEST_POINTS, min(MOST_POINTS, CURVE_POINTS // max(1, len(runs))))
    curves: dict[str, list[list[float | None]]] = {}
    kept = losses.filter(pl.col("run").is_in(list(runs))).sort("run", "step")
    for (run,), rows in kept.group_by("run", maintain_order=True):
        thin = rows[[round(place) for place in _evenly(rows.height, points)]]
        curves[str(run)] = [thin["step"].to_list(), [shortened(loss, 4) for loss in thin["loss"]]]
    return curves


def _evenly(count: int, points: int) -> list[float]:
    many = min(count, points)
    return [place * (count - 1) / max(1, many - 1) for place in range(many)]
