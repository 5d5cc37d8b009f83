"""Which models are alike: all of them as points, what they group by, and their way over the epochs."""

from collections.abc import Iterator

import polars as pl

from sftlab.analyse.map_findings import UNITS
from sftlab.report.blocks import Block, Column, DataTable, Panel, Section, Variant
from sftlab.report.figures.map import MOST_POINTS, Looks, model_map, movement_curves
from sftlab.report.sections.material import Material, counting, table_rows
from sftlab.report.sections.outcomes import found_on, general_prose
from sftlab.report.text import counted

NOTHING = "Fewer than three models have log-likelihoods of texts, or scores on three benchmarks: there is no map yet."
TITLES = {"models": "Models as they are", "changes": "What training changed"}
NOTES = {
    ("models", "log-likelihoods"): "Near models find the same texts likely: each model's mean over texts is taken out.",
    ("models", "scores"): "Near models have like scores, every benchmark in units of its own spread over the models.",
    (
        "changes",
        "log-likelihoods",
    ): "Each model minus its base: near models were moved alike, in log-likelihood of texts.",
    ("changes", "scores"): "Each model minus its base: near models gained alike, every benchmark in its own spread.",
}
GROUPS = (
    Column("view", "Map", facet=True),
    Column("factor", "Between", facet=True),
    Column("levels", "Levels", "integer"),
    Column("share", "Share of variance", "number"),
    Column("null_share", "With labels shuffled", "number"),
    Column("p_adjusted", "p, adjusted", "number"),
    Column("cells", "Cells", "integer"),
)


def map_of_models(material: Material) -> Section:
    """Scatter of all models by principal components and t-SNE, what they group by, and movement over epochs."""
    analysis = material.analysis
    views = {view: tuple(_variants(material, view)) for view in TITLES}
    movement = analysis.map_movement
    moved = _movement(material) if not movement.is_empty() else None
    drawn = [variant for variants in views.values() for variant in variants]
    blocks: list[Block] = [general_prose(analysis, "map", [*drawn, *([moved] if moved else [])], NOTHING)]
    for view, variants in views.items():
        if variants:
            note = f"{NOTES[view, _source(material)]}{_marks(material, view)}"
            blocks.append(Panel(view, TITLES[view], "Show", variants, note=note))
    if moved is not None:
        note = "Root mean square over texts or benchmarks; mean over base and dataset cells, bars are 95 % intervals."
        blocks.append(Panel("movement", "How far each epoch moved the models", "Distance", (moved,), note=note))
    if analysis.map_groups.height:
        rows = table_rows(analysis.map_groups, GROUPS)
        note = (
            "Share of the squared distances of base x dataset means after training that lies between groups; with "
            "labels shuffled within what the factor is crossed with, that much is left to chance."
        )
        blocks.append(DataTable("groups", "What models group by", GROUPS, rows, "map_groups.csv", note=note))
    question = "Which models are alike, and where did training move them?"
    return Section("map", "Map of models", question, tuple(blocks))


def _source(material: Material) -> str:
    return str(material.analysis.map_points["source"][0])


def _marks(material: Material, view: str) -> str:
    points = _points(material, view)
    told = " Stars are bases before training."
    if points.height > MOST_POINTS:
        return f"{told} Of {points.height:,} checkpoints only those after training are drawn."
    if points["last"].all():
        return told
    return f"{told} Lines join the epochs of a run; small marks are checkpoints before its last epoch."


def _points(material: Material, view: str) -> pl.DataFrame:
    return material.analysis.map_points.filter(pl.col("view") == view)


def _variants(material: Material, view: str) -> Iterator[Variant]:
    analysis = material.analysis
    points = _points(material, view)
    if points.is_empty():
        return
    found = found_on(analysis, "map", None, view)
    factors = [factor for factor in ("dataset", "base", "method") if points[factor].drop_nulls().n_unique() > 1]
    first = "base" if view == "models" else "dataset"
    ordered = sorted(factors or [first], key=lambda factor: factor != first)
    shares = analysis.map_components.filter(pl.col("view") == view)["share"].to_list()
    titles = [f"component {place + 1} ({100 * share:.0f} % of the variance)" for place, share in enumerate(shares[:2])]
    x_title, y_title = (*titles, "nothing is left for a second component")[:2]
    for factor in ordered:
        looks = Looks(factor, x_title, y_title)
        yield Variant(f"principal components, by {factor}", model_map(points, looks, material.palette), found)
    layout = analysis.map_tsne.filter(pl.col("view") == view)
    if layout.is_empty():
        return
    keys = ["checkpoint", "run", "base", "epoch"]
    at = layout.select(*keys, "x", "y").unique(keys, keep="first")
    placed = points.drop("x", "y").join(at, on=keys, nulls_equal=True, maintain_order="left")
    trust = (_trust(layout.row(0, named=True), layout.height),)
    for factor in ordered:
        figure = model_map(placed, Looks(factor, "t-SNE, first axis", "t-SNE, second axis"), material.palette)
        yield Variant(f"t-SNE, by {factor}", figure, (*found, *trust))


def _trust(row: dict[str, float], count: int) -> str:
    stable = ""
    if row["stability"] is not None:
        stable = (
            f", and {100 * row['stability']:.0f} % of neighbours in another layout from a random start are the same"
        )
    return (
        f"t-SNE of {counted(count, 'checkpoint')} at perplexity {row['perplexity']:.3g}: "
        f"{100 * row['neighbours_kept']:.0f} % of each one's nearest five are near it here as well{stable}. Distances "
        "between far groups mean little."
    )


def _movement(material: Material) -> Variant:
    movement = material.analysis.map_movement
    figure = movement_curves(counting(movement, *material.units), UNITS[str(movement["source"][0])], material.palette)
    return Variant("from the base", figure, found_on(material.analysis, "map", None, "movement"))
