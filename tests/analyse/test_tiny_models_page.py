"""The numbers of docs/tiny-models-study.md are those that the tables beside it give."""

import re
from pathlib import Path

import polars as pl
import pytest

from sftlab.analyse.answers import NEEDED, analysis_of_tables
from sftlab.analyse.properties import properties_frame
from sftlab.analyse.schemas import CONTRACT, conformed

DOCS = Path(__file__).resolve().parents[2] / "docs"
TABLES = DOCS / "tiny-models-study"
CELL = r"([+-]?[\d.]+) \[([+-]?[\d.]+), ([+-]?[\d.]+)\]"


def kept(name: str) -> pl.DataFrame:
    return pl.read_csv(TABLES / f"{name}.csv.gz", infer_schema_length=None)


@pytest.fixture(scope="module")
def found():
    there = {path.name.removesuffix(".csv.gz") for path in TABLES.glob("*.csv.gz")}
    read = {name: kept(name) if name in there else pl.DataFrame() for name in NEEDED}
    return analysis_of_tables("properties", {name: conformed(read[name], CONTRACT[name]) for name in NEEDED}, {})


@pytest.fixture(scope="module")
def page():
    return (DOCS / "tiny-models-study.md").read_text()


def table_after(page: str, heading: str, number: int = 0) -> list[list[str]]:
    """The cells of a table below a heading, without its head."""
    below = page.split(f"## {heading}\n", 1)[1]
    lines = re.findall(r"(?:^\|.*\n)+", below, flags=re.MULTILINE)[number]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines.splitlines()[2:]]


def numbers(text: str, pattern: str) -> list[float]:
    found = re.search(pattern, text)
    assert found, pattern
    return [float(number) for number in found.groups()]


def interval(cell: str) -> list[float]:
    found = re.match(CELL, cell)
    assert found, cell
    return [float(number) for number in found.groups()]


def estimate(frame: pl.DataFrame, value: str, scale: float = 1.0) -> list[float]:
    row = frame.row(0, named=True)
    return [scale * row[name] for name in (value, "ci_low", "ci_high")]


def test_leading_datasets_and_their_gains(page):
    ranking = kept("ranking").filter(pl.col("main"), pl.col("rank") == 1)
    rows = table_after(page, "Which data for which benchmark?")
    assert len(rows) == 7
    for benchmark, unit, dataset, *cells in rows:
        of_it = ranking.filter(benchmark=benchmark.strip("`"), dataset=dataset)
        scale = 100 if unit == "points" else 1
        for population, cell in zip(("these bases", "bases like these"), cells, strict=True):
            expected = estimate(of_it.filter(population=population), "gain", scale)
            assert interval(cell) == pytest.approx(expected, abs=0.051 if scale == 100 else 0.0051), benchmark


def test_correlations_of_properties(found, page):
    within = found.properties.filter(scope="within", kind="pearson", main=True)
    partial = found.partial_correlations.filter(scope="within", main=True)
    rows = table_after(page, "Does perplexity predict the gain?")
    assert len(rows) == 7
    for benchmark, *cells, largest in rows:
        here = within.filter(benchmark=benchmark.strip("`"))
        frames = [
            here.filter(property="response_perplexity"),
            partial.filter(benchmark=benchmark.strip("`"), property="response_perplexity"),
            here.filter(property="similarity"),
            here.filter(property="response_tokens"),
        ]
        for frame, cell in zip(frames, cells, strict=True):
            assert interval(cell) == pytest.approx(estimate(frame, "correlation"), abs=0.0051), benchmark
        top = here.sort(pl.col("correlation").abs(), descending=True).head(1)
        name, cell = re.split(r" (?=[+-])", largest, maxsplit=1)
        assert name.lower().replace(" ", "_") == top["property"][0]
        assert interval(cell) == pytest.approx(estimate(top, "correlation"), abs=0.0051), benchmark


def test_similarity_without_the_dataset_that_was_made_for_a_benchmark(found, page):
    made_for = {"facts_gold": "facts", "facts_answer": "facts", "strings_answer": "strings"}
    made_for |= {"arithmetic_answer": "arithmetic", "reading_choice": "reading", "gsm8k_gold": "gsm8k"}
    rows = table_after(page, "Does perplexity predict the gain?", number=1)
    assert [row[0].strip("`") for row in rows] == list(made_for)
    for name, *cells in rows:
        benchmark = name.strip("`")
        points = found.property_points.filter(benchmark=benchmark, property="similarity", main=True)
        for kept_points, cell in zip(
            (points, points.filter(pl.col("dataset") != made_for[benchmark])), cells, strict=True
        ):
            frame = properties_frame(kept_points, {}).filter(scope="within", kind="pearson")
            assert interval(cell) == pytest.approx(estimate(frame, "correlation"), abs=0.0051), benchmark


