"""From a study's cells and store to its answers."""

from collections.abc import Iterator, Mapping

import polars as pl

from sftlab.analyse.analysis import Analysis
from sftlab.analyse.audit.auditing import audit, without_excluded
from sftlab.analyse.data_findings import contests, data_findings
from sftlab.analyse.dimensions import dimension_findings, dimension_frames
from sftlab.analyse.edges import edge_findings
from sftlab.analyse.effects import SECTIONS, Finding, told
from sftlab.analyse.epochs import epoch_findings, epoch_gains_frame
from sftlab.analyse.findings import (
    gains_findings,
    headings,
    layer_findings,
    property_findings,
    training_findings,
)
from sftlab.analyse.gain_sets import Influence, MetricKey, gain_sets, item_influences, last_epochs
from sftlab.analyse.layers import layer_change_frame, layer_correlations_frame, profiles
from sftlab.analyse.maps import maps
from sftlab.analyse.partial import partial_correlations_frame, strongest_property_frame, strongest_sentences
from sftlab.analyse.power import power_findings, power_frame
from sftlab.analyse.properties import Sources, properties_frame, property_points, sources_of
from sftlab.analyse.ranking import comparisons_frame, gains_frame, metrics_frame, ranking_frame
from sftlab.analyse.synergy import synergy
from sftlab.analyse.tables import table
from sftlab.analyse.training import seed_noise_frame, training_frames
from sftlab.analyse.transfer import transfer_findings, transfer_frame
from sftlab.analyse.verdicts import LEVEL
from sftlab.analyse.wording import counted
from sftlab.store import Store
from sftlab.study.cells import Cells

STATE = "state"
"""Subject of sentences on what is not done."""
NEEDED = ("runs", "scores", "data", "layers", "validation", "dimensions", "logliks")


def analysis(cells: Cells, store: Store, tables: Mapping[str, pl.DataFrame] | None = None) -> Analysis:
    """The answers of a study as far as it has come; `tables` saves building those that are known already."""
    known = tables or {}
    built = {name: known[name] if name in known else table(name, cells, store) for name in NEEDED}
    return analysis_of_tables(cells.study, built, item_influences(cells, store), sources=sources_of(cells))


def analysis_of_tables(
    study: str,
    tables: Mapping[str, pl.DataFrame],
    influences: Mapping[MetricKey, Influence],
    *,
    sources: Sources | None = None,
) -> Analysis:
    """The answers from the tables `runs`, `scores`, `data`, `layers` and, where measured, `dimensions` and `logliks`.

    Without `influences` (results whose items are not known) intervals leave the choice of items out, and there are none
    for a single base. Without `sources` no dataset counts as a mixture of others. Scores that the audit excludes are
    left out, and the answers say so.
    """
    found = audit(tables)
    excluding = [one for one in found if not one.excluded.is_empty()]
    scores = without_excluded(tables["scores"], excluding)
    sets = gain_sets(scores, influences)
    ranking, comparisons = ranking_frame(sets), comparisons_frame(sets)
    gains = gains_frame(sets, scores)
    points = property_points(sets, tables["data"])
    properties = properties_frame(points, sources or {})
    partial = partial_correlations_frame(points, scores, sources or {})
    strongest = strongest_property_frame(points, sources or {})
    moved = profiles(tables["layers"], tables["runs"])
    change = layer_change_frame(moved, sources or {})
    correlations = layer_correlations_frame(moved, sets, sources or {})
    training, training_points = training_frames(sets, sources or {})
    noise = seed_noise_frame(sets)
    shared = synergy(sets, sources or {})
    dimension, dimension_change = dimension_frames(tables, sources or {})
    trajectories = epoch_gains_frame(scores, sources or {})
    transfer = transfer_frame(sets, shared.frames["agreement"], sources or {})
    mapped = maps({**tables, "scores": scores}, sources or {})
    power = power_frame(comparisons, training, properties, correlations)
    units = ("base family", "base families") if tables["runs"]["family"].n_unique() > 1 else ("base", "bases")
    findings = (
        *_state({**tables, "scores": scores}),
        *(Finding("data", f"Left out, as the audit found: {one.text}.", subject=one.check) for one in excluding),
        *data_findings(contests(sets, ranking, comparisons, gains), sets),
        *edge_findings(tables["runs"]),
        *gains_findings(gains),
        *shared.findings,
        *property_findings(properties),
        *(Finding("properties", text, name) for name, text in strongest_sentences(strongest).items()),
        *layer_findings(change, correlations, units),
        *dimension_findings(dimension, dimension_change, units),
        *training_findings(training, noise, units),
        *epoch_findings(trajectories, tables.get("validation", pl.DataFrame()), tables["runs"], units),
        *transfer_findings(transfer),
        *power_findings(power),
        *mapped.findings,
    )
    return Analysis(
        study=study,
        findings=findings,
        metrics=metrics_frame(scores),
        gains=gains,
        ranking=ranking,
        comparisons=comparisons,
        properties=properties,
        property_points=points,
        partial_correlations=partial,
        strongest_property=strongest,
        layer_change=change,
        layer_correlations=correlations,
        training=training,
        training_points=training_points,
        seed_noise=noise,
        power=power,
        **shared.frames,
        epoch_gains=trajectories,
        transfer=transfer,
        dimension_by_depth=dimension,
        dimension_change=dimension_change,
        **mapped.frames,
        maps=mapped.maps,
        audit=found,
    )


