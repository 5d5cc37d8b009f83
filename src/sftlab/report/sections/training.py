"""What the training choices cost or brought: method, sample size, schedule, epochs, learning rate, seeds."""

import polars as pl

from sftlab.report.blocks import SCORER, Block, Column, DataTable, Panel, Section, Variant
from sftlab.report.figures.drawing import SURE
from sftlab.report.figures.epochs import gain_by_epoch
from sftlab.report.figures.methods import difference_forest, paired_gains
from sftlab.report.sections.material import ITEMS_UNKNOWN, Material, counting, table_rows
from sftlab.report.sections.outcomes import (
    Outcome,
    caveats_on,
    found_on,
    general_prose,
    in_shown_units,
    outcomes,
    sure_first,
)
from sftlab.report.sections.power import power_table
from sftlab.report.text import counted, interval, number, signed, told_n

EFFECTS = (
    Column("verdict", "How sure", facet=True),
    Column("factor", "Factor", facet=True),
    Column("level", "Level", facet=True),
    Column("other", "Minus", facet=True),
    Column("benchmark", "Benchmark", facet=True),
    Column("difference", "Difference of gains", "number"),
    Column("ci", "95 % interval", "interval"),
    Column("unit", "Unit"),
    Column("n", "n", "integer"),
    Column("cells", "Cells", "integer"),
    Column("p_adjusted", "p, adjusted", "number"),
    Column("smallest_effect", "Smallest effect to be seen", "number"),
    Column("metric", "Metric", facet=True),
    SCORER,
)
COUNTS = "base families (bases, where there is one family), or items where there is one base and dataset"
NOISE = (
    Column("benchmark", "Benchmark", facet=True),
    Column("sd", "Standard deviation between seeds", "number"),
    Column("unit", "Unit"),
    Column("df", "Degrees of freedom", "integer"),
    Column("scorer", "Scorer", facet=True),
    Column("metric", "Metric", facet=True),
)


def training(material: Material) -> Section:
    """Differences between the levels of each training choice, all else equal, against the noise of seeds."""
    analysis = material.analysis
    pairs = [
        _pair(material, outcome, row)
        for outcome in outcomes(analysis.training_points, main_only=True)
        for row in _contrasts(outcome.rows(analysis.training_points))
    ]
    forests = tuple(_forest(material, outcome) for outcome in outcomes(analysis.training, main_only=True))
    epochs = tuple(_by_epoch(material, outcome) for outcome in outcomes(analysis.epoch_gains, main_only=True))
    nothing = "No two training choices can be compared yet: that takes two levels of one on the same base and dataset."
    blocks: list[Block] = [general_prose(analysis, "training", (*forests, *pairs, *epochs), nothing)]
    if forests:
        note = (
            "Gain under the first level minus gain under the second, all else equal. Hollow: cannot be told from zero."
        )
        blocks.append(Panel("effects", "Effect of training choices", "Benchmark", forests, shown="grid", note=note))
    if pairs:
        note = "One mark a base and dataset under both choices; above the line the vertical one gained more."
        blocks.append(Panel("pairs", "The same cell under two choices", "Choice", tuple(pairs), note=note))
    if epochs:
        note = (
            "Mean gain after every epoch of runs that were scored after each; a star is the largest. The thick grey "
            "curve is the mean over datasets, with 95 % intervals."
        )
        blocks.append(Panel("epochs", "Gain over the epochs", "Benchmark", epochs, note=note))
    if analysis.training.height:
        shown = in_shown_units(analysis.training, "difference", "ci_low", "ci_high", "smallest_effect")
        rows = table_rows(sure_first(shown, "difference"), EFFECTS)
        title = "All effects of training choices"
        blocks.append(DataTable("effects-table", title, EFFECTS, rows, "training.csv", note=f"n counts {COUNTS}."))
        blocks.extend(power_table(material, pl.col("question").str.contains(" minus ", literal=True), COUNTS))
    if analysis.seed_noise.height:
        rows = table_rows(in_shown_units(analysis.seed_noise, "sd"), NOISE)
        note = "How much the gain of one cell moves when only the seed changes: smaller differences mean nothing."
        blocks.append(DataTable("noise", "Seeds as noise floor", NOISE, rows, "seed_noise.csv", note=note))
    return Section("training", "Training choices", "LoRA or full, how much data, how long?", tuple(blocks))