@pytest.mark.parametrize(("number", "divided"), [(0, False), (1, True)])
def test_correlations_of_layers(found, page, number, divided):
    rows = table_after(page, "Is it the middle layers?", number=number)
    assert len(rows) == 7
    for benchmark, *cells in rows:
        frame = found.layer_correlations.filter(benchmark=benchmark.strip("`"), divided_by_total=divided).sort("depth")
        for place, cell in enumerate(cells):
            assert interval(cell) == pytest.approx(estimate(frame[place], "correlation"), abs=0.0051), benchmark


def test_what_is_said_of_layers(found, page):
    told = (
        found.layer_correlations.group_by("divided_by_total").agg(pl.col("p_adjusted").min()).sort("divided_by_total")
    )
    text = " ".join(page.split())
    assert numbers(text, r"after correction \(p = (\S+) at best\)") + numbers(
        text, r"and p = (\S+) corrected at best"
    ) == (pytest.approx(told["p_adjusted"].to_list(), abs=0.0051))
    without = found.layer_correlations.filter(divided_by_total=False)
    assert without.filter(~pl.col("near_peak")).select("benchmark", "depth").rows() == [("nq_gold", 1.0)]
    large = without.filter(pl.col("benchmark").is_in(["reading_choice", "gsm8k_gold", "nq_gold"]))["correlation"].abs()
    assert numbers(text, r"correlations of (\S+) to (\S+) in size") == pytest.approx(
        [large.min(), large.max()], abs=0.0051
    )
    control = found.layer_correlations.filter(divided_by_total=True)
    assert (control["ci_low"] < 0).all()
    assert (control["ci_high"] > 0).all()
    change = found.layer_change.filter(pl.col("depth").is_not_null(), part="all").sort("depth")
    said = numbers(text, rf"first layer, {CELL} of their norm, and surely less in every later one, {CELL}")
    expected = [*estimate(change.head(1), "relative_change"), *estimate(change.tail(1), "relative_change")]
    assert said == pytest.approx(expected, abs=0.00051)
    assert change["near_peak"].to_list() == [True, False, False, False]


def test_what_is_said_of_properties(found, page):
    text = " ".join(page.split())
    within = found.properties.filter(scope="within", kind="pearson", main=True)
    sure = within.filter(verdict="higher")
    assert set(within["verdict"]) == {"higher", "cannot tell"}
    assert numbers(text, r"\((\d+) of (\d+) correlations after correction, all there") == [sure.height, within.height]
    assert set(sure["benchmark"]) == {"gsm8k_gold", "nq_gold"}
    assert set(sure["property"]) - {"similarity"} == {
        f"response_{unit}{kind}" for unit in ("tokens", "bytes") for kind in ("", "_median")
    }
    perplexity = within.filter(property="response_perplexity")
    facts = perplexity.filter(benchmark="facts_gold")
    others = perplexity.filter(pl.col("benchmark") != "facts_gold")
    assert numbers(text, r"as in the paper \(p = ([\d.]+) corrected") == pytest.approx(
        facts["p_adjusted"].to_list(), abs=0.0051
    )
    assert numbers(text, r"lie between (\S+) and (\S+), all") == pytest.approx(
        [others["correlation"].min(), others["correlation"].max()], abs=0.0051
    )
    assert ((others["ci_low"] < 0) & (others["ci_high"] > 0)).all()
    possible = found.strongest_property.filter(main=True, in_set=True).group_by("benchmark").len()
    assert numbers(text, r"of 15, at least (\d+) remain") == [possible["len"].min()]
    floor = found.properties.filter(benchmark="arithmetic_answer", metric="exact_match", property="similarity")
    row = floor.filter(scope="within", kind="pearson")
    assert numbers(text, rf"score 0, it is {CELL} ") == pytest.approx(estimate(row, "correlation"), abs=0.0051)
    assert numbers(text, rf"{CELL} \(p = (\S+) corrected\): nine")[3:] == pytest.approx(
        row["p_adjusted"].to_list(), abs=0.0051
    )


