"""Where the rows of judged benchmarks come from: questions beside reference answers, and single files of the hub."""

from dataclasses import dataclass
from pathlib import Path

from sftlab.benchmarks.rows import Layout, Row, read_rows
from sftlab.benchmarks.sources import FileDigest, LocalSource, quiet_hub
from sftlab.errors import BenchmarkError

KEY = "question_id"


@dataclass(frozen=True, kw_only=True)
class ReferencedSource(LocalSource):
    """Questions of MT-Bench, with the reference answers of a file in the form of its authors' model answers."""

    references: Path

    def rows(self, split: str) -> list[Row]:
        """Every question with its reference answers, one a turn, as column `reference` (None where it has none)."""
        known = {row[KEY]: row["choices"][0]["turns"] for row in read_rows(self.references, Layout("json"))}
        return [{**row, "reference": known.get(row[KEY])} for row in LocalSource.rows(self, split)]

    def identity(self, split: str, file_digest: FileDigest) -> object:
        """Digests of both files and how they are read."""
        if not self.references.is_file():
            raise BenchmarkError(f"the benchmark file {self.references} does not exist")
        questions = LocalSource.identity(self, split, file_digest)
        return {"questions": questions, "references": file_digest(self.references)}


@dataclass(frozen=True)
class HubFileSource:
    """One json file of a dataset of the hub, whose rows are the only split."""

    path: str
    file: str
    revision: str | None
    advice: str

    def rows(self, split: str) -> list[Row]:  # noqa: ARG002 - one file, one split
        """All rows, from the local cache where the hub does not answer.

        Raises BenchmarkError where they are in neither.
        """
        from huggingface_hub import hf_hub_download

        answers = True
        try:
            with quiet_hub() as answers:
                path = hf_hub_download(self.path, self.file, repo_type="dataset", revision=self.revision)
        except (OSError, ValueError) as error:
            said = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
            reason = said if answers else "it does not answer: is there a network?"
            raise BenchmarkError(
                f"the file {self.file} of {self.path} cannot be had from the hub ({reason}): {self.advice}"
            ) from error
        return read_rows(Path(path), Layout("json"))

    def identity(self, split: str, file_digest: FileDigest) -> object:  # noqa: ARG002 - not there yet
        """The hub id, file and revision."""
        return {"hub": self.path, "file": self.file, "revision": self.revision or "main"}
