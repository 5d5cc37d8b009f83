"""A study, its store and its cells, as the verbs need them."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sftlab.plan.resolve import Resolved
    from sftlab.store import Store
    from sftlab.study.declaration import Study


STORE = ".sftlab"


@dataclass(frozen=True)
class Opened:
    """A study that was read and resolved against its store."""

    path: Path
    study: "Study"
    store: "Store"
    resolved: "Resolved"


def store_folder(study_file: Path, option: Path | None) -> Path:
    """`--store` or the environment's, else the `.sftlab` that the study file lies in, or the one beside it."""
    folder = study_file.resolve().parent
    around = next((parent for parent in (folder, *folder.parents) if parent.name == STORE), folder / STORE)
    return (option or around).resolve()


def open_study(study_file: Path, store: Path | None) -> Opened:
    """Read a study file and find out what its cells are. Raises SftlabError in one sentence."""
    from sftlab.plan.resolve import resolve
    from sftlab.store import Store
    from sftlab.study.reading import load_study

    study = load_study(study_file)
    held = Store(store_folder(study_file, store))
    return Opened(study_file, study, held, resolve(study, held))
