"""Datasets not tried on the same bases are ranked by what they share, never by means over different bases."""

import polars as pl
import pytest

from sftlab.analyse.data_findings import contests, data_findings
from sftlab.analyse.frames import framed
from sftlab.analyse.gain_sets import FACTORS, GainSet
from sftlab.analyse.ranking import comparisons_frame, ranking_frame

RECIPE = dict.fromkeys(FACTORS) | {"method": "full"}
STRONG_BASE, WEAK_BASE, THIRD_BASE = "strong", "weak", "third"


def gain_set(gains):
    """Gains in bits per byte of dataset x base cells, one run each; bases are of families of their own."""
    rows = [
        {"run": f"{base}/{dataset}", "base": base, "family": base, "dataset": dataset, "gain": gain, **RECIPE}
        for (dataset, base), gain in gains.items()
    ]
    return GainSet(("sums", "likelihood", "bits_per_byte"), True, pl.DataFrame(rows))


def ranked(found):
    """Datasets with a rank, best first."""
    rows = ranking_frame([found]).unique("dataset").drop_nulls("rank").sort("rank")
    return rows["dataset"].to_list()


def told(found):
    """The answer in sentences."""
    frames = ranking_frame([found]), comparisons_frame([found]), framed("gains", [])
    return list(data_findings(contests([found], *frames), [found]))


HALF_DONE = {
    ("arithmetic", STRONG_BASE): 11.0,
    ("gsm8k", STRONG_BASE): 8.0,
    ("strings", STRONG_BASE): 2.0,
    ("arithmetic", WEAK_BASE): 3.9,
    ("strings", WEAK_BASE): -0.9,
}


def test_leader_of_a_half_done_study_is_behind_no_other_on_the_bases_they_share():
    found = gain_set(HALF_DONE)
    means = {row["dataset"]: row["gain"] for row in ranking_frame([found]).iter_rows(named=True)}
    assert means["gsm8k"] > means["arithmetic"] == pytest.approx(7.45)
    assert ranked(found) == ["arithmetic", "gsm8k", "strings"]
    first, sentence, *_ = told(found)
    assert "arithmetic leads" in first.text
    assert "On sums, arithmetic helped most: +7.45 bits per byte" in sentence.text
    assert "ordered by their differences on those that each two share" in " ".join(sentence.caveats)


def test_leader_that_lost_itself_does_not_say_that_nothing_helped():
    found = gain_set({("facts", STRONG_BASE): -1.0, ("science", STRONG_BASE): 0.0, ("facts", WEAK_BASE): 6.0})
    first, sentence, *_ = told(found)
    assert "science leads" in first.text
    assert "science did best where two were tried alike, with 0 bits per byte" in sentence.text


def test_study_that_is_done_is_ranked_by_means_and_says_nothing_of_order():
    found = gain_set({**HALF_DONE, ("gsm8k", WEAK_BASE): 12.0})
    assert ranked(found) == ["gsm8k", "arithmetic", "strings"]
    assert told(found)[1].caveats == ()


def test_dataset_that_shares_no_base_with_the_others_has_no_rank():
    found = gain_set({**HALF_DONE, ("chat", THIRD_BASE): 40.0})
    assert ranked(found) == ["arithmetic", "gsm8k", "strings"]
    assert "not counted: chat (other bases)" in told(found)[1].caveats


def test_datasets_of_a_base_each_are_not_ranked():
    found = gain_set({("arithmetic", STRONG_BASE): 1.0, ("chat", WEAK_BASE): 2.0})
    assert ranked(found) == []
    first, sentence, *_ = told(found)
    assert "sums (no common base)" in first.text
    assert "no two datasets were tried on the same base with the same recipe" in sentence.text


def test_circle_of_differences_is_led_by_the_one_furthest_ahead_in_sum():
    ahead = {("a", "x"): 5.0, ("b", "x"): 0.0, ("b", "y"): 2.0, ("c", "y"): 0.0, ("c", "z"): 1.0, ("a", "z"): 0.0}
    assert ranked(gain_set(ahead)) == ["a", "b", "c"]
