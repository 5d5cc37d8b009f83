"""Datasets by hub id, through the `datasets` package (never running code of the dataset's author)."""

from sftlab.data.record import Rows
from sftlab.errors import DataError
from sftlab.study.declaration import DatasetRef


def hub_rows(ref: DatasetRef, where: str) -> Rows:
    """All rows of one split of a hub dataset, or of a folder laid out like one.

    Raises DataError when the hub cannot be reached, or has no such dataset, subset, split or revision.
    """
    import datasets

    assert ref.hub is not None
    try:
        files = None if ref.files is None else {ref.split.split("[")[0]: list(ref.files)}
        rows: Rows = datasets.load_dataset(
            ref.hub, name=ref.subset, data_files=files, split=ref.split, revision=ref.revision
        ).to_list()
    except (ConnectionError, TimeoutError) as error:
        raise DataError(
            f"{where} could not be fetched, as the hub cannot be reached ({_first_line(error)}): "
            "write `path` with a local file of it"
        ) from None
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise DataError(f"{where} could not be loaded: {_first_line(error)}") from None
    return rows


def _first_line(error: Exception) -> str:
    lines = str(error).strip().split("\n")
    return lines[0].rstrip(".:")[:200] or type(error).__name__
