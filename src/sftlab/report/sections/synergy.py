"""How base, data and benchmark interact."""

import polars as pl

from sftlab.analyse.agreement import TWO_QUESTIONS
from sftlab.report.blocks import Block, Panel, Section, Variant
from sftlab.report.figures.gains import gain_lines
from sftlab.report.figures.synergy import agreement_map, consistency_map, loadings_map, scree, share_forest
from sftlab.report.sections.material import Material, counting
from sftlab.report.sections.outcomes import general_prose, outcomes
from sftlab.report.text import interval, number, signed

FACTOR_TITLES = {"base": "Bases", "dataset": "Datasets", "benchmark": "Benchmarks"}


def synergy(material: Material) -> Section:
    """What holds over families, how alike the levels of each factor are, components, and shares of variance."""
    analysis = material.analysis
    blocks: list[Block] = [
        general_prose(analysis, "synergy", (), "Too small to tell: interactions need several bases and datasets.")
    ]
    if not analysis.consistency.is_empty():
        blocks.append(_consistency(material))
    if not analysis.agreement.is_empty():
        blocks.append(_agreement(material))
    if not analysis.variance_shares.is_empty():
        figure = share_forest(analysis.variance_shares)
        note = (
            "A random-effects model of gains, every benchmark scaled to the same variance. Intervals leave one family "
            "and one dataset out at a time."
        )
        variant = Variant("all benchmarks", figure, ())
        blocks.append(Panel("shares", "What gains depend on", "Benchmarks", (variant,), note=note))
    if not analysis.components.is_empty():
        note = (
            "Each base's mean is taken out first. The dashed line is what as many models and benchmarks give when "
            "datasets are permuted within base: bars below it show nothing shared."
        )
        variants = (
            Variant("share of variance", scree(analysis.components), ()),
            Variant("loadings", loadings_map(analysis.loadings), ()),
        )
        blocks.append(Panel("components", "Principal components of gains", "Show", variants, note=note))
    question = "Which data help everywhere, and which only some bases?"
    return Section("synergy", "Synergy", question, tuple(blocks))


def _consistency(material: Material) -> Panel:
    rows = []
    for outcome in outcomes(material.analysis.consistency, main_only=True):
        shown = outcome.shown(material.analysis.consistency, "gain", "ci_low", "ci_high", "new_low", "new_high", "sd")
        for row in counting(shown, *material.units).to_dicts():
            lines = [f"{row['dataset']} on {row['benchmark']}: {row['holds']}"]
            lines += gain_lines({**row, "value": row["gain"]}, outcome.shown_unit)
            if row["new_low"] is not None:
                lines.append(f"a new family: {signed(row['new_low'])} to {signed(row['new_high'])}")
            if row["sd"] is not None:
                lines.append(f"spread between families {number(row['sd'])}")
            if row["helped"] or row["hurt"]:
                lines.append(f"surely gained {row['helped']}, surely lost {row['hurt']} of {row['n']}")
            rows.append({**row, "lines": lines})
    note = (
        "Star: a new family like these would gain too (95 % prediction interval above 0). Circle: the mean over "
        "families surely gains. Triangle: some families surely gain. Diamond: some gain, some lose. Triangle "
        "downwards, square and cross: some, the mean and a new family lose. Hollow: unknown."
    )
    variant = Variant("all benchmarks", consistency_map(rows), ())
    return Panel("consistency", "What holds over base families", "Benchmarks", (variant,), note=note)


def _agreement(material: Material) -> Panel:
    analysis = material.analysis
    means = {row["factor"]: row for row in analysis.mean_agreement.to_dicts()}
    variants = []
    for factor, title in FACTOR_TITLES.items():
        pairs = analysis.agreement.filter(pl.col("factor") == factor)
        if pairs.is_empty():
            continue
        mean = means.get(factor)
        units = material.units if factor == "base" else (factor, f"{factor}s")
        found = () if mean is None else (_mean(mean, units),)
        variants.append(Variant(title, agreement_map(pairs, factor), found))
    note = (
        "Below the diagonal after double centring (what is left is which goes with which), above it gains as they are, "
        "where strong bases and easy benchmarks alone make everything look alike. Of the numbers below the diagonal, "
        f"{TWO_QUESTIONS}"
    )
    return Panel("agreement", "How alike they behave", "Between", tuple(variants), note=note)


def _mean(row: dict[str, int | float], units: tuple[str, str]) -> str:
    known = row["ci_low"] is not None
    ends = interval(row["ci_low"], row["ci_high"]) if known else "no interval with so few families or datasets"
    return (
        f"Mean correlation below the diagonal {signed(row['correlation'])} ({ends}, p = {number(row['p'])}, "
        f"n = {row['n']} {units[row['n'] != 1]})."
    )
