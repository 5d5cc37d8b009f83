"""Where training curves can be written: one module a tracker, found here."""

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from sftlab.errors import StoreError, StudyError
from sftlab.release.curves import Curves
from sftlab.study.spelling import nearest

Write = Callable[[str, Iterable[Curves], Path], int]
"""Write the curves of a study (by its name) below a folder, and return how many runs there were."""

PACKAGES: Mapping[str, str] = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow"}
"""Each tracker's module here, and the package that it needs."""


def write_curves(tracker: str, study: str, curves: Iterable[Curves], folder: Path) -> int:
    """Write curves for a tracker below a folder and return the number of runs.

    Raises StudyError where there is no such tracker, or its package is not installed; StoreError where nothing can be
    written to the folder.
    """
    if tracker not in PACKAGES:
        raise StudyError(f"there is no tracker {tracker!r}{nearest(tracker, PACKAGES)}")
    package = PACKAGES[tracker]
    if not _is_installed(package):
        raise StudyError(
            f"curves for {tracker} need the package {package}, which is not installed: `pip install {package}`"
        )
    write: Write = import_module(f"{__name__}.{tracker}_runs").write
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return write(study, curves, folder)
    except OSError as error:
        raise StoreError(f"the curves cannot be written to {folder}: {error.strerror or error}") from error


def _is_installed(package: str) -> bool:
    """Whether there is such a package; a folder of that name, such as trackers leave behind, is none."""
    spec = find_spec(package)
    return spec is not None and spec.origin is not None
