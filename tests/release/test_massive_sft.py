"""The released table of the paper as a study."""

import json

import polars as pl
import pytest
from typer.testing import CliRunner

from sftlab.cli import app
from sftlab.errors import DataError
from sftlab.plan.opening import open_results
from sftlab.release.imports.fetching import fetched
from sftlab.release.imports.massive_sft import massive_sft
from sftlab.store.imported import read_imported_study, write_imported_study

HEADER = ",model_name,data_name,mmlu-0shot,gsm8k-4shot,lora,epoch,data_size,lr_strategy,mtbench-total"
ROWS = (
    "0,Llama-A,pretrain,20.0,10.0,,0,0.0,,2.0",
    "1,Llama-A,math,30.0,40.0,False,10,1000.0,constant,3.5",
    "2,Llama-A,lima,25.0,,True,10,1000.0,cosine,3.0",
    "3,Llama-A,all,28.0,35.0,False,9,10000.0,cosine,3.1",
    "4,Llama-A,w/o-math,26.0,15.0,False,10,9000.0,cosine,3.2",
)


@pytest.fixture
def released(tmp_path):
    path = tmp_path / "evaluation_result.csv"
    path.write_text("\n".join([HEADER, *ROWS]) + "\n")
    return path


def row(frame, **wanted):
    (found,) = frame.filter(*(pl.col(name) == value for name, value in wanted.items())).to_dicts()
    return found


def test_rows_become_scores_runs_and_gains(released):
    study = massive_sft(released, {})
    scores, runs = study.tables["scores"], study.tables["runs"]
    math = row(scores, dataset="math", benchmark="gsm8k-4shot")
    assert math["value"] == pytest.approx(0.4)
    assert math["gain"] == pytest.approx(0.3)
    assert (math["n"], math["method"], math["samples"], math["epoch"]) == (1319, "full", 1000, 10)
    assert math["ci_low"] < 0.4 < math["ci_high"]
    assert row(scores, dataset="none", benchmark="mtbench-total")["value"] == 2.0
    assert row(scores, dataset="lima", benchmark="gsm8k-4shot")["status"] == "failed"
    assert row(runs, dataset="lima")["learning_rate"] == 2e-6
    assert (row(runs, dataset="all")["epochs"], row(runs, dataset="all")["scored_epoch"]) == (10, 9)
    assert study.sources == {"all": frozenset({"lima", "math"}), "w/o-math": frozenset({"lima"})}


def test_import_survives_the_disk(released, tmp_path):
    study = massive_sft(released, {"file": "x", "sha256": "y"})
    write_imported_study(study, tmp_path / "study")
    again = read_imported_study(tmp_path / "study")
    assert again.tables["scores"].equals(study.tables["scores"])
    assert (again.sources, again.notes, again.origin) == (study.sources, study.notes, study.origin)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "has no column 'model_name'"),
        (f"{HEADER}\n{ROWS[1]}\n{ROWS[1]}\n", "two rows are of"),
        (HEADER.replace("mmlu-0shot", "note") + "\n0,L,pretrain,good,10,,0,0,,2\n", "'note'"),
        (f"{HEADER}\n", "has columns and no rows"),
        (f"{HEADER}\n{ROWS[1].replace('30.0', 'inf')}\n", "'mmlu-0shot' of Llama-A after math is inf"),
        (f"{HEADER}\n{ROWS[1].replace('False,10,', 'False,,')}\n", "Llama-A after math has None as epoch"),
        (HEADER.replace(",", ";") + "\n1;2\n", "this one ';model_name;"),
    ],
)
def test_file_of_another_form_is_refused_in_a_sentence(tmp_path, text, said):
    path = tmp_path / "other.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=said) as error:
        massive_sft(path, {})
    assert "\n" not in str(error.value)


def test_nan_is_a_missing_score(tmp_path):
    path = tmp_path / "nan.csv"
    path.write_text("\n".join([HEADER, ROWS[0], ROWS[1].replace("40.0", "NaN")]) + "\n")
    study = massive_sft(path, {})
    missing = row(study.tables["scores"], dataset="math", benchmark="gsm8k-4shot")
    assert (missing["status"], missing["reason"]) == ("failed", "the file has no value here")
    assert "1 score is missing in the file" in study.notes


def test_digest_is_checked(released):
    with fetched(str(released)) as file:
        digest = file.origin["sha256"]
    with fetched(str(released), digest.upper()):
        pass
    with pytest.raises(DataError, match="was asked for"), fetched(str(released), "0" * 64):
        pass


def test_every_reading_verb_accepts_an_import(released, tmp_path):
    run = CliRunner()
    study = tmp_path / "study"
    assert run.invoke(app, ["import", "massive-sft", str(released), "--to", str(study)]).exit_code == 0
    for words in (["table", str(study), "scores"], ["sql", str(study), "select 1"], ["audit", str(study)]):
        assert run.invoke(app, words).exit_code == 0, words
    told = json.loads(run.invoke(app, ["analyse", str(study), "--json"]).stdout)
    assert told["study"] == "massive-sft"
    assert run.invoke(app, ["report", str(study)]).exit_code == 0
    assert study.with_suffix(".html").stat().st_size > 1_000_000


def test_copied_base_block_of_the_published_rows_is_found(shared, tmp_path):
    path = shared / "data" / "published" / "massive_sft_7_bases.csv"
    write_imported_study(massive_sft(path, {}), tmp_path / "study")
    results = open_results(tmp_path / "study")
    (copies,) = [finding for finding in results.audit if finding.check == "copied_scores"]
    assert "the base LLM-jp-3-7B and the base OLMo-7B-hf" in copies.text
    zero_shot = ("mbpp", "gsm8k", "nq", "BoolQ", "hellaswag", "mmlu", "Truthful_QA", "jmmlu", "cmmlu")
    block = {"nq-5shot", "nq-25shot", *(f"{name}-0shot" for name in zero_shot)}
    assert block <= set(copies.rows["benchmark"]) <= block | {"humaneval-0shot"}
    gains = results.analysis.gains.filter(pl.col("benchmark") == "jmmlu-0shot", pl.col("gain").is_not_null())
    assert not {"LLM-jp-3-7B", "OLMo-7B-hf"} & set(gains["base"])
