"""A study, its store and its cells, as the verbs need them; or the results of one that was made elsewhere."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sftlab.errors import StudyError
from sftlab.plan.resolve import Resolved, resolve
from sftlab.store import Store
from sftlab.store.imported import is_imported, read_imported_study
from sftlab.study.declaration import Study
from sftlab.study.reading import load_study

if TYPE_CHECKING:
    from sftlab.analyse.results import Results

STORE = ".sftlab"


@dataclass(frozen=True)
class Opened:
    """A study that was read and resolved against its store."""

    path: Path
    study: Study
    store: Store
    resolved: Resolved

    @property
    def results(self) -> "Results":
        """What the store holds of it."""
        from sftlab.analyse.results import stored_results

        return stored_results(self.resolved.cells, self.store)


def store_folder(study_file: Path, option: Path | None) -> Path:
    """`--store` or the environment's, else the `.sftlab` that the study file lies in, or the one beside it."""
    folder = study_file.resolve().parent
    around = next((parent for parent in (folder, *folder.parents) if parent.name == STORE), folder / STORE)
    return (option or around).resolve()


def open_study(study_file: Path, store: Path | None) -> Opened:
    """Read a study file and find out what its cells are. Raises SftlabError in one sentence."""
    if is_imported(study_file):
        raise StudyError(
            f"{study_file} holds results made elsewhere: they can be read (table, sql, audit, analyse, predict, "
            "report), but nothing in them can be run, planned or exported"
        )
    study = load_study(study_file)
    held = Store(store_folder(study_file, store))
    return Opened(study_file, study, held, resolve(study, held))


def open_results(study: Path, store: Path | None = None) -> "Results":
    """The results of a study file, or of an import. Raises SftlabError in one sentence."""
    if is_imported(study):
        from sftlab.analyse.results import imported_results

        return imported_results(read_imported_study(study))
    return open_study(study, store).results
