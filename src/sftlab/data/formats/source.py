"""The bytes of a dataset file, unpacked, and the text they stand for."""

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePath

from sftlab.errors import DataError

GZIP_MAGIC = b"\x1f\x8b"
UTF8_MARK = b"\xef\xbb\xbf"
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Source:
    """One file as a format sees it: `where` names it in errors, `suffix` is that of the unpacked file."""

    where: str
    suffix: str
    content: bytes
    columns: tuple[str, ...] | None = None


def open_source(path: str, *, where: str, columns: tuple[str, ...] | None) -> Source:
    """Reads and unpacks a file. Gzip is recognised by its first bytes, whatever the file is called."""
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise DataError(f"{where} does not exist: `path` names a json, jsonl, csv, tsv or parquet file") from None
    except IsADirectoryError:
        raise DataError(f"{where} is a folder: `path` names one json, jsonl, csv, tsv or parquet file in it") from None
    except OSError as error:
        raise DataError(f"{where} cannot be read: {error.strerror}") from None
    if content.startswith(GZIP_MAGIC):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error):
            raise DataError(f"{where} is a damaged or cut off gzip file: pack or download it again") from None
    if not content.strip(b" \t\r\n" + UTF8_MARK):
        raise DataError(f"{where} is empty: it needs at least one row; was it written to its end?")
    return Source(where, unpacked_suffix(path), content, columns)


def unpacked_suffix(path: str) -> str:
    """The end of a file's name, in lower case and without `.gz`, that says its format; empty where there is none."""
    suffixes = [suffix.lower() for suffix in PurePath(path).suffixes if suffix.lower() != ".gz"]
    return suffixes[-1] if suffixes else ""


def text_of(source: Source) -> str:
    """The text of a UTF-8 file without its byte-order mark.

    Bytes that are not UTF-8 become lone surrogates, so that only the rows that hold them are broken.
    """
    if source.content.startswith(UTF16_MARKS):
        raise DataError(f"{source.where} is UTF-16: save it as UTF-8")
    return source.content.removeprefix(UTF8_MARK).decode("utf-8", "surrogateescape")
