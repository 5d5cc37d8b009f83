"""The notebook in examples/ runs from its first cell to its last and finds what was planted."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parents[1] / "examples" / "notebook.ipynb"


def shown(cell: nbformat.NotebookNode) -> str:
    return "".join(output.get("data", {}).get("text/plain", "") for output in cell.outputs)


def test_notebook_on_a_made_table_finds_what_is_planted() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    made = next(place for place, cell in enumerate(notebook.cells) if cell.source.startswith("## A study"))
    notebook.cells = notebook.cells[:made]
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert "surely best: math for gsm8k" in shown(first)


@pytest.mark.long
def test_notebook_runs_its_study_to_the_last_cell() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    study = next(cell for cell in notebook.cells if "write_pocket_study" in cell.source)
    assert "arithmetic" in shown(study)
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
