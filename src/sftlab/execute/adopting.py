"""A run that another trainer did, taken over: its checkpoints linked into the store, measured, its log read."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from sftlab.execute.workplace import Workplace
from sftlab.lm.templates import resolve_template
from sftlab.measure.weight_change import loaded_weight_change
from sftlab.plan.tasks import Job
from sftlab.study.cells import RunCell
from sftlab.train.checkpoint import TEMPLATE_FILE
from sftlab.train.run import SCHEMAS, TrainedRun

LOG = "trainer_state.json"
ELSEWHERE = "trained elsewhere"


def adopt(place: Workplace, job: Job, cell: RunCell) -> TrainedRun:
    """Link every checkpoint into the store, and measure how far it moved the weights.

    Losses are those that the trainer logged, where its `trainer_state.json` is there. Raises ModelError where a
    checkpoint is not one of the base.
    """
    loaded = place.model(job.base, cell.spec.precision)
    template = resolve_template(cell.spec.template, loaded.tokenizer)
    about = {"name": template.name, "source": template.source, "end_of_turn": template.end_of_turn}
    layers, checkpoints = [], []
    for epoch, source in enumerate(map(Path, cell.adopted), start=1):
        loaded.load_checkpoint(source)
        layers.append(loaded_weight_change(loaded).with_columns(pl.lit(epoch, dtype=pl.Int64()).alias("epoch")))
        target = place.store.checkpoint_folder(cell.trajectory, epoch)
        _link(source, target, json.dumps(about, indent=2) + "\n")
        num_bytes = sum(path.stat().st_size for path in target.iterdir())
        checkpoints.append({"epoch": epoch, "num_bytes": num_bytes})
        place.moved(epoch / len(cell.adopted), 0)
    loaded.holding = cell.checkpoint(len(cell.adopted))
    losses = _logged(Path(cell.adopted[-1]) / LOG)
    rows = {
        "losses": pl.DataFrame(losses, schema=SCHEMAS["losses"]),
        "validation": pl.DataFrame(schema=SCHEMAS["validation"]),
        "layers": pl.concat(layers).select(list(SCHEMAS["layers"])),
        "checkpoints": pl.DataFrame(checkpoints, schema=SCHEMAS["checkpoints"]),
    }
    result = {
        "steps": losses[-1]["step"] if losses else None,
        "loss_first": losses[0]["loss"] if losses else None,
        "loss_last": losses[-1]["loss"] if losses else None,
        "events": [ELSEWHERE],
    }
    return TrainedRun(result, rows, ELSEWHERE)


def _link(source: Path, target: Path, template: str) -> None:
    """A folder of links in place of a copy: what is adopted may be large, and stays where it is."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for path in source.iterdir():
        if path.is_file() and path.suffix in {".safetensors", ".json", ".jinja", ".model", ".txt"}:
            (temporary / path.name).symlink_to(path.resolve())
    (temporary / TEMPLATE_FILE).unlink(missing_ok=True)
    (temporary / TEMPLATE_FILE).write_text(template)
    shutil.rmtree(target, ignore_errors=True)
    temporary.rename(target)


def _logged(path: Path) -> list[dict[str, Any]]:
    """Losses by step as a trainer of transformers logged them; none where there is no readable log."""
    try:
        history = json.loads(path.read_bytes())["log_history"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    told = [entry for entry in history if isinstance(entry, Mapping) and {"loss", "step"} <= set(entry)]
    return [
        {
            "step": int(entry["step"]),
            "epoch": max(1, -int(-float(entry.get("epoch", 1)) // 1)),
            "loss": float(entry["loss"]),
            "learning_rate": entry.get("learning_rate"),
            "grad_norm": entry.get("grad_norm"),
            "tokens": None,
            "learned_tokens": None,
        }
        for entry in told
    ]
