"""Hub ids pinned to the revision that is there now, or, without a network, to the one in the local cache."""

from dataclasses import dataclass
from functools import cache
from typing import Literal

from sftlab.benchmarks.sources import hub_answers
from sftlab.study.declaration import BaseRef, DatasetRef

ANSWER_SECONDS = 10.0


@dataclass(frozen=True)
class Pinned:
    """A commit of a hub repository, or the reason why none could be found."""

    revision: str | None
    reason: str = ""


def pinned_model(ref: BaseRef) -> Pinned:
    """The commit that a base's hub id and revision stand for."""
    return _pinned("model", ref.model, ref.revision)


def pinned_dataset(ref: DatasetRef) -> Pinned:
    """The commit that a dataset's hub id and revision stand for."""
    assert ref.hub is not None
    return _pinned("dataset", ref.hub, ref.revision)


@cache
def _hub_is_there() -> bool:
    """Asked once a process: a silent hub costs its seconds once, not for every base and dataset."""
    from huggingface_hub import constants

    return not constants.HF_HUB_OFFLINE and hub_answers(constants.ENDPOINT)


@cache
def _pinned(kind: Literal["model", "dataset"], repository: str, revision: str | None) -> Pinned:
    if revision is not None and len(revision) == 40:
        return Pinned(revision)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        folder = snapshot_download(
            repository,
            repo_type=kind,
            revision=revision,
            allow_patterns=["config.json", "README.md"],
            etag_timeout=ANSWER_SECONDS,
            local_files_only=not _hub_is_there(),
        )
    except (RepositoryNotFoundError, RevisionNotFoundError):
        return Pinned(None, f"the hub has no {kind} {repository!r} at {revision or 'main'} that this machine may read")
    except (LocalEntryNotFoundError, OSError, ValueError) as error:
        return Pinned(
            None,
            f"the hub could not be reached for {repository!r} ({type(error).__name__}), so its revision is not pinned",
        )
    return Pinned(folder.rstrip("/").rsplit("/", 1)[-1])
