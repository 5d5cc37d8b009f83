import doctest
import re
from pathlib import Path

import pytest
import typer

from sftlab.analyse import library, schemas
from sftlab.analyse.audit.checks import CHECKS, EXCLUDING
from sftlab.analyse.frames import SCHEMAS
from sftlab.analyse.tables import TABLES
from sftlab.cli import app
from sftlab.study.reading import load_study

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_a_page_with_its_columns_in_order(name: str) -> None:
    page = (DOCS / "tables" / f"{name}.md").read_text()
    columns = re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE)
    assert columns == list(getattr(schemas, name.upper()))


def test_index_of_the_tables_links_each_page() -> None:
    index = (DOCS / "tables" / "README.md").read_text()
    assert re.findall(r"^\| \[`(\w+)`\]\(\1\.md\) \|", index, flags=re.MULTILINE) == list(TABLES)
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", index))
    assert linked == {path.name for path in (DOCS / "tables").glob("*.md")} - {"README.md"}


def test_page_of_the_audit_has_every_check_and_what_it_excludes() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| .+ \| (yes|no) \|$", (DOCS / "audit.md").read_text(), re.MULTILINE)
    expected = [
        (check.__name__, str(check.__doc__).splitlines()[0], "yes" if check in EXCLUDING else "no") for check in CHECKS
    ]
    assert rows == expected


def test_library_page_names_every_frame_of_the_analysis() -> None:
    listed = re.findall(r"^- `(\w+)`: ", (DOCS / "library.md").read_text(), flags=re.MULTILINE)
    assert sorted(listed) == sorted([*SCHEMAS, "map_tsne"])


def test_study_in_the_readme_can_be_read(tmp_path: Path) -> None:
    text = (DOCS.parent / "README.md").read_text()
    (tmp_path / "study.yaml").write_text(re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)[0])
    for name in ("data/alpaca.json", "data/gsm8k.jsonl", "my_task.yaml", "my_questions.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for name in ("my-base", "benchmarks"):
        (tmp_path / name).mkdir()
    study = load_study(tmp_path / "study.yaml")
    assert len(study.bases) == 2
    assert study.samples == (200, 1000)


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        *(f"docs/{name}.md" for name in ("tutorial", "importing", "report", "tiny-models-study", "audit", "diff")),
    ],
)
def test_every_command_in_the_documentation_exists_with_its_options(page: str) -> None:
    text = (DOCS.parent / page).read_text()
    commands = re.findall(r"^sftlab (\w+)(.*?)(?:#.*)?$", text, flags=re.MULTILINE)
    assert commands
    verbs = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for verb, words in commands:
        command = verbs[verb]
        if kinds := getattr(command, "commands", None):
            command = kinds[words.split()[0]]
        options = {name for parameter in command.params for name in parameter.opts}
        assert set(re.findall(r"(?<!\S)--[\w-]+", words)) <= options, verb


def test_examples_of_the_library_page_give_what_it_says() -> None:
    found = doctest.testfile(str(DOCS / "library.md"), module_relative=False)
    assert found.attempted > 20
    assert found.failed == 0


def test_library_page_names_what_the_library_has() -> None:
    table = re.findall(r"^\| .*? \| (.*) \|$", (DOCS / "library.md").read_text(), flags=re.MULTILINE)
    named = {name for cell in table for name in re.findall(r"`(\w+)`", cell)}
    assert len(named) > 15
    assert named <= set(library.__all__)
    assert all(getattr(library, name).__doc__ for name in named)
