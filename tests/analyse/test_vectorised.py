"""What is computed for many runs at once equals what a loop over runs and cells gives."""

import numpy as np
import polars as pl
import pytest

from sftlab.analyse.gain_sets import gain_sets, item_influences, last_epochs
from sftlab.analyse.item_scores import item_rows, paired_rows, score_groups
from sftlab.analyse.item_tables import influences_of_items
from sftlab.analyse.ranking import ALL_METHODS, gains_frame
from sftlab.analyse.tables import build_tables
from tests.analyse.synthetic import Design, write


@pytest.fixture(scope="module", params=["whole", "clustered, and items missing"])
def study(request, tmp_path_factory):
    """Cells, store and tables of a study; the second one has items that hang together, unfit ones, and a failed run."""
    holed = request.param != "whole"
    design = Design(bases=3, seeds=1, items=30, epochs=1, failed_datasets=("code",) if holed else ())
    cells, store = write(design, tmp_path_factory.mktemp("study"))
    tables = dict(build_tables(cells, store))
    if holed:
        place = pl.col("item").str.slice(1).cast(pl.Int64)
        unfit = (place == 3) & (pl.col("checkpoint").hash() % 2 == 0)
        tables["items"] = tables["items"].with_columns(
            status=pl.when(unfit).then(pl.lit("unfit")).otherwise(pl.col("status")),
            cluster=pl.when(place < 12).then(pl.concat_str(pl.lit("c"), place // 3)),
        )
    return cells, store, tables


def influence_of_run(pairs):
    """Item by item: how much each cluster (or item without one) pulls on one run's gain."""
    numerator, weight = sum(pairs["numerator"]), sum(pairs["weight"])
    pulls = {}
    for row in pairs.iter_rows(named=True):
        name = (row["cluster"],) if row["cluster"] is not None else (None, row["item"], row["stratum"])
        pull = (row["numerator"] - numerator / weight * row["weight"]) / weight
        pulls[name] = pulls.get(name, 0.0) + pull
    return pulls


def test_influences_from_tables_are_those_of_every_run_by_itself(study):
    _, _, tables = study
    found = influences_of_items(tables["scores"], tables["items"])
    assert found
    gained = last_epochs(tables["scores"]).filter(pl.col("gain").is_not_null())
    bases = dict(tables["scores"].filter(pl.col("run").is_null()).select("base", "checkpoint").iter_rows())
    items = tables["items"].filter(status="done").with_columns(cell=pl.lit(0, dtype=pl.Int32()))
    for (benchmark, scorer, metric), influence in found.items():
        of_metric = items.filter(benchmark=benchmark, scorer=scorer, metric=metric)
        runs = gained.filter(benchmark=benchmark, scorer=scorer, metric=metric)
        assert sorted(influence.runs) == sorted(runs["run"])
        for row in runs.iter_rows(named=True):
            both = [weighed_by_hand(of_metric.filter(checkpoint=at)) for at in (row["checkpoint"], bases[row["base"]])]
            expected = influence_of_run(paired_rows(*both))
            own = influence.pull[influence.runs.index(row["run"])]
            known = own[~np.isnan(own)]
            np.testing.assert_allclose(np.sort(known), np.sort(list(expected.values())), rtol=1e-5, atol=1e-9)


def weighed_by_hand(items):
    pooled = pl.col("metric") == "bits_per_byte"
    return items.with_columns(
        numerator=pl.when(pooled).then(pl.col("log_likelihood") / -np.log(2)).otherwise(pl.col("score")),
        weight=pl.when(pooled).then(pl.col("num_bytes").cast(pl.Float64)).otherwise(1.0),
    )


def test_influences_from_the_store_are_those_of_every_run_by_itself(study):
    cells, store, _ = study
    found = item_influences(cells, store)
    for group in score_groups(cells):
        base = item_rows([group.base], store)
        for cell in group.tuned:
            paired = paired_rows(item_rows([cell], store), base)
            for (scorer, metric), pairs in paired.partition_by("scorer", "metric", as_dict=True).items():
                influence = found[group.base.benchmark.name, scorer, metric]
                own = influence.pull[influence.runs.index(cell.run)]
                expected = np.array(list(influence_of_run(pairs).values()))
                np.testing.assert_allclose(np.sort(own), np.sort(expected), rtol=1e-5, atol=1e-9)


def test_gains_are_those_of_every_cell_by_itself(study):
    _, _, tables = study
    sets = gain_sets(tables["scores"], influences_of_items(tables["scores"], tables["items"]))
    frame = gains_frame(sets, tables["scores"])
    expected = last_epochs(tables["scores"])
    seen = 0
    for gain_set in sets:
        benchmark, scorer, metric = gain_set.key
        of_metric = expected.filter(benchmark=benchmark, scorer=scorer, metric=metric)
        for (base, dataset), of_cell in of_metric.partition_by("base", "dataset", as_dict=True).items():
            for method in [ALL_METHODS, *of_cell["method"].unique()]:
                runs = of_cell if method == ALL_METHODS else of_cell.filter(method=method)
                mask_R = gain_set.rows["run"].is_in(runs["run"].to_list()).to_numpy()
                row = frame.filter(
                    base=base, dataset=dataset, method=method, benchmark=benchmark, scorer=scorer, metric=metric
                ).row(0, named=True)
                seen += 1
                if not mask_R.any():
                    assert (row["gain"], row["n"]) == (None, 0)
                    assert row["status"] != "done"
                    continue
                estimate = gain_set.of_these_bases(gain_set.weights(mask_R))
                assert row["gain"] == pytest.approx(estimate.value)
                assert (row["ci_low"], row["ci_high"]) == pytest.approx((estimate.ci_low, estimate.ci_high))
                seeds = gain_set.rows.filter(mask_R).select("seed", "order_seed", "init_seed").unique().height
                assert (row["n"], row["items"], row["seeds"]) == (mask_R.sum(), estimate.n, seeds)
    assert seen == frame.filter(pl.col("metric").is_not_null()).height
    reasons = frame.filter(pl.col("gain").is_null())["reason"]
    assert reasons.str.contains("out of memory").all()
