"""A checkpoint as a transformers folder that any server opens, and that answers greedily."""

import json
import shutil
from pathlib import Path

from sftlab.lm.base import load_base, load_tokenizer
from sftlab.lm.weights import is_adapter
from sftlab.study.declaration import BaseRef, Precision

SETTINGS = "generation_config.json"
END_OF_ANSWER = ("bos_token_id", "eos_token_id", "pad_token_id")


def write_serving_folder(ref: BaseRef, checkpoint: Path | None, target: Path, *, precision: Precision) -> Path:
    """A folder of whole weights: links to the files of a base or a whole checkpoint, or a base with its adapter merged.

    Generation settings keep only which tokens begin, end and pad: penalties and temperatures that a model brings along
    would change what a server answers. Raises ModelError where the base or the checkpoint cannot be loaded.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    if checkpoint is None and not ref.special_tokens:
        _link(_base_folder(ref), target)
    elif checkpoint is not None and not is_adapter(checkpoint):
        _link(checkpoint, target)
    else:
        loaded = load_base(ref, device="cpu", precision=precision)
        if checkpoint is not None:
            loaded.load_checkpoint(checkpoint)
        loaded.model.save_pretrained(target)
        load_tokenizer(ref).tokenizer.save_pretrained(target)
    _keep_ends_alone(target / SETTINGS)
    return target


def _base_folder(ref: BaseRef) -> Path:
    if Path(ref.model).is_dir():
        return Path(ref.model)
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(ref.model, revision=ref.revision))


def _link(source: Path, target: Path) -> None:
    for path in source.iterdir():
        if path.is_file():
            (target / path.name).symlink_to(path.resolve())


def _keep_ends_alone(settings: Path) -> None:
    if not settings.is_file():
        return
    known = json.loads(settings.read_text())
    settings.unlink()
    settings.write_text(json.dumps({name: known[name] for name in END_OF_ANSWER if name in known}, indent=2) + "\n")
