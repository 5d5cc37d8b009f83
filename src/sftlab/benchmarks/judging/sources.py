"""Where the rows of judged benchmarks come from: questions beside reference answers."""

from dataclasses import dataclass
from pathlib import Path

from sftlab.benchmarks.rows import Layout, Row, read_rows
from sftlab.benchmarks.sources import FileDigest, LocalSource
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
