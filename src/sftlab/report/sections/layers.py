"""Which layers moved, and whether that goes with gain."""

import polars as pl

from sftlab.analyse.power import LAYER
from sftlab.analyse.spectra import stable_rank_by_depth
from sftlab.report.blocks import Block, Column, DataTable, Panel, Section, Variant
from sftlab.report.figures.layers import (
    change_by_depth,
    correlation_by_depth,
    dimension_change_curves,
    dimension_curves,
)
from sftlab.report.sections.material import Material, counting, table_rows
from sftlab.report.sections.outcomes import Outcome, caveats_on, found_on, general_prose, outcomes
from sftlab.report.sections.power import power_table
from sftlab.report.text import counted, interval, number, signed, told_n

OUTSIDE = (
    Column("part", "Part", facet=True),
    Column("method", "Method", facet=True),
    Column("relative_change", "Relative change", "number"),
    Column("ci", "95 % interval", "interval"),
    Column("n", "n", "integer"),
    Column("cells", "Cells", "integer"),
)
BESIDE = " Marks of one depth stand a little beside each other."


def layers(material: Material) -> Section:
    """Magnitude of weight change by depth, and its correlation with gain by depth."""
    analysis = material.analysis
    inside = analysis.layer_change.filter(pl.col("depth").is_not_null())
    changes = [_change(material, inside, part) for part in inside["part"].unique(maintain_order=True)]
    correlations = [
        _correlation(material, outcome, method)
        for outcome in outcomes(analysis.layer_correlations, main_only=True)
        for method in outcome.rows(analysis.layer_correlations)["method"].unique(maintain_order=True)
    ]
    dimensions = _dimensions(material)
    drawn = [variant for panel in dimensions for variant in panel.variants]
    nothing = "No weight change has been measured yet, nor any intrinsic dimension."
    blocks: list[Block] = [general_prose(analysis, "layers", (*changes, *correlations, *drawn), nothing)]
    if changes:
        note = "Mean over base and dataset cells; bars are 95 % intervals. Hollow marks surely lie below the largest."
        note += BESIDE if len(inside["method"].unique()) > 1 else ""
        blocks.append(Panel("change", "How far the weights moved, by depth", "Part", tuple(changes), note=note))
    if correlations:
        note = (
            "Correlation of weight change with gain, centred by family; dashed: each model's change divided by its "
            f"total change. Weight change accompanies gains; it is not where they come from.{BESIDE}"
        )
        title = "Where weight change goes with gain"
        blocks.append(Panel("correlation", title, "Benchmark and method", tuple(correlations), note=note))
    blocks.extend([*_spectra(material), *dimensions])
    outside = analysis.layer_change.filter(pl.col("depth").is_null())
    if outside.height:
        rows = table_rows(outside, OUTSIDE)
        blocks.append(DataTable("outside", "Parts outside the layers", OUTSIDE, rows, "outside_layers.csv"))
    blocks.extend(power_table(material, pl.col("question") == LAYER, "datasets"))
    return Section("layers", "Layers", "Where do the weights change, and does that go with gain?", tuple(blocks))


def _spectra(material: Material) -> list[Panel]:
    """Of how high a rank the changes are, where that was measured."""
    spectra, runs = material.table("spectra"), material.table("runs")
    if spectra.is_empty() or spectra["stable_rank"].null_count() == spectra.height:
        return []
    rows = counting(stable_rank_by_depth(spectra, runs).rename({"stable_rank": "value"}), *material.units)
    variants = tuple(
        Variant(
            "all matrices of a layer" if part == "all" else str(part),
            change_by_depth(of_part, material.palette, "stable rank of the change"),
            tuple(_highest_rank(str(method), of) for (method,), of in of_part.group_by("method", maintain_order=True)),
        )
        for (part,), of_part in rows.group_by("part", maintain_order=True)
    )
    note = (
        "Mean over matrices, and over base and dataset cells; bars are 95 % intervals. A stable rank of 1 is a change "
        "in one direction alone. Hollow marks surely lie below the largest."
    )
    return [Panel("spectrum", "Of how high a rank the changes are, by depth", "Part", variants, note=note)]


def _highest_rank(method: str, rows: pl.DataFrame) -> str:
    top = rows.sort("value", descending=True).row(0, named=True)
    ends = interval(top["ci_low"], top["ci_high"], show=number)
    return (
        f"Under {method} the change's mean stable rank is highest at depth {number(top['depth'])}: "
        f"{number(top['value'])} ({ends}, {told_n(top)})."
    )


