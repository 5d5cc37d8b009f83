"""The numbers of docs/published-results.md are those that the released rows give."""

import re
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("benchmark", ["mmlu-0shot", "mmlu-5shot"])
def test_transfer_between_languages(results, page, benchmark):
    found = {row["other"]: row for row in results.analysis.transfer.filter(benchmark=benchmark).to_dicts()}
    shots = benchmark.removeprefix("mmlu-").replace("shot", "-shot")
    begin = rf"gains on MMLU {shots}[a-z ]* gains on JMMLU: (?:r = )?"
    for other, pattern in (
        ("jmmlu-0shot", begin + r"(\S+) \[(\S+), (\S+)\]"),
        ("cmmlu-0shot", begin + r"[^;]*; with CMMLU: (\S+) \[(\S+), (\S+)\]"),
    ):
        expected = [found[other][name] for name in ("correlation", "ci_low", "ci_high")]
        assert told(page, pattern) == pytest.approx(expected, abs=0.0051)


@pytest.mark.parametrize(("benchmark", "surely"), [("mmlu-0shot", False), ("mmlu-5shot", True)])
def test_chinese_follows_english_where_the_page_says_so(results, benchmark, surely):
    (row,) = results.analysis.transfer.filter(benchmark=benchmark, other="cmmlu-0shot").to_dicts()
    assert (row["verdict"] == "higher") == surely


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
