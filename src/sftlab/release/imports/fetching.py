"""A file to import, from this machine or from a url, with its digest."""

import hashlib
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

from sftlab.errors import DataError

TIMEOUT_SECONDS = 60.0
LARGEST_BYTES = 2_000_000_000


@dataclass(frozen=True)
class Fetched:
    """A file at hand, and what is kept of where it came from: `file` and `sha256`."""

    path: Path
    origin: Mapping[str, str]


@contextmanager
def fetched(source: str, sha256: str | None = None) -> Iterator[Fetched]:
    """The file of that name or url, for as long as the context lasts.

    Raises DataError where it cannot be had, is larger than 2 GB, or has another digest than `sha256`.
    """
    if urlparse(source).scheme in {"http", "https"}:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / (Path(urlparse(source).path).name or "file")
            _download(source, path)
            yield _checked(path, source, sha256)
        return
    path = Path(source)
    if not path.is_file():
        raise DataError(f"there is no file {source}; a file or a url (http, https) is legal")
    yield _checked(path, path.name, sha256)


def _download(url: str, path: Path) -> None:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer, path.open("wb") as file:
            while block := answer.read(1 << 20):
                if file.tell() + len(block) > LARGEST_BYTES:
                    raise DataError(f"{url} is larger than {LARGEST_BYTES:,} bytes")
                file.write(block)
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise DataError(f"{url} cannot be fetched: {reason}; download it elsewhere and name the file") from error


def _checked(path: Path, name: str, expected: str | None) -> Fetched:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if expected is not None and found != expected.lower():
        raise DataError(f"{name} has the SHA-256 {found}, and {expected} was asked for")
    return Fetched(path, {"file": name, "sha256": found})
