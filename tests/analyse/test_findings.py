"""Sentences on training choices and gains say what there is, and no more often than it takes."""

import pytest

from sftlab.analyse.effects import told
from sftlab.analyse.findings import gains_findings, training_findings
from sftlab.analyse.frames import framed

FAMILIES = ("base family", "base families")


def choice(place, verdict, p, difference=0.02):
    return {
        "benchmark": f"k{place}", "scorer": "likelihood", "metric": "accuracy", "main": True, "unit": "accuracy",
        "factor": "method", "level": "full", "other": "lora", "difference": difference, "ci_low": difference - 0.03,
        "ci_high": difference + 0.03, "n": 4, "cells": 40, "p": p, "p_adjusted": p, "verdict": verdict,
        "smallest_effect": 0.05,
    }  # fmt: skip


def findings_of(rows):
    return list(training_findings(framed("training", rows), framed("seed_noise", []), FAMILIES))


def test_choice_on_few_benchmarks_is_told_of_each_and_its_smallest_effect_explained_once():
    found = findings_of([choice(place, "cannot tell", 0.5) for place in range(3)])
    *each, shared = told(found)
    assert len(each) == 3
    assert "full minus lora: +2 points of accuracy of gain [-1, +5] (n = 4 base families" in each[0]
    assert each[0].endswith("cannot tell; found from 5 points of accuracy.")
    assert shared.startswith("On each of these 3 benchmarks: found from tells the smallest difference")
    assert not any(finding.in_overview for finding in found)


def test_choice_on_many_benchmarks_is_summed_up_and_the_sure_ones_are_named():
    rows = [choice(place, "cannot tell", 0.5) for place in range(8)]
    rows += [choice(8, "higher", 0.001, 0.2), choice(9, "lower", 0.01, -0.1), choice(10, "too small to tell", None)]
    first, *each = findings_of(rows)
    assert first.text == (
        "Over 11 benchmarks, full minus lora: surely higher on k8, surely lower on k9, cannot be told on the other 8, "
        "too small to tell on 1; the clearest is on k8, +20 points of accuracy of gain [+17, +23] (n = 4 base "
        "families, 40 family x dataset cells), p = 0.001 corrected."
    )
    assert all(finding.in_overview for finding in each)


def test_noise_between_seeds_is_told_of_all_benchmarks_at_once():
    noise = [{**choice(place, None, None), "sd": 0.01, "df": 7} for place in range(2)]
    kept = [{name: row[name] for name in row if name in framed("seed_noise", []).columns} for row in noise]
    together, *each = training_findings(framed("training", []), framed("seed_noise", kept), FAMILIES)
    assert together.text == (
        "Between seeds, gains vary by a standard deviation of 1 points of accuracy on k0 (7 df) and 1 points of "
        "accuracy on k1 (7 df)."
    )
    assert [finding.in_overview for finding in each] == [True, True]
    (alone,) = training_findings(framed("training", []), framed("seed_noise", kept[:1]), FAMILIES)
    assert "on k0 varies by 1 points of accuracy (standard deviation, 7 df)" in alone.text


def test_difference_larger_than_any_is_found_from_none():
    (finding,) = findings_of([choice(0, "cannot tell", 0.5) | {"smallest_effect": 1.4}])
    assert finding.text.endswith("cannot tell; no difference that there can be would be found.")


def gained(base, gain, p, **columns):
    ends = {} if p is None else {"ci_low": gain - 0.1, "ci_high": gain + 0.1, "items": 50}
    row = {**choice(0, None, p), "base": base, "dataset": "x", "method": "all", "gain": gain, "status": "done"}
    kept = {
        name: row[name] for name in row if name in framed("gains", []).columns and name not in {"ci_low", "ci_high"}
    }
    return {**kept, "verdict": "cannot tell", **ends, **columns}


@pytest.mark.parametrize(
    ("p", "said"), [(0.5, "0 surely gained, 0 surely lost and 2 cannot be told"), (None, "no gain")]
)
def test_gains_without_a_test_are_not_counted_by_sign(p, said):
    (finding,) = gains_findings(framed("gains", [gained("a", 0.1, p), gained("b", 0.2, p)]))
    (sentence,) = told([finding])
    assert said in sentence.lower()
    assert "the largest gain is x on b: +20 points of accuracy" in sentence
    assert ("what is sure" in sentence.lower()) == (p is not None)
    assert "likely too high" in sentence


def test_gain_without_items_claims_no_number_of_them():
    (finding,) = gains_findings(framed("gains", [gained("a", 0.1, None)]))
    assert "item" not in finding.text
    assert "no gain of a single base has an interval" in finding.caveats[0]
