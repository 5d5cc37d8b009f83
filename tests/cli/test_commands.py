import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sftlab.pocket.files import write_pocket_study
from sftlab.study.reading import load_study
from tests.end_to_end.flow import command, sftlab

HEAVY = ("torch", "transformers", "polars", "pydantic", "plotly", "scipy", "duckdb", "datasets", "huggingface_hub")


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys\nsys.argv = ['sftlab', '--help']\nfrom sftlab.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "quick" in done.stdout


@pytest.mark.parametrize("verb", ["plan", "table", "status"])
def test_planning_and_reading_import_no_torch(tmp_path: Path, verb: str) -> None:
    study = write_pocket_study(tmp_path)
    words = [verb, str(study), *(["runs"] if verb == "table" else [])]
    program = (
        f"import sys\nsys.argv = ['sftlab', *{words!r}]\nfrom sftlab.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print([name for name in ('torch', 'transformers') if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_doctor_says_what_will_be_used() -> None:
    facts = json.loads(sftlab("doctor", "--json").stdout)
    assert facts["sftlab"] == "0.1.0"
    assert "workers" in facts
    assert facts["torch"] != "not installed"


def test_init_writes_a_study_that_can_be_read(tmp_path: Path) -> None:
    pocket = load_study(write_pocket_study(tmp_path / "pocket"))
    base, data = pocket.bases[0].model, next(iter(pocket.datasets.values())).path
    assert data is not None
    out = tmp_path / "deep" / "mine.yaml"
    sftlab("init", out, "--base", base, "--data", data, "--benchmark", tmp_path / "pocket" / "bench" / "facts.jsonl")
    study = load_study(out)
    assert study.study == "mine"
    assert study.bases[0].model == base
    assert [benchmark.name for benchmark in study.evaluation.benchmarks] == ["facts"]
    assert "exists already" in sftlab("init", out, code=2).stderr
    assert json.loads(sftlab("plan", out, "--json", "--store", tmp_path / "store").stdout)["cells"]["runs"]["held"] == 0


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_what_would_fail_after_training_ends_with_2_before_it(tmp_path: Path, verb: str) -> None:
    study = write_pocket_study(tmp_path)
    (tmp_path / "bench" / "facts.jsonl").write_text("")
    said = sftlab(verb, study, "--store", tmp_path / "store", code=2).stderr
    assert "benchmark 'facts'" in said
    assert len(said.strip().splitlines()) == 1
    write_pocket_study(tmp_path)
    study.write_text(study.read_text().replace("  score_epochs: last", "  score_epochs: last\n  template: chat"))
    assert "no chat template" in sftlab(verb, study, "--store", tmp_path / "store", code=2).stderr


def test_init_takes_files_of_any_name_and_leaves_nothing_behind_where_it_fails(tmp_path: Path) -> None:
    base = load_study(write_pocket_study(tmp_path / "pocket")).bases[0].model
    data = tmp_path / "ünïcode 数" / "données ü.jsonl"
    data.parent.mkdir()
    data.write_text("".join(json.dumps({"question": f"{n}?", "answer": "a"}) + "\n" for n in range(30)))
    out = tmp_path / "1.yaml"
    said = sftlab("init", out, "--base", base, "--data", data, "--data", write_copy(data, "true.jsonl")).stdout
    study = load_study(out)
    assert (study.study, list(study.datasets), study.samples) == ("1", ["donnees-u", "true"], (28,))
    assert "`samples` is 28" in said
    broken = tmp_path / "broken.json"
    broken.write_text('[{"question": "a?", "answer": "b"}, {"question": "c')
    assert "is cut off" in sftlab("init", tmp_path / "2.yaml", "--base", base, "--data", broken, code=2).stderr
    assert not (tmp_path / "2.yaml").exists()


def test_init_writes_paths_as_they_were_given_where_they_lie_far_away(tmp_path: Path) -> None:
    base = load_study(write_pocket_study(tmp_path / "pocket")).bases[0].model
    data = tmp_path / "pocket" / "data" / "facts.csv"
    far, near = tmp_path / "a" / "b" / "far.yaml", tmp_path / "a" / "near.yaml"
    sftlab("init", far, "--base", base, "--data", data)
    sftlab("init", near, "--base", base, "--data", data)
    written = [yaml.safe_load(out.read_text()) for out in (far, near)]
    assert [study["bases"] for study in written] == [[base], [base]]
    assert [study["datasets"]["facts"]["path"] for study in written] == [str(data), "../pocket/data/facts.csv"]
    assert {load_study(out).datasets["facts"].path for out in (far, near)} == {str(data)}


def write_copy(file: Path, name: str) -> Path:
    copy = file.with_name(name)
    copy.write_bytes(file.read_bytes())
    return copy


def test_headerless_files_are_told_in_flags_on_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "h.tsv"
    file.write_text("What?\t(C)\nWho?\t(A)\n")
    error = sftlab("data", file, code=2).stderr
    assert "`--columns question,answer`" in error
    assert len(error) < 400 + len(str(file))
    assert "2 of 2 records" in sftlab("data", file, "--columns", "question,answer").stdout
    wrong = sftlab("quick", "--base", tmp_path, "--data", file, "--columns", "x.tsv=question,answer", code=2).stderr
    assert "--columns: 'x.tsv' is none of the --data files" in wrong


def test_data_reports_what_is_in_a_file(tmp_path: Path) -> None:
    pocket = load_study(write_pocket_study(tmp_path))
    rows = [
        {"question": "a?", "answer": "b " * 300},
        {"question": "a?", "answer": "b"},
        {"question": "c?", "answer": ""},
    ]
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{broken\n")
    found = json.loads(sftlab("data", file, "--base", pocket.bases[0].model, "--json").stdout)
    assert (found["num_rows"], found["num_usable"]) == (4, 2)
    assert sum(one["count"] for one in found["broken"]) == 2
    assert found["tokens"]["response"]["n"] == 2
    assert [one["count"] for one in found["findings"] if one["kind"].startswith("longer than 256 tokens")] == [1]
    assert "2 of 4 records are usable" in sftlab("data", file).stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("plan", "nowhere.yaml"), "there is no study file nowhere.yaml"),
        (("data", "nowhere.json"), "there is no file nowhere.json"),
        (("quick", "--base", "x", "--data", "nowhere.json"), "--data: there is no file nowhere.json"),
        (("quick", "--base", "./nobase", "--data", "nowhere.json"), "error: --base: there is no folder "),
        (
            ("quick", "--base", "x", "--samples", "many"),
            "error: Invalid value for '--samples': it should be a valid integer",
        ),
        (("plan",), "error: Missing argument 'STUDY'; `sftlab plan --help` lists what is legal"),
    ],
)
def test_wrong_command_is_one_sentence_and_exit_code_2(words: tuple[str, ...], sentence: str) -> None:
    error = sftlab(*words, code=2).stderr
    assert sentence in error
    assert error.count("\n") == 1


def test_closed_output_is_no_traceback(tmp_path: Path) -> None:
    study = write_pocket_study(tmp_path)
    words = " ".join(f"'{word}'" for word in command("table", study, "scores"))
    done = subprocess.run(["sh", "-c", f"{words} | head -1"], capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr


def test_sql_asks_tables_of_texts_too_before_anything_is_trained(tmp_path: Path) -> None:
    study = write_pocket_study(tmp_path)
    query = "select dataset, benchmark, tested from contamination join (select 1) on true order by all"
    printed = sftlab("table", study, "contamination", "--json").stdout
    expected = sorted((row["dataset"], row["benchmark"], row["tested"]) for row in json.loads(printed))
    answer = json.loads(sftlab("sql", study, query, "--json").stdout)
    assert [(row["dataset"], row["benchmark"], row["tested"]) for row in answer] == expected != []
    assert sftlab("sql", study, "select count(*) from contaminated_items").stdout.startswith("count")
