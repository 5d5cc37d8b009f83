"""Sentences on the maps of models: what sets models apart, what training changed, and how fast."""

from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from sftlab.analyse.effects import Effect, Finding
from sftlab.analyse.model_map import ModelMap
from sftlab.analyse.verdicts import LEVEL, Row
from sftlab.analyse.wording import counted, listed, plain

SUBJECTS = {
    "models": "differences between models",
    "changes": "what training changed (each model minus its base)",
}
VECTORS = {"log-likelihoods": "log-likelihoods of {}", "scores": "scores on {}"}
COLUMNS = {"log-likelihoods": "fixed text", "scores": "benchmark"}
UNITS = {"log-likelihoods": "nats a text", "scores": "standard deviations of changes"}

SHARED_ERROR = "Gains over one base share the error of its own scores, which by itself makes them group by base."


def map_findings(frames: Mapping[str, pl.DataFrame], found: Sequence[ModelMap], alike: int) -> Iterator[Finding]:
    """Sentences of the section `map`; `alike` counts models that cannot be mapped because all are the same."""
    tuned = frames["map_points"].filter(pl.col("run").is_not_null())
    units = ("base family", "base families") if tuned["family"].n_unique() > 1 else ("base", "bases")
    if alike:
        yield Finding("map", f"All {alike} models are alike in what was measured of them: there is nothing to map.")
    for one in found:
        of_view = [row for row in frames["map_groups"].to_dicts() if row["view"] == one.view]
        shares = [row["cumulative"] for row in frames["map_components"].to_dicts() if row["view"] == one.view]
        yield _grouping(one, of_view, shares)
    yield from _movement(frames["map_movement"], units)


def _grouping(one: ModelMap, groups: Sequence[Row], cumulative: Sequence[float]) -> Finding:
    columns = counted(one.width, COLUMNS[one.source])
    points = one.models.filter(pl.col("base").is_not_null()).height
    text = f"Of {SUBJECTS[one.view]} in {VECTORS[one.source].format(columns)} ({counted(points, 'checkpoint')}), "
    text += f"{_percent(cumulative[min(1, len(cumulative) - 1)])} lie on the first two axes of the map"
    if groups:
        parts = [
            f"{_percent(row['share'])} between {counted(row['levels'], row['factor'])}{_null(row)}" for row in groups
        ]
        text += f"; after training {listed(parts)}"
    text += f". {_told(groups)}" if groups else "."
    if one.source == "scores" and one.view == "changes" and "base" in _sure(groups):
        text += f" {SHARED_ERROR}"
    if one.without_models or one.without_columns:
        text += f" {_left_out(one)}"
    effect = None
    if groups:
        first = max(groups, key=lambda row: row["share"])
        effect = Effect(
            name=f"share of {SUBJECTS[one.view]} between {first['factor']}s",
            estimand="share of the squared distances of base x dataset cell means; p by permuting labels in blocks",
            value=first["share"],
            se=None,
            ci_low=None,
            ci_high=None,
            n=first["levels"],
            unit="share",
            p=first["p_adjusted"],
        )
    return Finding("map", text, subject=one.view, effect=effect)


def _null(row: Row) -> str:
    if row["p"] is None:
        return ""
    return f" (shuffled labels give {_percent(row['null_share'])}, p = {plain(row['p_adjusted'])} corrected)"


def _told(groups: Sequence[Row]) -> str:
    sure = _sure(groups)
    unsure = [row["factor"] for row in groups if row["factor"] not in sure]
    text = f"Models group by {listed(sure)} beyond chance" if sure else "Models cannot be told to group"
    if unsure:
        text += f"{', not surely' if sure else ''} by {_either(unsure)}"
    return f"{text}."


def _sure(groups: Sequence[Row]) -> list[str]:
    return [row["factor"] for row in groups if row["p_adjusted"] is not None and row["p_adjusted"] <= LEVEL]


def _either(names: Sequence[str]) -> str:
    return listed(names).replace(" and ", " or ")


def _left_out(one: ModelMap) -> str:
    parts = []
    if one.without_models:
        parts.append(counted(one.without_models, "model"))
    if one.without_columns:
        parts.append(counted(one.without_columns, COLUMNS[one.source]))
    return f"Left out, so that nothing is missing: {listed(parts)}."


def _movement(frame: pl.DataFrame, units: tuple[str, str]) -> Iterator[Finding]:
    """Of each method and number of epochs how much of the way was gone after the first epoch."""
    for part, rows in frame.partition_by("method", "epochs", as_dict=True, maintain_order=True).items():
        first, last = rows.row(0, named=True), rows.row(-1, named=True)
        ends = (
            "" if first["share_low"] is None else f" [{_percent(first['share_low'])}, {_percent(first['share_high'])}]"
        )
        text = (
            f"With {part[0]}, a model is after the first of {part[1]} epochs {_percent(first['share'])}{ends} as far "
            f"from its base as at the end, {plain(last['distance'])} {UNITS[last['source']]}{_reach(last)} "
            f"(n = {counted(last['n'], *units)}, {counted(last['cells'], 'cell')})."
        )
        yield Finding("map", text, subject="movement")


def _reach(row: Row) -> str:
    return "" if row["ci_low"] is None else f" [{plain(row['ci_low'])}, {plain(row['ci_high'])}]"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
