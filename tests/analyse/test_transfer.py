"""Gains on one language's version of a benchmark against those on another's."""

import numpy as np
import polars as pl
import pytest
from scipy import stats

from sftlab.analyse.frames import framed
from sftlab.analyse.gain_sets import gain_sets
from sftlab.analyse.schemas import SCORES, conformed
from sftlab.analyse.transfer import language_of, transfer_findings, transfer_frame

BASES, DATASETS = ("a", "b", "c", "d"), tuple(f"d{place}" for place in range(8))


def sets(shared: float):
    """Every dataset moves MMLU as it likes, and JMMLU by `shared` of that; arithmetic is no language's version."""
    generator = np.random.default_rng(0)
    rows = []
    for base in BASES:
        for dataset in DATASETS:
            english = generator.normal()
            gains = {"mmlu-5shot": english, "JMMLU": shared * english + generator.normal(0, 0.3), "arithmetic": english}
            for benchmark, gain in gains.items():
                rows.append(
                    {"run": f"{base}/{dataset}", "base": base, "family": base, "dataset": dataset, "method": "full"}
                    | {"benchmark": benchmark, "scorer": "likelihood", "metric": "accuracy", "main": True, "epoch": 1}
                    | {"gain": gain + ord(base), "status": "done", "seed": 0}
                )
    return gain_sets(conformed(pl.DataFrame(rows), SCORES))


def test_correlation_is_that_of_gains_centred_by_base():
    frame = transfer_frame(sets(1.0), framed("agreement", []))
    row = frame.row(0, named=True)
    english, japanese = (one.gains.reshape(len(BASES), -1) for one in sets(1.0)[:2])
    witness = stats.pearsonr(
        (english - english.mean(axis=1, keepdims=True)).ravel(),
        (japanese - japanese.mean(axis=1, keepdims=True)).ravel(),
    )
    assert frame.height == 1
    assert row["correlation"] == pytest.approx(witness.statistic)
    assert (row["n"], row["cells"], row["verdict"]) == (8, 32, "higher")
    assert (row["language"], row["other_language"]) == ("English", "Japanese")


def test_sentence_says_whether_gains_carry_over_and_what_double_centring_leaves():
    pair = {"factor": "benchmark", "level": "JMMLU", "other": "mmlu-5shot", "correlation": 0.25}
    (sure,) = transfer_findings(transfer_frame(sets(1.0), framed("agreement", [pair])))
    assert (
        "From mmlu-5shot (English) to JMMLU (Japanese), gains carry over: over datasets within bases r = +0.9"
        in sure.text
    )
    assert "+0.25 after double centring" in sure.text
    (unsure,) = transfer_findings(transfer_frame(sets(0.0), framed("agreement", [])))
    assert "whether gains carry over cannot be told" in unsure.text


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("mmlu", "English"),
        ("CMMLU-0shot", "Chinese"),
        ("mmlu_ja", "Japanese"),
        ("mmmlu_ja", "Japanese"),
        ("math", None),
    ],
)
def test_language_is_known_by_name(name, language):
    assert language_of(name) == language
