"""The numbers of docs/published-results.md are those that the released rows give."""

import re
from pathlib import Path

import polars as pl
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


@pytest.mark.parametrize(
    ("benchmark", "epoch", "scale", "pattern"),
    [
        ("nq-0shot", 2, 100, r"0-shot with full, (\S+) points \[(\S+), (\S+)\] from the second"),
        ("mtbench-total", 1, 1, r"with full: MT-Bench (\S+) of 10 \[(\S+), (\S+)\]"),
        ("mmlu-5shot", 1, 100, r"MMLU 5-shot (\S+) points \[(\S+), (\S+)\], HumanEval"),
        ("humaneval-0shot", 1, 100, r"HumanEval 0-shot (\S+) \[(\S+), (\S+)\]"),
    ],
)
def test_what_later_epochs_brought(results, page, benchmark, epoch, scale, pattern):
    courses = results.analysis.epoch_gains.filter(pl.col("dataset").is_null(), pl.col("epochs") == 10)
    (row,) = courses.filter(benchmark=benchmark, method="full", epoch=epoch).to_dicts()
    expected = [scale * row[name] for name in ("to_end", "to_end_low", "to_end_high")]
    assert told(page, pattern) == pytest.approx(expected, abs=0.051 if scale == 100 else 0.0051)


def test_courses_over_the_epochs_that_are_sure(results, page):
    together = results.analysis.epoch_gains.filter(pl.col("dataset").is_null())
    courses = together.partition_by("benchmark", "method", "epochs")
    grew = [one for one in courses if "higher" in one["verdict"]]
    fell = [one for one in courses if "lower" in one.filter("peak")["verdict"]]
    assert told(page, r"of (\d+) courses of the gain") == [len(courses)]
    assert [one["benchmark"][0] for one in grew] == ["nq-0shot"]
    assert told(page, r"to the tenth; (\d+) surely fell") == [len(fell)]
    first = together.filter(method="full", epochs=10, epoch=1)
    corrected = dict(first.select("benchmark", "p_adjusted").iter_rows())
    assert told(page, r"\(p = (\S+) corrected\), MMLU") == pytest.approx([corrected["mtbench-total"]], abs=0.0051)
    assert told(page, r"\(p = (\S+) corrected; one family") == pytest.approx([corrected["humaneval-0shot"]], abs=0.0051)


@pytest.mark.parametrize(
    ("view", "factor", "pattern"),
    [
        (
            "models",
            "base",
            r"settings, (\S+) % of the squared distances .* bases \(97.5 % of \w+ \w+ stay below (\S+) %\) and",
        ),
        ("models", "dataset", r"and (\d+) % between datasets \((\S+) %\); of what"),
        ("changes", "base", r"training changed, (\S+) % between bases \((\S+) %\)"),
        ("changes", "dataset", r"and (\d+) % between datasets \((\S+) %\); p ="),
        ("models", "method", r"distances (\S+) % lie between the two methods \(97.5 % of \w+ \w+ stay below (\S+) %\)"),
    ],
)
def test_map_of_models_from_scores(results, page, view, factor, pattern):
    (row,) = results.analysis.map_groups.filter(view=view, factor=factor).to_dicts()
    tolerance = 0.051 if factor == "method" else 0.51
    assert told(page, pattern) == pytest.approx([100 * row["share"], 100 * row["null_high"]], abs=tolerance)
    assert row["p_adjusted"] == pytest.approx(0.001)
    assert row["source"] == "scores"


@pytest.mark.parametrize(
    ("method", "pattern"),
    [
        ("lora", r"LoRA models are (\d+) % \[(\d+), (\d+)\] as far"),
        ("full", r"full ones (\d+) % \[(\d+), (\d+)\]"),
    ],
)
def test_how_far_the_first_epoch_moved_models(results, page, method, pattern):
    (row,) = results.analysis.map_movement.filter(method=method, epochs=10, epoch=1).to_dicts()
    expected = [100 * row[name] for name in ("share", "share_low", "share_high")]
    assert told(page, pattern) == pytest.approx(expected, abs=0.51)
