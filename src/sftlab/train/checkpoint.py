"""Checkpoint folders that transformers and PEFT load."""

import json
import os
import shutil
from pathlib import Path

from torch import Tensor

from sftlab.lm.base import LoadedBase
from sftlab.lm.templates import ResolvedTemplate
from sftlab.train.state import replace_folder

TEMPLATE_FILE = "sft_template.json"


def write_checkpoint(base: LoadedBase, template: ResolvedTemplate, target: Path) -> int | None:
    """Write what the base holds now, atomically, and return the bytes it takes.

    Where several ranks share the base all of them call it; the first one writes, and the others return None. A whole
    model becomes a transformers folder with its tokenizer, an adapter a PEFT folder; both say in sft_template.json what
    they were trained with.
    """
    elsewhere = base.adapter is None and (base.ranks.count > 1 or base.masters)
    gathered = _gathered_weights(base) if elsewhere else None
    if not base.ranks.is_first:
        return None
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        if base.adapter is not None:
            base.adapter.save(temporary)
        else:
            base.model.save_pretrained(temporary, state_dict=gathered)
            base.tokenizer.save_pretrained(temporary)
        about = {"name": template.name, "source": template.source, "end_of_turn": template.end_of_turn}
        (temporary / TEMPLATE_FILE).write_text(json.dumps(about, indent=2) + "\n")
        num_bytes = sum(path.stat().st_size for path in temporary.iterdir())
        replace_folder(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return num_bytes


def _gathered_weights(base: LoadedBase) -> dict[str, Tensor]:
    """What the model's state would be if one process held it in its own type; tied weights are one tensor."""
    tensors: dict[str, Tensor] = base.model.state_dict(keep_vars=True)
    first_name: dict[int, str] = {}
    for name, tensor in tensors.items():
        first_name.setdefault(id(tensor), name)
    whole = base.ranks.gathered((name, base.masters.get(name, tensors[name])) for name in first_name.values())
    return {name: whole[first_name[id(tensor)]] for name, tensor in tensors.items()} if base.ranks.is_first else {}
