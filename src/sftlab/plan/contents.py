"""Digests of the contents that results depend on: files, bases, datasets. Kept by path, size, time and inode."""

import hashlib
import json
from pathlib import Path

from sftlab.data.formats.source import unpacked_suffix
from sftlab.errors import DataError, ModelError
from sftlab.plan.hub import pinned_dataset, pinned_model
from sftlab.store import Store
from sftlab.study.cells import BaseCell
from sftlab.study.declaration import BaseRef, DatasetRef, Template
from sftlab.study.identity import digest

CHUNK_BYTES = 1 << 22
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer.model",
)
CONFIG_FILES = ("config.json", "generation_config.json")
"""The second names tokens that end a generated answer."""
NOTE = "digests"


class Contents:
    """Content digests of files, remembered in the store between processes.

    A remembered digest is used to plan; `fresh=True`, for whoever uses the content, hashes again.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, list[object]] = {
            path: entry for path, entry in (store.read_note(NOTE) or {}).items() if isinstance(entry, list)
        }
        self._changed = False
        self.provisional: list[str] = []
        self.unpinned: set[str] = set()

    def file(self, path: Path, *, fresh: bool = False) -> str:
        """SHA-256 of a file's bytes. Raises DataError where it cannot be read."""
        try:
            found = path.stat()
            stamp: list[object] = [found.st_size, found.st_mtime_ns, found.st_ino]
            known = self._known.get(str(path))
            if not fresh and known is not None and known[:3] == stamp:
                return str(known[3])
            value = _hash(path)
        except OSError as error:
            raise DataError(f"the file {path} cannot be read: {error.strerror}") from error
        self._known[str(path)] = [*stamp, value]
        self._changed = True
        return value

    def remember(self) -> None:
        """Write what was hashed to the store, so that the next process need not."""
        if self._changed:
            self._store.write_note(NOTE, self._known)
            self._changed = False

    def base(self, ref: BaseRef, *, fresh: bool = False) -> BaseCell:
        """A base with the digests of its weights and tokenizer; of a hub base, of its pinned revision."""
        folder = Path(ref.model)
        if not folder.is_dir():
            pinned = pinned_model(ref)
            if pinned.revision is None:
                self.provisional.append(f"base {ref.name}: {pinned.reason}")
            content = {"hub": ref.model, "revision": pinned.revision or ref.revision or "main"}
            pinned_ref = ref.model_copy(update={"revision": pinned.revision or ref.revision})
            return _base_cell(pinned_ref, digest(content), digest({"tokenizer": content}))
        weights = sorted(folder.glob("*.safetensors"))
        if not weights:
            raise ModelError(
                f"the base {ref.name} has no weights: {folder} holds no .safetensors file (other formats are not read)"
            )
        if not (folder / "config.json").is_file():
            raise ModelError(f"the base {ref.name} has no config.json in {folder}")
        names = [path.name for path in weights] + [name for name in CONFIG_FILES if (folder / name).is_file()]
        if ref.trust_remote_code:
            names += sorted(path.name for path in folder.glob("*.py"))
        tokenizer = [name for name in TOKENIZER_FILES if (folder / name).is_file()]
        if not tokenizer:
            raise ModelError(f"the base {ref.name} has no tokenizer files in {folder}")
        return _base_cell(
            ref,
            digest({name: self.file(folder / name, fresh=fresh) for name in names}),
            digest({name: self.file(folder / name, fresh=fresh) for name in tokenizer}),
        )

    def dataset(self, ref: DatasetRef, *, fresh: bool = False) -> str:
        """Digest of a dataset's content and of how its rows are read."""
        reading = ref.model_dump(exclude={"path", "short", "revision", *(["files"] if ref.files is None else [])})
        if ref.path is not None:
            reading = {key: value for key, value in reading.items() if key not in {"hub", "subset", "split"}}
            reading["format"] = unpacked_suffix(ref.path).replace(".ndjson", ".jsonl")
            return digest({"content": self.file(Path(ref.path), fresh=fresh), "reading": reading})
        pinned = pinned_dataset(ref)
        found = digest({"hub": ref.hub, "revision": pinned.revision or ref.revision or "main", "reading": reading})
        if pinned.revision is None:
            self.provisional.append(f"dataset {ref.hub}: {pinned.reason}")
            self.unpinned.add(found)
        return found


def _base_cell(ref: BaseRef, weights: str, tokenizer: str) -> BaseCell:
    """A base by the digests of its files; tokens that the study gives it make it another base."""
    if ref.special_tokens:
        tokens = list(ref.special_tokens)
        weights = digest({"weights": weights, "tokenizer": tokenizer, "special_tokens": tokens})
        tokenizer = digest({"tokenizer": tokenizer, "special_tokens": tokens})
    return BaseCell(ref, ref.family_name, weights, tokenizer)


def resolved_template(template: Template, base: BaseRef) -> Template:
    """`auto` as what it comes to for this base: its tokenizer's chat template, or question_answer.

    Raises ModelError for `chat` where the base lies in a folder and its tokenizer has no chat template.
    """
    folder = Path(base.model)
    if template not in {"auto", "chat"} or not folder.is_dir():
        return template
    if _has_chat_template(folder):
        return "chat"
    if template == "chat":
        raise ModelError(
            f"the tokenizer of the base {base.name} has no chat template, as `template: chat` needs: "
            "write question_answer, alpaca or one of your own"
        )
    return "question_answer"


def _has_chat_template(folder: Path) -> bool:
    if any((folder / name).is_file() for name in ("chat_template.jinja", "chat_template.json")):
        return True
    try:
        config = json.loads((folder / "tokenizer_config.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and bool(config.get("chat_template"))


def _hash(path: Path) -> str:
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            hasher.update(chunk)
    return hasher.hexdigest()