def _counted(material: Material, effects: pl.DataFrame) -> pl.DataFrame:
    """Effects with a column `counted`: families, or items where there is one base and dataset."""
    alone = pl.col("cells") == 1
    items = pl.when(pl.col("n") > 0).then(pl.format("{} items", "n")).otherwise(pl.lit(ITEMS_UNKNOWN))
    counted_effects = counting(effects, *material.units)
    return counted_effects.with_columns(counted=pl.when(alone).then(items).otherwise(pl.col("counted")))


def _contrasts(rows: pl.DataFrame) -> list[tuple[str, str, str]]:
    return list(rows.select("factor", "level", "other").unique(maintain_order=True).iter_rows())


def _forest(material: Material, outcome: Outcome) -> Variant:
    effects = outcome.shown(material.analysis.training, "difference", "ci_low", "ci_high", "smallest_effect")
    rows = _counted(material, effects)
    factors = rows["factor"].unique(maintain_order=True).to_list()
    said = [
        sentence
        for factor in (*factors, "seed")
        for sentence in found_on(material.analysis, "training", outcome.benchmark, factor)
    ]
    told = rows.filter(pl.col("verdict").is_in(SURE)).height
    otherwise = f"{told} of {counted(rows.height, 'difference')} can be told from zero."
    figure = difference_forest(rows.rename({"difference": "value"}), outcome.shown_unit)
    caveats = caveats_on(material.analysis, "training", outcome.benchmark, *factors)
    return Variant(outcome.benchmark, figure, tuple(said) or (otherwise,), outcome.detail, outcome.facets, caveats)


def _by_epoch(material: Material, outcome: Outcome) -> Variant:
    shown = outcome.shown(material.analysis.epoch_gains, "gain", "ci_low", "ci_high").rename({"gain": "value"})
    rows = counting(shown, *material.units)
    figure = gain_by_epoch(rows, outcome.shown_unit, material.palette)
    said = found_on(material.analysis, "training", outcome.benchmark, "epoch")
    otherwise = "Every dataset is a mixture of others here, so that there is no mean over datasets."
    caveats = caveats_on(material.analysis, "training", outcome.benchmark, "epoch")
    return Variant(outcome.benchmark, figure, said or (otherwise,), outcome.detail, outcome.facets, caveats)


def _pair(material: Material, outcome: Outcome, contrast: tuple[str, str, str]) -> Variant:
    factor, level, other = contrast
    chosen = (pl.col("factor") == factor) & (pl.col("level") == level) & (pl.col("other") == other)
    points = outcome.shown(material.analysis.training_points, "gain", "other_gain").filter(chosen)
    drawn = points.rename({"other_gain": "first", "gain": "second"})
    figure = paired_gains(drawn, (f"{factor} {other}", f"{factor} {level}"), outcome.shown_unit, material.palette)
    effects = outcome.shown(material.analysis.training, "difference", "ci_low", "ci_high", "smallest_effect")
    found = _difference(_counted(material, effects.filter(chosen)), outcome.shown_unit, contrast)
    label = f"{factor}: {level} against {other}, {outcome.benchmark}"
    return Variant(label, figure, (found,), outcome.detail, outcome.facets)


def _difference(effects: pl.DataFrame, unit: str, contrast: tuple[str, str, str]) -> str:
    _, level, other = contrast
    for row in effects.drop_nulls("difference").iter_rows(named=True):
        seen = row["smallest_effect"]
        floor = f" The smallest effect this design would see is {number(seen)}." if seen is not None else ""
        return (
            f"{level} minus {other}: {signed(row['difference'])} {unit} ({interval(row['ci_low'], row['ci_high'])}, "
            f"{told_n(row)}): {row['verdict'] or 'too small to tell'}.{floor}"
        )
    return "The study is too small to tell the two apart."
