"""A trained model as a folder that transformers or PEFT opens and servers serve."""

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftlab.errors import StoreError, StudyError
from sftlab.lm.base import load_base, load_tokenizer
from sftlab.lm.templates import ResolvedTemplate, resolve_template
from sftlab.lm.tokenizer import BaseTokenizer
from sftlab.lm.weights import is_adapter
from sftlab.release.chosen import Chosen
from sftlab.release.serving_template import serving_template
from sftlab.train.checkpoint import TEMPLATE_FILE
from sftlab.train.state import replace_folder

CARD = "README.md"


@dataclass(frozen=True)
class Exported:
    """What was written: the folder, whether it is an adapter, its size, and the tokens that end an answer."""

    folder: Path
    adapter: bool
    num_bytes: int
    end_tokens: tuple[str, ...]


def export_model(chosen: Chosen, target: Path, *, merged: bool, force: bool, card: str) -> Exported:
    """Write a checkpoint with its tokenizer, template of training, generation settings and card, whole or not at all.

    A full model is a transformers folder, an adapter a PEFT folder, or with `merged` a transformers folder of the base
    with the adapter's delta added. Generation is greedy, as scores are taken, and ends with the end of turn (or of
    sequence) of training, or what else the base's settings end with. `force` replaces an earlier export; no other
    folder that holds something is ever replaced. Raises StudyError where `merged` has nothing to merge or to merge
    into, StoreError where the folder cannot be written, ModelError where the base cannot be loaded.
    """
    adapter = is_adapter(chosen.folder)
    if merged and not adapter:
        raise StudyError(f"{chosen.run.spec.run} is a whole model: --merged is for adapters")
    if merged and chosen.run.spec.method.quantisation is not None:
        raise StudyError(
            f"{chosen.run.spec.run} was trained and scored on a quantised base, which cannot take the adapter up: "
            "export it without --merged"
        )
    _require_free(target, force=force)
    tokenizer = load_tokenizer(chosen.base.base)
    template = resolve_template(chosen.run.spec.template, tokenizer.tokenizer)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        if merged:
            _write_merged(chosen, temporary)
        else:
            shutil.copytree(chosen.folder, temporary, dirs_exist_ok=True)
        shutil.copy(chosen.folder / TEMPLATE_FILE, temporary / TEMPLATE_FILE)
        end_ids = _write_serving_files(chosen, tokenizer, template, temporary)
        (temporary / CARD).write_text(card)
        num_bytes = sum(path.stat().st_size for path in temporary.iterdir())
        replace_folder(temporary, target)
    except OSError as error:
        raise StoreError(f"the model cannot be written to {target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    words = tuple(tokenizer.tokenizer.convert_ids_to_tokens(end_ids))
    return Exported(target, adapter and not merged, num_bytes, words)


def _require_free(target: Path, *, force: bool) -> None:
    if target.exists() and not target.is_dir():
        raise StoreError(f"a model is written to a folder, and {target} is a file")
    if not target.is_dir() or not any(target.iterdir()):
        return
    if not (target / TEMPLATE_FILE).is_file():
        raise StoreError(f"{target} holds something that is no exported model: give a new or empty folder")
    if not force:
        raise StoreError(f"{target} holds an exported model already: give another folder, or --force to replace it")


def _write_merged(chosen: Chosen, folder: Path) -> None:
    loaded = load_base(chosen.base.base, device="cpu", precision=chosen.run.spec.precision)
    loaded.load_checkpoint(chosen.folder)
    loaded.model.save_pretrained(folder)


def _write_serving_files(
    chosen: Chosen, tokenizer: BaseTokenizer, template: ResolvedTemplate, folder: Path
) -> list[int]:
    """Tokenizer with the template, and generation settings; returns the ids that end an answer."""
    own: Any = tokenizer.tokenizer
    rendered = serving_template(template, tokenizer)
    own.chat_template = {**own.chat_template, "default": rendered} if isinstance(own.chat_template, dict) else rendered
    if own.pad_token_id is None:
        own.pad_token = own.convert_ids_to_tokens(tokenizer.pad_id)
    own.save_pretrained(folder)
    turn_end = [] if template.end_of_turn is None else [own.convert_tokens_to_ids(template.end_of_turn)]
    end_ids = list(dict.fromkeys([*turn_end, tokenizer.eos_id, *_named_ends(chosen)]))
    _write_generation_settings(tokenizer, end_ids, folder)
    return end_ids


def _named_ends(chosen: Chosen) -> Iterable[int]:
    from transformers import GenerationConfig

    base = chosen.base.base
    read: Any = GenerationConfig.from_pretrained
    options = {} if base.revision is None or Path(base.model).is_dir() else {"revision": base.revision}
    try:
        named = read(base.model, **options).eos_token_id
    except OSError:
        return []
    return named if isinstance(named, list) else [] if named is None else [named]


def _write_generation_settings(tokenizer: BaseTokenizer, end_ids: list[int], folder: Path) -> None:
    from transformers import GenerationConfig

    made: Any = GenerationConfig
    settings = made(
        do_sample=False,
        eos_token_id=end_ids[0] if len(end_ids) == 1 else end_ids,
        pad_token_id=tokenizer.pad_id,
        bos_token_id=tokenizer.bos_id if tokenizer.bos_id is not None else tokenizer.tokenizer.bos_token_id,
    )
    settings.save_pretrained(folder)
