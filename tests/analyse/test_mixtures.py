"""Intervals cover planted truths, and nothing is found where nothing is, with mixtures of the datasets present."""

import numpy as np
import polars as pl
import pytest

from sftlab.analyse.gain_sets import FACTORS, GainSet
from sftlab.analyse.ranking import LIKE_THESE, comparisons_frame, ranking_frame
from sftlab.analyse.training import training_frames

MIXTURES = {"all": "abcd", "no-a": "bcd", "no-b": "acd", "no-c": "abd", "no-d": "abc"}
SOURCES = {name: frozenset(parts) for name, parts in MIXTURES.items()}
MADE_OF = {**{name: name for name in "abcd"}, **MIXTURES}
ITEMS = 40
STUDIES = 80


def study_of_no_effect(random, families):
    """Gains of mean 0 after full and lora; a mixture's is the mean of its parts', and so is its choice of items."""
    shift_FP, of_item_PI = random.normal(0, 0.3, (families, 4)), random.normal(0, 0.3, (4, ITEMS))
    lora_F, lora_P = random.normal(0, 0.15, families), random.normal(0, 0.15, 4)
    family_F = random.normal(0, 0.3, families)
    rows, pull_RI = [], []
    for family in range(families):
        for name, parts in MADE_OF.items():
            places = ["abcd".index(part) for part in parts]
            for method in ("full", "lora"):
                of_item_I = of_item_PI[places].mean(axis=0) + random.normal(0, 0.1, ITEMS)
                gain = family_F[family] + shift_FP[family, places].mean() + of_item_I.mean() + random.normal(0, 0.01)
                gain += (lora_F[family] + lora_P[places].mean()) * (0.5 if method == "lora" else -0.5)
                names = {"run": f"{family}{name}{method}", "base": f"base{family}", "family": f"family{family}"}
                recipe = {**dict.fromkeys(FACTORS), "method": method}
                rows.append({**names, "dataset": name, **recipe, "gain": gain})
                pull_RI.append((of_item_I - of_item_I.mean()) / ITEMS)
    pull = np.array(pull_RI, dtype=np.float32)
    return GainSet(("bench", "likelihood", "score"), True, pl.DataFrame(rows), pull)


@pytest.mark.parametrize("families", [3, 6])
def test_intervals_cover_and_nulls_are_rarely_found_with_mixtures(families):
    random = np.random.default_rng(families)
    gains, false, methods = [], [], []
    for _ in range(STUDIES):
        gain_set = study_of_no_effect(random, families)
        ranking = ranking_frame([gain_set]).filter(population=LIKE_THESE)
        gains.append(((ranking["ci_low"] <= 0) & (ranking["ci_high"] >= 0)).mean())
        pairs = comparisons_frame([gain_set]).filter(population=LIKE_THESE)
        false.append("higher" in set(pairs["verdict"]))
        (method,) = training_frames([gain_set], SOURCES)[0].to_dicts()
        methods.append(method["ci_low"] <= 0 <= method["ci_high"])
    least = 0.95 - 2 * np.sqrt(0.95 * 0.05 / STUDIES)
    assert np.mean(gains) >= least
    assert np.mean(methods) >= least
    assert np.mean(false) <= 0.06
