"""What is scored is chosen by validation loss: the best learning rate and batch size, the best epoch."""

from pathlib import Path

import polars as pl
import pytest
import torch

from sftlab.analyse.answers import analysis
from sftlab.execute.session import Outcome
from sftlab.plan.tasks import counts, pending_jobs
from tests.end_to_end.flow import sftlab
from tests.end_to_end.inline import opened, rows, run, study_of

CANDIDATES = 2 * 2
LORA = "{adapter: lora, rank: 4, alpha: 8, learning_rate: [1.0e-5, 5.0e-3], batch_size: [8, 16], select: validation}"
FULL = "{learning_rate: 1.0e-3, batch_size: 16}"


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def last_losses(study: Path, store: Path) -> pl.DataFrame:
    """Every run with its loss on held-out examples after its last epoch."""
    losses = rows(study, "validation", store).sort("epoch").group_by("run").agg(pl.col("loss").last())
    return rows(study, "runs", store).join(losses, on="run", maintain_order="left")


@pytest.fixture(scope="module")
def selected(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A study that selects among four candidates of LoRA over two seeds, run in one sitting."""
    study = study_of(tmp_path_factory.mktemp("select"), "select", lora=LORA, full=FULL, epochs="1", seeds="[0, 1]")
    return study, run(study, study.parent / "store")


def test_scores_wait_for_the_choice_and_are_counted_before_it(selected: tuple[Path, Outcome], tmp_path: Path) -> None:
    now = opened(selected[0], tmp_path)
    found = counts(now.resolved, now.store)
    assert (found["runs"].total, found["scores"].total) == ((CANDIDATES + 1) * 2, 4 + 2 * 2 * 4)
    wanted = {task.identity for job in pending_jobs(now.resolved, now.store) for task in job.tasks}
    assert sum(cell.identity in wanted for cell in now.resolved.cells.scores) == 4 + 2 * 4, "the base's and full's"
    pending = rows(selected[0], "scores", tmp_path).filter(pl.col("method") == "lora")
    assert pending["reason"].str.contains("chosen by validation loss").all()
    assert set(rows(selected[0], "runs", tmp_path).filter(pl.col("method") == "lora")["chosen"]) == {False}


def test_candidate_of_lowest_mean_loss_is_chosen_and_alone_scored(selected: tuple[Path, Outcome]) -> None:
    study, outcome = selected
    store = study.parent / "store"
    assert outcome.failed == ()
    losses = last_losses(study, store)
    assert losses.filter(pl.col("method") == "full")["chosen"].is_null().all()
    lora = losses.filter(pl.col("method") == "lora")
    means = lora.group_by("learning_rate", "batch_size").agg(pl.col("loss").mean(), pl.col("chosen").first())
    assert means.height == CANDIDATES
    assert means.sort("loss")["chosen"].to_list() == [True, False, False, False]
    scores = rows(study, "scores", store).filter(pl.col("method") == "lora")
    assert set(scores["status"]) == {"done"}
    assert set(scores["run"]) == set(lora.filter("chosen")["run"])
    now = opened(study, store)
    assert all(count.held == count.total for count in counts(now.resolved, now.store).values())
    assert rows(study, "checkpoints", store).height == losses.height, "every candidate is kept"


def test_best_rate_at_the_edge_is_told(selected: tuple[Path, Outcome], tmp_path: Path) -> None:
    study, store = selected[0], selected[0].parent / "store"
    now = opened(study, store)
    best = rows(study, "runs", store).filter(pl.col("chosen"))
    rate, size = best["learning_rate"][0], best["batch_size"][0]
    said = analysis(now.resolved.cells, now.store).sentences("data")
    assert f"The best learning rate of lora on facts lies at the edge {rate:g} of its list: widen it." in said
    assert f"The best batch size of lora on facts lies at the edge {size} of its list: widen it." in said
    page = tmp_path / "report.html"
    sftlab("report", study, "--store", store, "--out", page)
    assert "lies at the edge" in page.read_text()


def test_method_comparison_is_between_chosen_runs(selected: tuple[Path, Outcome]) -> None:
    now = opened(selected[0], selected[0].parent / "store")
    compared = analysis(now.resolved.cells, now.store).training.filter("main")
    assert set(compared["factor"]) == {"method"}
    assert compared.height == 4


def test_best_epoch_is_the_one_kept_and_scored(tmp_path: Path) -> None:
    high, low = ("{learning_rate: 3.0e-3, batch_size: 4}", "{learning_rate: 1.0e-3, batch_size: 4}")
    study = study_of(tmp_path, "best", full=high, lora=low, epochs="3", checkpoints="best")
    store = tmp_path / "store"
    now = opened(study, store)
    assert counts(now.resolved, now.store)["scores"].total == 4 + 2 * 4
    assert run(study, store).failed == ()
    losses = rows(study, "validation", store).filter(pl.col("epoch") > 0)
    best = losses.sort("loss").group_by("run").agg(pl.col("epoch").first())
    assert set(best["epoch"]) == {2, 3}, "at the high rate the last epoch is not the best"
    kept = rows(study, "checkpoints", store).filter("best").select("run", "epoch")
    assert kept.sort("run").equals(best.sort("run"))
    scores = rows(study, "scores", store).filter(pl.col("run").is_not_null())
    assert scores.select("run", "epoch").unique().sort("run").equals(best.sort("run"))
    assert set(scores["status"]) == {"done"}
    now = opened(study, store)
    for cell in now.resolved.cells.runs:
        folder = now.store.checkpoint_folder(cell.trajectory, 0).parent
        wanted = best.filter(pl.col("run") == cell.spec.run)["epoch"][0]
        assert [path.name for path in folder.iterdir()] == [f"epoch-{wanted}"]
    assert analysis(now.resolved.cells, now.store).gains["gain"].is_not_null().all()


@pytest.mark.parametrize("only_first", [True, False])
def test_run_that_another_method_did_not_choose_is_scored(tmp_path: Path, *, only_first: bool) -> None:
    only = "{learning_rate: 1.0e-3, batch_size: 16}"
    listed = "{learning_rate: [1.0e-5, 1.0e-3], batch_size: 16, select: validation}"
    methods = {"full": only, "lora": listed} if only_first else {"full": listed, "lora": only}
    study = study_of(tmp_path, "twins", epochs="1", **methods)
    store = tmp_path / "store"
    assert run(study, store).failed == ()
    runs = rows(study, "runs", store)
    marks = runs.filter(pl.col("learning_rate") == 1.0e-3)["chosen"].to_list()
    assert marks == ([None, False] if only_first else [False, None])
    scores = rows(study, "scores", store)
    assert set(scores["status"]) == {"done"}
    assert set(scores.filter(pl.col("run").is_not_null())["method"]) == {"full", "lora"}
    now = opened(study, store)
    assert pending_jobs(now.resolved, now.store) == ()
    assert all(count.held == count.total for count in counts(now.resolved, now.store).values())


def test_equal_steps_across_sample_sizes(tmp_path: Path) -> None:
    study = study_of(tmp_path, "steps", samples="[16, 32]")
    study.write_text(study.read_text().replace("epochs: 2", "steps: 5"))
    store = tmp_path / "store"
    assert run(study, store).failed == ()
    runs = rows(study, "runs", store)
    assert set(runs["steps"]) == set(runs["fixed_steps"]) == {5}
    assert runs["epochs"].is_null().all()
    assert dict(runs.select("samples", "scored_epoch").iter_rows()) == {16: 5, 32: 3}
    losses = rows(study, "losses", store)
    assert losses.group_by("run").len()["len"].to_list() == [5] * 4
    assert set(rows(study, "scores", store)["status"]) == {"done"}
    now = opened(study, store)
    factors = analysis(now.resolved.cells, now.store).training.filter("main")
    assert set(factors["factor"]) == {"method", "samples"}, "sizes are compared at equal steps"