def test_what_is_said_of_the_design(found, page):
    text = " ".join(page.split())
    power = found.power.filter(main=True).group_by("question").agg(pl.col("smallest_effect").first())
    smallest = dict(power.iter_rows())
    assert numbers(text, r"from \|r\| = ([\d.]+) on, .*? from \|r\| = ([\d.]+) on") == pytest.approx(
        [
            smallest["correlation of a data property with gain"],
            smallest["correlation of weight change with gain"],
        ],
        abs=0.0051,
    )
    noise = {row["benchmark"]: row["sd"] for row in found.seed_noise.filter(main=True).to_dicts()}
    in_points = [100 * noise.pop(name) for name in ("facts_answer", "strings_answer", "reading_choice")]
    said = numbers(
        text, r"by ([\d.]+) points .*? ([\d.]+) on `strings_answer`, ([\d.]+) on `reading_choice`, and (\S+) to (\S+)"
    )
    assert said[:3] == pytest.approx(in_points, abs=0.051)
    assert said[3:] == pytest.approx([min(noise.values()), max(noise.values())], abs=0.0051)
    agreement = found.mean_agreement.filter(factor="base").row(0, named=True)
    for pattern in (
        r"mean correlation (\S+) after double centring, p = (\S+)\)",
        r"help which benchmark, (\S+), p = (\S+);",
    ):
        assert numbers(text, pattern) == pytest.approx([agreement["correlation"], agreement["p"]], abs=0.0051)


def test_what_is_said_of_gains_and_of_what_is_wrong(found, page):
    text = " ".join(page.split())
    on_reading = kept("gains").filter(benchmark="reading_choice", main=True, method="all")["verdict"]
    said = numbers(text, r"on `reading_choice` (\d+) of (\d+) base x dataset cells surely lost and (\d+) surely")
    assert said == [(on_reading == "lower").sum(), on_reading.len(), (on_reading == "higher").sum()]
    holds = found.consistency.filter(pl.col("main"))["holds"]
    assert numbers(text, r"benchmark pair of the (\d+) can be told") == [holds.len()]
    assert "everywhere" not in set(holds)
    audit = {one.check: one.text for one in found.audit if one.check in {"constant_values", "unequal_items"}}
    assert numbers(text, r"sums is 0 for (\d+) of (\d+) models") == numbers(audit["constant_values"], r"(\d+) of (\d+)")
    assert numbers(text, r"rests on (\d+) to (\d+) items") == numbers(
        audit["unequal_items"], r"on (\d+) to (\d+) items"
    )
    lost = [
        one.text
        for one in found.audit
        if one.check == "unequal_examples" and one.text.startswith(("of gsm8k", "of sci"))
    ]
    assert numbers(text, r"(\d+) % of GSM8K's examples .*? and (\d+) % of the science") == [
        numbers(one, r", (\d+) % of the examples")[0] for one in lost
    ]


def test_leaders_that_are_surely_the_best(page):
    text = " ".join(page.split())
    pairs = kept("comparisons").filter(pl.col("main"))
    surely = (
        pairs.group_by("population", "benchmark", "dataset")
        .agg(pl.len(), (pl.col("verdict") == "higher").sum().alias("higher"))
        .filter(pl.col("higher") == 9)
    )
    best = {row["benchmark"]: row["dataset"] for row in surely.filter(population="these bases").to_dicts()}
    assert best == {
        "facts_gold": "facts",
        "facts_answer": "facts",
        "strings_answer": "strings",
        "arithmetic_answer": "arithmetic",
    }
    assert "In four of seven benchmarks the dataset that is ahead is surely the best for the bases tried" in text
    assert surely.filter(population="bases like these").is_empty()
    ahead = kept("ranking").filter(pl.col("main"), pl.col("rank") == 1, population="bases like these")
    assert ahead.filter(pl.col("ci_low") > 0)["benchmark"].to_list() == ["gsm8k_gold"]


def test_a_property_that_goes_with_gain_is_not_called_the_strongest_where_that_cannot_be_told(found):
    said = [one.text for one in found.findings if one.section == "properties" and one.text.startswith("On gsm8k_gold")]
    assert said[0].startswith("On gsm8k_gold, similarity goes with gain, with the largest correlation: r = +0.85")
    assert "the strongest of 15 properties is one of 14 (95 % confidence)" in said[-1]
