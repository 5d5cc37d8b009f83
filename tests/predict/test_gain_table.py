"""What predictors are shown of a study."""

import numpy as np
import polars as pl
import pytest

import sftlab
from sftlab.analyse.gain_sets import gain_sets
from sftlab.analyse.properties import cell_gains
from sftlab.predict.gain_table import GainTable, gain_table
from tests.predict.test_predicting import HELPS, NOISE, made_scores


def table_of(frame: pl.DataFrame) -> GainTable:
    results = sftlab.from_scores(frame)
    return gain_table(gain_sets(results.scores()), results.scores(), results.data())


def test_gains_are_the_cell_means_of_the_analyses_where_all_recipes_are_there() -> None:
    frame = made_scores(3, methods=("full", "lora"))
    table = table_of(frame)
    (one, _) = gain_sets(sftlab.from_scores(frame).scores())
    for base, _, dataset, gain in cell_gains(one).iter_rows():
        place = table.bases.index(base), table.datasets.index(dataset), 0
        assert table.gain[place] == pytest.approx(gain, abs=1e-12)


def test_cell_that_lacks_a_recipe_is_not_mistaken_for_a_better_one() -> None:
    """Gains of LoRA are 0.2 lower; after math, base 1 has not been trained with LoRA yet."""
    frame = made_scores(3, methods=("full", "lora"))
    lower = pl.when(pl.col("method") == "lora").then(pl.col("value") - 0.2).otherwise(pl.col("value"))
    still_to_come = (pl.col("base") == "基底-1") & (pl.col("dataset") == "math") & (pl.col("method") == "lora")
    table = table_of(frame.with_columns(value=pl.when(~still_to_come.fill_null(value=False)).then(lower)))
    expected = np.array(list(HELPS.values())) - 0.1
    for place in range(3):
        np.testing.assert_allclose(table.gain[place, :, 0], expected, atol=5 * NOISE)


def test_scores_of_bases_are_turned_so_that_better_is_higher() -> None:
    frame = made_scores(3)
    bits = frame.with_columns(metric=pl.lit("bits_per_byte"))
    np.testing.assert_allclose(table_of(bits).base_score, -table_of(frame).base_score)


def test_properties_of_a_benchmark_stand_beside_it_alone() -> None:
    results = sftlab.from_scores(made_scores(3))
    common = {"base": "基底-0", "dataset": "math"}
    data = pl.DataFrame(
        [
            {**common, "property": "similarity", "value": 0.5, "benchmark": "gsm8k"},
            {**common, "property": "response_tokens", "value": 40.0, "benchmark": None},
        ]
    )
    table = gain_table(gain_sets(results.scores()), results.scores(), data)
    assert table.properties["similarity"][0, 0].tolist() == pytest.approx([0.5, np.nan], nan_ok=True)
    assert table.properties["response_tokens"][0, 0].tolist() == [40.0, 40.0]
    assert np.isnan(table.properties["response_tokens"][1:]).all()


def test_bases_of_one_family_are_told_apart() -> None:
    table = table_of(made_scores(3).with_columns(family=pl.lit("one")))
    assert table.families == table.bases
    assert table.family_noun == "base"