def _dimensions(material: Material) -> list[Panel]:
    """How many directions hidden states vary in, of all bases and of each with what was made of it, and its change."""
    analysis = material.analysis
    by_depth = analysis.dimension_by_depth.rename({"dimension": "value", "points": "n"})
    rows = counting(by_depth, "text", "texts")
    before = rows.filter(pl.col("dataset") == "none")
    panels = []
    if rows.height:
        variants = []
        if before.height:
            said = found_on(analysis, "layers", None, "dimension")
            variants.append(Variant("bases before training", dimension_curves(before, material.palette), said))
        for base in rows.filter(pl.col("dataset") != "none")["base"].unique(maintain_order=True):
            of_base = rows.filter(pl.col("base") == base)
            figure, said = dimension_curves(of_base, material.palette), (_moved_most(of_base),)
            variants.append(Variant(f"{base}, by dataset", figure, said, facets={"base": base}))
        note = (
            "TwoNN on the last prompt token of fixed texts, after the last epoch; bars are 95 % intervals for these "
            f"texts, of several seeds their mean.{BESIDE}"
        )
        title = "Intrinsic dimension of hidden states, by depth"
        panels.append(Panel("dimension", title, "Models", tuple(variants), note=note))
    change = analysis.dimension_change
    if change.height:
        counted_change = counting(change.rename({"change": "value"}), *material.units)
        figure = dimension_change_curves(counted_change, material.palette)
        methods = change["method"].unique(maintain_order=True)
        said = tuple(text for method in methods for text in found_on(analysis, "layers", None, f"dimension {method}"))
        note = "Mean over base and dataset cells; bars are 95 % intervals. Hollow marks cannot be told from 0."
        variant = Variant("after training minus before", figure, said)
        panels.append(Panel("dimension-change", "What training changed in it", "Change", (variant,), note=note))
    return panels


def _moved_most(rows: pl.DataFrame) -> str:
    changed = rows.drop_nulls("change").sort(pl.col("change").abs(), descending=True)
    for row in changed.head(1).iter_rows(named=True):
        return (
            f"It changed most after {row['dataset']} with {row['method']}, at depth {number(row['depth'])}: "
            f"{signed(row['change'])} to {number(row['value'])} (mean over {counted(row['models'], 'model')}, the "
            f"largest of {counted(changed.height, 'change')})."
        )
    return "The base itself has not been measured yet, so that no change is known."


def _change(material: Material, inside: pl.DataFrame, part: str) -> Variant:
    of_part = inside.filter(pl.col("part") == part).rename({"relative_change": "value"})
    rows = counting(of_part, *material.units)
    figure = change_by_depth(rows, material.palette)
    label = "all tensors of a layer" if part == "all" else part
    peaks: list[str] = []
    for (method,), of_method in rows.drop_nulls("value").group_by("method", maintain_order=True):
        said = found_on(material.analysis, "layers", None, str(method)) if part == "all" else ()
        peaks.extend(said or (_largest(str(method), of_method),))
    return Variant(label, figure, tuple(peaks))


def _largest(method: str, rows: pl.DataFrame) -> str:
    top = rows.sort("value", descending=True).row(0, named=True)
    ends = interval(top["ci_low"], top["ci_high"], show=number)
    return (
        f"Under {method} the mean change is largest at depth {number(top['depth'])}: {number(top['value'])} of the "
        f"base's norm ({ends}, {told_n(top)})."
    )


def _correlation(material: Material, outcome: Outcome, method: str) -> Variant:
    analysis = material.analysis
    of_method = outcome.rows(analysis.layer_correlations).filter(pl.col("method") == method)
    rows = counting(of_method, "dataset", "datasets")
    figure = correlation_by_depth(rows.rename({"correlation": "value"}), material.palette.method_colour(method))
    found = found_on(analysis, "layers", outcome.benchmark, method)
    plain = rows.filter(~pl.col("divided_by_total"))
    said = found or (_strongest(plain),)
    facets, caveats = {**outcome.facets, "method": method}, caveats_on(analysis, "layers", outcome.benchmark, method)
    return Variant(f"{outcome.benchmark}, {method}", figure, said, outcome.detail, facets, caveats)


def _strongest(rows: pl.DataFrame) -> str:
    known = rows.drop_nulls("correlation").sort(pl.col("correlation").abs(), descending=True)
    for row in known.head(1).iter_rows(named=True):
        return (
            f"Strongest at depth {number(row['depth'])}: correlation {signed(row['correlation'])} "
            f"({interval(row['ci_low'], row['ci_high'])}, {told_n(row)}): {row['verdict'] or 'too small to tell'}."
        )
    return "The study is too small to tell whether weight change goes with gain."
