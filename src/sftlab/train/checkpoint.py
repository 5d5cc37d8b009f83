"""Checkpoint folders that transformers and PEFT load."""

import json
import os
import shutil
from pathlib import Path

from sftlab.lm.base import LoadedBase
from sftlab.lm.templates import ResolvedTemplate
from sftlab.train.state import replace_folder

TEMPLATE_FILE = "sft_template.json"


def write_checkpoint(base: LoadedBase, template: ResolvedTemplate, target: Path) -> int:
    """Write what the base holds now, atomically, and return the bytes it takes.

    A whole model becomes a transformers folder with its tokenizer, an adapter a PEFT folder; both say in
    sft_template.json what they were trained with.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        if base.adapter is not None:
            base.adapter.save(temporary)
        else:
            base.model.save_pretrained(temporary)
            base.tokenizer.save_pretrained(temporary)
        about = {"name": template.name, "source": template.source, "end_of_turn": template.end_of_turn}
        (temporary / TEMPLATE_FILE).write_text(json.dumps(about, indent=2) + "\n")
        num_bytes = sum(path.stat().st_size for path in temporary.iterdir())
        replace_folder(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return num_bytes