def _state(tables: Mapping[str, pl.DataFrame]) -> Iterator[Finding]:
    """What is missing, and that nothing can be said where no gain is known."""
    runs, scores = tables["runs"], tables["scores"]
    if last_epochs(scores)["gain"].count() == 0:
        if not {"pending", "done"} & set(scores["status"]):
            yield Finding("data", "Nothing can be said: no score could be had, and none is still to come.")
        else:
            why = "no run" if "done" not in runs["status"] else "no pair of tuned and base scores on the same items"
            yield Finding("data", f"Nothing can be said yet: there is {why} so far.")
    for noun, statuses in (("run", runs["status"]), ("score", _cell_statuses(scores))):
        missing = statuses.filter(statuses != "done")
        if missing.len():
            counts = missing.value_counts(sort=True)
            parts = ", ".join(f"{row['count']} {row['status']}" for row in counts.iter_rows(named=True))
            text = (
                f"Of {counted(statuses.len(), noun)}, {missing.len()} {'is' if missing.len() == 1 else 'are'} not done"
            )
            yield Finding("data", f"{text} ({parts}){_why(tables[f'{noun}s'])}.", subject=STATE)


def _why(table: pl.DataFrame) -> str:
    """The reason that most failed or unfit cells give, unless it is that of their run."""
    reasons = table.filter(pl.col("status").is_in(["failed", "unfit"]))["reason"].drop_nulls()
    own = reasons.filter(~reasons.str.starts_with("not trained: "))
    return f"; most often: {own.mode().sort()[0].rstrip('.')}" if own.len() else ""


def _cell_statuses(scores: pl.DataFrame) -> pl.Series:
    """One status a score cell: done if any of its metrics is."""
    order = pl.col("status").sort_by(pl.col("status") != "done").first()
    return scores.group_by("identity", "run", maintain_order=True).agg(order)["status"]


def answer_lines(found: Analysis) -> list[str]:
    """What to print: a heading and the sentences of each section that has any.

    Of data properties only the strongest of each benchmark, of correlations by depth only those that are surely not
    zero, of gains over the epochs only those that surely changed, of a training choice on many benchmarks only those
    where it surely makes a difference; the rest are counted and stand in the frames.
    """
    lines: list[str] = []
    for section in SECTIONS:
        of_section = [finding for finding in found.findings if finding.section == section]
        lines_of_section = list(told([finding for finding in of_section if _is_told(finding)]))
        untold = sum(finding.section == "layers" and not _is_told(finding) for finding in of_section)
        if untold:
            is_other = any(finding.benchmark is not None and _is_told(finding) for finding in of_section)
            what = counted(untold, "other correlation" if is_other else "correlation")
            lines_of_section.append(f"{what} of change by depth with gain cannot be told from 0.")
        if lines_of_section:
            lines += [headings()[section], *(f"  {text}" for text in lines_of_section)]
    return lines


def _is_told(finding: Finding) -> bool:
    if finding.section == "properties":
        return finding.subject is None
    is_course = finding.section == "training" and finding.subject == "epoch"
    if is_course or finding.in_overview or (finding.section == "layers" and finding.benchmark is not None):
        return finding.effect is not None and finding.effect.p is not None and finding.effect.p <= LEVEL
    return True
