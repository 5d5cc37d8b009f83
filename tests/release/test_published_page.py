"""The numbers of docs/published-results.md are those that the released rows give."""

import re
from pathlib import Path

import polars as pl
import pytest

from sftlab.analyse.intervals import correlation
from sftlab.analyse.properties import correlated_within
from sftlab.analyse.results import imported_results
from sftlab.release.imports.massive_sft import massive_sft

PAGE = Path(__file__).resolve().parents[2] / "docs" / "published-results.md"


@pytest.fixture(scope="module")
def results(shared):
    return imported_results(massive_sft(shared / "data" / "published" / "massive_sft_7_bases.csv", {}))


@pytest.fixture(scope="module")
def page():
    return " ".join(PAGE.read_text().split())


def told(page, pattern):
    found = re.search(pattern, page)
    assert found, pattern
    return [float(number) for number in found.groups()]


def test_agreement_between_families(results, page):
    row = results.analysis.mean_agreement.filter(factor="base").row(0, named=True)
    expected = [row["correlation"], row["ci_low"], row["ci_high"], row["p"]]
    pattern = r"mean correlation (\S+) \[(\S+), (\S+)\] after double centring, p = (\S+);"
    assert told(page, pattern) == pytest.approx(expected, abs=0.0051)


def test_components(results, page):
    frame = results.analysis.components
    needed = int((frame["cumulative"] < 0.9 - 1e-12).sum()) + 1
    assert told(page, r"it takes (\d+) of (\d+),") == [needed, frame.height]
    assert frame["beyond_null"].to_list() == [True] + [False] * (frame.height - 1)


@pytest.mark.parametrize(
    ("factor", "benchmark", "scale", "pattern"),
    [
        ("method", "math-0shot", 100, r"MATH (\S+) points \[(\S+), (\S+)\]"),
        ("method", "gsm8k-4shot", 100, r"GSM8K 4-shot (-1\S+) \[(\S+), (\S+)\]"),
        ("method", "gsm8k-0shot", 100, r"0-shot (\S+) \[(\S+), (\S+)\] \(p = 0.41"),
        ("method", "nq-1shot", 100, r"NaturalQuestions 1-shot (\S+) points \[(\S+), (\S+)\]"),
        ("method", "mtbench-total", 1, r"MT-Bench (\S+) of 10 \[(\S+), (\S+)\]"),
        ("samples", "mtbench-total", 1, r"1,000: MT-Bench (\S+) \[(\S+), (\S+)\]"),
        ("samples", "mmlu-5shot", 100, r"MMLU 5-shot (\S+) points \[(\S+), (\S+)\]"),
        ("samples", "gsm8k-4shot", 100, r"GSM8K 4-shot (-3\S+) \[(\S+), (\S+)\]; three"),
    ],
)
def test_training_choices(results, page, factor, benchmark, scale, pattern):
    row = results.analysis.training.filter(factor=factor, benchmark=benchmark).row(0, named=True)
    expected = [scale * row[name] for name in ("difference", "ci_low", "ci_high")]
    assert told(page, pattern) == pytest.approx(expected, abs=0.051 if scale == 100 else 0.0051)


@pytest.mark.parametrize(
    ("other", "pattern"),
    [("jmmlu-0shot", r"JMMLU: r = (\S+) \[(\S+), (\S+)\]"), ("cmmlu-0shot", r"CMMLU: (\S+) \[(\S+), (\S+)\]")],
)
def test_transfer_between_languages(results, page, other, pattern):
    gains = results.analysis.gains.filter(pl.col("method") == "all", pl.col("gain").is_not_null())
    single = gains.filter(~pl.col("dataset").str.starts_with("w/o") & (pl.col("dataset") != "all"))
    wide = single.pivot("benchmark", index=["family", "base", "dataset"], values="gain")
    both = wide.drop_nulls(["mmlu-0shot", other])
    cells = both.group_by("family", "dataset", maintain_order=True).agg(pl.col("mmlu-0shot", other).mean())
    x, y = correlated_within(cells["mmlu-0shot"].to_numpy(), cells[other].to_numpy(), cells)
    estimate = correlation(x, y, n=10)
    assert told(page, pattern) == pytest.approx([estimate.value, estimate.ci_low, estimate.ci_high], abs=0.0051)


def test_shares_of_variance(results, page):
    shares = {row["source"]: row for row in results.analysis.variance_shares.to_dicts()}
    for source, pattern in (
        ("dataset", r"of gains, (\d+) % \[(\d+), (\d+)\] is which dataset it was"),
        ("base x benchmark", r"was, (\d+) % \[(\d+), (\d+)\] which base on which"),
        ("dataset x benchmark", r"benchmark, (\d+) % \[(\d+), (\d+)\] which dataset on which"),
        ("base x dataset", r"and (\d+) % \[(\d+), (\d+)\] which base with which"),
    ):
        row = shares[source]
        expected = [100 * row[name] for name in ("share", "ci_low", "ci_high")]
        assert told(page, pattern) == pytest.approx(expected, abs=0.51), source


def test_counts_of_the_audit_and_of_what_holds(results, page):
    low = [len(one.rows) for one in results.audit if one.check == "below_chance"]
    assert told(page, r"settings, (\d+) to (\d+) of 863 scores lie surely below chance") == [min(low), max(low)]
    holds = results.analysis.consistency["holds"].value_counts()
    everywhere = dict(holds.iter_rows())["everywhere"]
    assert told(page, r"; (\d+) of (\d+) dataset x benchmark cells") == [
        everywhere,
        results.analysis.consistency.height,
    ]
