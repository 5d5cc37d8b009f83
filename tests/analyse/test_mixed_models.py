"""Intervals over families and datasets against crossed random effects, fitted by REML with statsmodels."""

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
import polars as pl
import pytest
from statsmodels.regression.mixed_linear_model import MixedLM

from sftlab.analyse import intervals
from sftlab.analyse.gain_sets import GainSet
from sftlab.analyse.training import training_frames


@dataclass(frozen=True)
class Fitted:
    mean: float
    se: float
    family: float
    dataset: float
    residual: float


def crossed_random_effects(value_N, family_N, dataset_N) -> Fitted:
    """Mean and variance components of value ~ 1 + (1 | family) + (1 | dataset)."""
    frame = pd.DataFrame({"value": value_N, "family": family_N, "dataset": dataset_N, "all": 0})
    model = MixedLM.from_formula(
        "value ~ 1",
        frame,
        groups="all",
        re_formula="0",
        vc_formula={"family": "0 + C(family)", "dataset": "0 + C(dataset)"},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = model.fit(reml=True, method=["lbfgs", "powell"])
    shares = dict(zip(model.exog_vc.names, fit.vcomp, strict=True))
    return Fitted(fit.fe_params.iloc[0], fit.bse_fe.iloc[0], shares["family"], shares["dataset"], fit.scale)


def drawn_cells(families, datasets, *, seed, missing=0):
    random = np.random.default_rng(seed)
    kept = np.sort(random.permutation(families * datasets)[missing:])
    family_N, dataset_N = kept // datasets, kept % datasets
    value_N = 0.3 + random.normal(size=families)[family_N] + 0.7 * random.normal(size=datasets)[dataset_N]
    return value_N + 0.5 * random.normal(size=len(kept)), family_N, dataset_N


@pytest.mark.parametrize(("families", "datasets"), [(4, 8), (6, 5), (12, 10)])
def test_two_way_mean_of_all_cells_is_that_of_the_mixed_model(families, datasets):
    value_N, family_N, dataset_N = drawn_cells(families, datasets, seed=families)
    fitted = crossed_random_effects(value_N, family_N, dataset_N)
    estimate = intervals.two_way_mean(value_N, family_N, dataset_N)
    assert min(fitted.family, fitted.dataset) > 0, "an interior optimum, where REML and mean squares are one"
    assert estimate.value == pytest.approx(fitted.mean, abs=1e-4)
    assert estimate.se == pytest.approx(fitted.se, rel=2e-3)


def test_two_way_mean_with_missing_cells_is_near_the_mixed_model():
    ratios, shifts = [], []
    for seed in range(8):
        value_N, family_N, dataset_N = drawn_cells(6, 8, seed=seed, missing=6)
        fitted = crossed_random_effects(value_N, family_N, dataset_N)
        estimate = intervals.two_way_mean(value_N, family_N, dataset_N)
        ratios.append(estimate.se / fitted.se)
        shifts.append((estimate.value - fitted.mean) / fitted.se)
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.05)
    assert np.max(np.abs(np.array(ratios) - 1)) < 0.15
    assert np.max(np.abs(shifts)) < 0.3


def runs(levels, *, factor, seed):
    """Gains of 5 families x 6 datasets x 2 levels x 2 seeds; what a level brings differs by family and by dataset."""
    random = np.random.default_rng(seed)
    grid = np.indices((5, 6, 2, 2)).reshape(4, -1)
    of_family, of_dataset = random.normal(size=(5, 2)), random.normal(size=(6, 2))
    gain = 2 * random.normal(size=5)[grid[0]] + 2 * random.normal(size=6)[grid[1]]
    gain = gain + random.normal(size=(5, 6))[grid[0], grid[1]]
    gain = gain + 0.4 * grid[2] + 0.6 * of_family[grid[0], grid[2]] + 0.5 * of_dataset[grid[1], grid[2]]
    gain = gain + 0.3 * random.normal(size=(5, 6, 2))[grid[0], grid[1], grid[2]] + 0.1 * random.normal(size=gain.shape)
    constants = {"method": "full", "learning_rate": 1e-4, "batch_size": 8, "samples": 100, "schedule": "constant"}
    columns = {name: [value] * len(gain) for name, value in (constants | {"epochs": 1}).items()}
    columns |= {"base": [f"b{at}" for at in grid[0]], "family": [f"f{at}" for at in grid[0]]}
    columns |= {"dataset": [f"d{at}" for at in grid[1]], factor: [levels[at] for at in grid[2]]}
    columns |= {"gain": gain, "run": [str(at) for at in range(len(gain))]}
    columns |= dict.fromkeys(("seed", "order_seed", "init_seed"), grid[3])
    return pl.DataFrame(columns).with_columns(fixed_steps=pl.lit(None, dtype=pl.Int64))


@pytest.mark.parametrize(
    ("factor", "levels"),
    [
        ("method", ("full", "lora")),
        ("samples", (1000, 20000)),
        ("epochs", (1, 3)),
        ("schedule", ("constant", "cosine")),
    ],
)
def test_training_choice_is_the_fixed_effect_of_the_mixed_model(factor, levels):
    rows = runs(levels, factor=factor, seed=len(factor))
    (row,) = training_frames([GainSet(("k", "likelihood", "bits_per_byte"), True, rows)])[0].iter_rows(named=True)
    means = rows.group_by("family", "dataset", factor).agg(pl.col("gain").mean())
    wide = means.pivot(on=factor, index=["family", "dataset"], values="gain").to_pandas()
    difference = wide[str(levels[1])] - wide[str(levels[0])]
    fitted = crossed_random_effects(difference.to_numpy(), wide["family"], wide["dataset"])
    assert min(fitted.family, fitted.dataset) > 0
    assert (row["level"], row["other"]) == (str(levels[1]), str(levels[0]))
    assert row["difference"] == pytest.approx(fitted.mean, abs=1e-4)
    assert row["se"] == pytest.approx(fitted.se, rel=2e-3)


def test_training_choice_in_the_model_of_all_gains_at_once():
    """Families, datasets, their cells, and what each factor adds to a level, all random; the level fixed."""
    rows = runs(("full", "lora"), factor="method", seed=6)
    (row,) = training_frames([GainSet(("k", "likelihood", "bits_per_byte"), True, rows)])[0].iter_rows(named=True)
    frame = rows.group_by("family", "dataset", "method").agg(pl.col("gain").mean()).to_pandas()
    frame["cell"], frame["all"] = frame["family"] + frame["dataset"], 0
    frame["of_family"], frame["of_dataset"] = frame["family"] + frame["method"], frame["dataset"] + frame["method"]
    terms = {name: f"0 + C({name})" for name in ("family", "dataset", "cell", "of_family", "of_dataset")}
    model = MixedLM.from_formula("gain ~ method", frame, groups="all", re_formula="0", vc_formula=terms)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = model.fit(reml=True, method=["lbfgs", "powell"])
    assert row["difference"] == pytest.approx(fit.fe_params["method[T.lora]"], abs=1e-4)
    assert row["se"] == pytest.approx(fit.bse_fe["method[T.lora]"], rel=0.02)
