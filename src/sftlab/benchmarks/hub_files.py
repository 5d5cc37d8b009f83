"""Files of the hub's datasets that are read as they were published, where `datasets` cannot make rows of them."""

import functools
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sftlab.benchmarks.rows import Layout, Row, read_rows
from sftlab.benchmarks.sources import FileDigest, quiet_hub
from sftlab.errors import BenchmarkError
from sftlab.study.spelling import nearest


@dataclass(frozen=True)
class HubFile:
    """One file of a dataset of the hub; `advice` is what to do where it cannot be had."""

    path: str
    file: str
    revision: str | None
    advice: str

    @functools.cache  # noqa: B019 - the hub is asked once a process for all subjects of an archive
    def fetched(self) -> Path:
        """The file, from the local cache where the hub does not answer.

        Raises BenchmarkError where it is in neither.
        """
        from huggingface_hub import hf_hub_download

        answers = True
        try:
            with quiet_hub() as answers:
                return Path(hf_hub_download(self.path, self.file, repo_type="dataset", revision=self.revision))
        except (OSError, ValueError) as error:
            said = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
            reason = said if answers else "it does not answer: is there a network?"
            raise BenchmarkError(
                f"the file {self.file} of {self.path} cannot be had from the hub ({reason}): {self.advice}"
            ) from error

    @property
    def identity(self) -> dict[str, object]:
        """The hub id, file and revision."""
        return {"hub": self.path, "file": self.file, "revision": self.revision or "main"}


@dataclass(frozen=True)
class HubFileSource:
    """One json file of a dataset of the hub, whose rows are the only split."""

    file: HubFile

    def rows(self, split: str) -> list[Row]:  # noqa: ARG002 - one file, one split
        """All rows. Raises BenchmarkError where the file cannot be had."""
        return read_rows(self.file.fetched(), Layout("json"))

    def identity(self, split: str, file_digest: FileDigest) -> object:  # noqa: ARG002 - not there yet
        """The hub id, file and revision."""
        return self.file.identity


@dataclass(frozen=True)
class HubArchiveSource:
    """Tables with a header line in a zip archive of the hub: for each split its place there.

    `constants` are columns that every row gets. Datasets that were published as an archive and a loading script are
    read so: `datasets` runs no scripts any more (since its version 4).
    """

    file: HubFile
    members: Mapping[str, str]
    constants: Row = field(default_factory=dict)

    def rows(self, split: str) -> list[Row]:
        """All rows of a split. Raises BenchmarkError where the archive cannot be had, or has no such file."""
        member = self._member(split)
        archive = self.file.fetched()
        with tempfile.TemporaryDirectory() as folder:
            table = Path(folder) / Path(member).name
            try:
                with zipfile.ZipFile(archive) as opened:
                    table.write_bytes(opened.read(member))
            except (zipfile.BadZipFile, KeyError) as error:
                raise BenchmarkError(
                    f"{self.file.file} of {self.file.path} holds no {member}: {self.file.advice}"
                ) from error
            return [{**row, **self.constants} for row in read_rows(table, Layout("csv"))]

    def identity(self, split: str, file_digest: FileDigest) -> object:  # noqa: ARG002 - not there yet
        """The hub id, file and revision, and the place in the archive."""
        return {**self.file.identity, "member": self._member(split)}

    def _member(self, split: str) -> str:
        if split not in self.members:
            raise BenchmarkError(f"there is no data for the split {split!r}{nearest(split, self.members)}")
        return self.members[split]
