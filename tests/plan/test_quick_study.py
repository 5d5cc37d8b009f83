"""What `quick` and `init` make of files and names as people have them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from sftlab.errors import StudyError
from sftlab.plan.quick_study import base_reference, benchmark_entries, dataset_names, legal_name, legal_names
from sftlab.study.declaration import Name


@given(st.text())
def test_any_text_becomes_a_legal_name(text: str) -> None:
    name = TypeAdapter(Name).validate_python(legal_name(text))
    assert name != "none"


@pytest.mark.parametrize(
    ("text", "name"),
    [("données ü", "donnees-u"), ("数", "my-data"), ("none", "none-data"), (".a b.", "a-b"), ("x1", "x1")],
)
def test_legal_name_stays_near_the_text(text: str, name: str) -> None:
    assert legal_name(text) == name


@given(st.lists(st.text(alphabet="aä é-2", max_size=4), max_size=6))
def test_names_of_several_are_never_alike(texts: list[str]) -> None:
    names = legal_names(texts)
    assert len(set(names)) == len(texts)


def test_dataset_files_are_there_once_each(tmp_path: Path) -> None:
    one, two = tmp_path / "a" / "d.json", tmp_path / "b" / "d.json"
    for file in (one, two):
        file.parent.mkdir()
        file.write_text("[]")
    assert dataset_names((one, two)) == ("d", "d-2")
    with pytest.raises(StudyError, match=r"--data: .* is given twice"):
        dataset_names((one, tmp_path / "b" / ".." / "a" / "d.json"))


def test_base_that_is_no_folder_and_no_hub_id_is_named_as_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StudyError, match=f"--base: there is no folder {tmp_path}/nobase"):
        base_reference("./nobase")
    (tmp_path / "my base").mkdir()
    assert base_reference("my base").name == "my-base"


def test_benchmark_is_a_file_or_a_shipped_name(tmp_path: Path) -> None:
    file = tmp_path / "mes données.jsonl"
    file.write_text("")
    assert benchmark_entries(["boolq", str(file)], tmp_path) == ["boolq", {"name": "mes-donnees", "data": file.name}]
    with pytest.raises(StudyError, match=r"--benchmark: there is no file boolk, .* gsm8k"):
        benchmark_entries(["boolk"], tmp_path)
    with pytest.raises(StudyError, match="two benchmarks are called 'mes-donnees'"):
        benchmark_entries([str(file)], tmp_path, taken=["mes-donnees"])
