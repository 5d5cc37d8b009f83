"""Figures of synergy and the audit's table show what the analysis found."""

import polars as pl
import pytest

from sftlab.analyse.audit.finding import AuditFinding
from sftlab.analyse.frames import framed
from sftlab.report.figures.synergy import agreement_map, consistency_map, loadings_map, scree, share_forest
from sftlab.report.sections.audit import audit
from sftlab.report.sections.material import Material
from sftlab.report.sections.synergy import synergy

from .synthetic_analysis import empty_analysis


def pair(level, other, raw, correlation):
    return {
        "factor": "base",
        "level": level,
        "other": other,
        "raw": raw,
        "correlation": correlation,
        "units": "dataset",
    }


PAIRS = framed("agreement", [pair("a", "b", 0.9, 0.1), pair("a", "c", 0.8, -0.2), pair("b", "c", 0.7, 0.3)])


def test_map_has_centred_correlations_below_and_raw_ones_above_the_diagonal():
    (trace,) = agreement_map(PAIRS, "base")["data"]
    assert trace["z"] == [[None, 0.9, 0.8], [0.1, None, 0.7], [-0.2, 0.3, None]]
    assert "not centred: +0.900" in trace["hovertext"][0][1]
    assert "double-centred: +0.100" in trace["hovertext"][1][0]


def test_scree_shows_shares_beside_the_null():
    frame = framed(
        "components",
        [
            {"component": 1, "share": 0.7, "cumulative": 0.7, "null_share": 0.5, "null_high": 0.6, "beyond_null": True},
            {
                "component": 2,
                "share": 0.3,
                "cumulative": 1.0,
                "null_share": 0.5,
                "null_high": 0.55,
                "beyond_null": False,
            },
        ],
    )
    bars, null, together = scree(frame)["data"]
    assert bars["y"] == pytest.approx([70, 30])
    assert null["y"] == pytest.approx([60, 55])
    assert together["y"] == pytest.approx([70, 100])


def test_loadings_stand_in_the_row_of_their_benchmark():
    rows = [
        {"component": 1, "benchmark": "x", "loading": 0.6},
        {"component": 1, "benchmark": "y", "loading": 0.8},
        {"component": 2, "benchmark": "x", "loading": -0.8},
        {"component": 2, "benchmark": "y", "loading": 0.6},
    ]
    (trace,) = loadings_map(framed("loadings", rows))["data"]
    assert trace["z"] == [[0.6, -0.8], [0.8, 0.6]]


def test_largest_share_is_on_top():
    rows = [{"source": "base", "share": 0.2, "n": 4}, {"source": "dataset", "share": 0.8, "n": 4}]
    layout = share_forest(framed("variance_shares", rows))["layout"]
    assert layout["yaxis"]["ticktext"] == ["dataset", "base"]


def test_every_cell_of_the_consistency_map_is_drawn_once():
    rows = [
        {"benchmark": benchmark, "dataset": dataset, "holds": holds, "lines": [dataset]}
        for benchmark, dataset, holds in [("m", "d", "everywhere"), ("m", "e", "mixed"), ("k", "d", "cannot tell")]
    ]
    traces = consistency_map(rows)["data"]
    assert sorted((x, y) for trace in traces for x, y in zip(trace["x"], trace["y"], strict=True)) == [
        (0, 0),
        (0, 1),
        (1, 0),
    ]


def material_of(analysis):
    return Material(analysis, {}, None, None)


def test_section_without_interactions_says_that_it_is_too_small():
    section = synergy(material_of(empty_analysis()))
    assert "Too small to tell" in section.blocks[0].sentences[0]
    assert len(section.blocks) == 1


def test_audit_section_lists_findings_and_what_is_left_out():
    excluded = pl.DataFrame({"checkpoint": ["c"], "benchmark": ["m"], "scorer": ["g"], "metric": ["accuracy"]})
    finding = AuditFinding("copied_scores", "error", "two are one", "why", "what", excluded, excluded)
    analysis = empty_analysis()
    object.__setattr__(analysis, "audit", (finding,))
    prose, table = audit(material_of(analysis)).blocks
    assert "leave 1 score out" in prose.sentences[0]
    assert table.rows == (("error", "two are one", "why", "what", 1, "copied_scores"),)


def test_clean_study_has_no_findings_to_list():
    (prose,) = audit(material_of(empty_analysis())).blocks
    assert "found nothing" in prose.sentences[0]
