"""A study that names a server as its engine: started for each model, gone afterwards, and seen in every score."""

import json
import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from sftlab.analyse.tables import table
from sftlab.cli.plan import plan
from sftlab.cli.working import do_missing
from sftlab.errors import StudyError
from sftlab.execute.local import _seeing_its_gpu_alone
from sftlab.execute.workplace import Setup
from sftlab.plan.devices import Device
from sftlab.plan.engines import engine_words
from sftlab.plan.opening import open_study
from sftlab.study.declaration import Precision
from tests.end_to_end.flow import sftlab
from tests.lm.models import examples, write_model

SERVER = Path(__file__).parents[1] / "evaluate" / "engines" / "reference_server.py"
SERVE = f"{shlex.quote(sys.executable)} {shlex.quote(str(SERVER))} {{model}} --port {{port}} --dtype {{dtype}}"
STUDY = """\
study: engines
bases: [{name: tiny, model: base}]
datasets: {questions: data.jsonl}
samples: 8
validation: 0
methods:
  lora: {adapter: lora, rank: 4, alpha: 64, learning_rate: 5.0e-2, batch_size: 4}
epochs: 1
measures: []
evaluation:
  benchmarks: [{name: gold, data: gold.jsonl, scorers: [likelihood]}]
"""
RUNNING = """\
study: running
bases: [{name: tiny, model: base}]
evaluation:
  engine: {endpoint: "http://127.0.0.1:PORT/v1", model: MODEL, name: mine, version: "1.2.3", dtype: float32}
  benchmarks: [{name: gold, data: gold.jsonl, scorers: [likelihood]}]
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    write_model(tmp_path / "base", "llama")
    rows = [{"question": one.turns[0].content, "answer": one.turns[1].content} for one in examples(24)]
    for name, part in (("data", rows[:12]), ("gold", rows[12:])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    return tmp_path


def scores(study: Path) -> pl.DataFrame:
    opened = open_study(study, None)
    return table("scores", opened.resolved.cells, opened.store)


def run(study: Path) -> pl.DataFrame:
    assert do_missing(open_study(study, None), on="inline", workers=1).failed == ()
    return scores(study)


@pytest.mark.long
def test_scores_of_a_study_on_a_server_are_those_of_the_built_in_engine(folder):
    inside, outside = folder / "inside.yaml", folder / "outside.yaml"
    inside.write_text(STUDY)
    outside.write_text(STUDY + f"  engine: {{serve: {json.dumps(SERVE)}, name: reference, version: 1.2.3}}\n")
    built_in, served = run(inside), run(outside)
    assert built_in["value"].to_list() == pytest.approx(served["value"].to_list(), rel=1e-5)
    assert built_in["value"].n_unique() == built_in.height == 2
    assert set(served["engine"]) == {"reference 1.2.3, float32"}
    assert all(engine.startswith("built-in ") for engine in built_in["engine"])
    assert not set(built_in["identity"]) & set(served["identity"])
    assert built_in["checkpoint"].to_list() == served["checkpoint"].to_list()
    assert not list((folder / ".sftlab" / "working").glob("served-*"))
    assert "engine: reference 1.2.3, float32" in sftlab("plan", outside).stdout


def test_a_running_server_scores_a_base(folder):
    from sftlab.evaluate.engines.server import RunningServer, Start
    from sftlab.study.engine import Server

    server = RunningServer(Server(serve=SERVE), Start(str(folder / "base"), "float32"), folder / "log")
    try:
        server.wait_until_healthy()
        study = folder / "study.yaml"
        study.write_text(RUNNING.replace("PORT", str(server.port)).replace("MODEL", str(folder / "base")))
        found = run(study)
    finally:
        server.stop()
    assert found["engine"].to_list() == ["mine 1.2.3, float32"]
    assert found["n"].to_list() == [12]


def test_a_version_that_nobody_knows_is_asked_for(folder):
    study = folder / "study.yaml"
    study.write_text(STUDY + "  engine: {serve: 'no-such-server {model} --port {port} --dtype {dtype}'}\n")
    with pytest.raises(StudyError, match="no package no-such-server is installed here: state `version`"):
        open_study(study, None)


def test_the_installed_version_of_a_program_is_its_version():
    from sftlab.study.engine import Server

    words = engine_words(Server(serve="/bin/pytest {model} {port} {dtype}"), Precision(compute="bfloat16"))
    assert words == f"pytest {pytest.__version__}, bfloat16"


def test_a_worker_of_vllm_in_process_sees_its_own_gpu_alone(folder, monkeypatch):
    (folder / "study.yaml").write_text(STUDY)
    opened = open_study(folder / "study.yaml", None)
    evaluation = opened.study.evaluation.model_copy(update={"engine": "vllm"})
    asked = replace(opened.resolved, study=opened.study.model_copy(update={"evaluation": evaluation}))
    second = Device("cuda", 1, "a GPU", None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    kept = _seeing_its_gpu_alone(Setup(opened.resolved, folder, second, 1))
    assert (kept.device.torch_name, os.environ["CUDA_VISIBLE_DEVICES"]) == ("cuda:1", "4,7")
    alone = _seeing_its_gpu_alone(Setup(asked, folder, second, 1))
    assert (alone.device.torch_name, os.environ["CUDA_VISIBLE_DEVICES"]) == ("cuda:0", "7")


def test_plan_says_that_an_engines_own_speed_is_not_known(folder, capsys):
    engine = {"serve": SERVE, "name": "mine", "version": "1.2.3"}
    (folder / "study.yaml").write_text(f"{STUDY}  engine: {json.dumps(engine)}\n")
    plan(folder / "study.yaml", folder / "store")
    assert "speed, the study's own being unknown; to start it for each of 2 checkpoints comes to that" in (
        capsys.readouterr().out
    )
    running = RUNNING.replace("PORT", "9")
    (folder / "running.yaml").write_text(running)
    plan(folder / "running.yaml", folder / "store")
    assert "speed, the study's own being unknown\n" in capsys.readouterr().out
