"""Small runs for the tests of training."""

from pathlib import Path
from typing import Any

from sftlab.lm.base import LoadedBase
from sftlab.lm.encoding import EncodingRecipe, encode_examples
from sftlab.study.declaration import Precision
from sftlab.study.methods import Full, Lora
from sftlab.study.run import DataPart, RunSeeds, RunSpec
from sftlab.train import RunData, RunFiles, TrainControl, TrainedRun, train_run
from tests.lm.models import examples

FULL = Full(learning_rate=3e-3, batch_size=8)
LORA = Lora(adapter="lora", rank=4, alpha=8, learning_rate=1e-2, batch_size=8)


def spec(**changes: Any) -> RunSpec:
    values: dict[str, Any] = {
        "run": "tiny", "base": "tiny", "dataset": "made", "parts": (DataPart(dataset="made", weight=1),),
        "samples": 48, "validation": 8, "method_name": "full", "method": FULL, "schedule": "cosine", "warmup_steps": 2,
        "epochs": 2, "seeds": RunSeeds(sample=0, order=0, init=0), "precision": Precision(), "template": "auto",
        "loss_on": "response", "max_tokens": 256, "overflow": "truncate",
    }  # fmt: skip
    return RunSpec(**{**values, **changes})


def data(base: LoadedBase, folder: Path, *, count: int = 48, held_out: int = 8, **recipe: Any) -> RunData:
    made = (encode_examples(given, base, recipe=EncodingRecipe(**recipe), folder=folder / "tokens") for given in (
        examples(count), examples(held_out, seed=9)))  # fmt: skip
    return RunData(*made)


def files(folder: Path) -> RunFiles:
    return RunFiles(folder / "working", lambda epoch: folder / "checkpoints" / f"epoch-{epoch}")


def train(base: LoadedBase, run: RunSpec, given: RunData, folder: Path, **control: Any) -> TrainedRun:
    return train_run(base, run, given, files=files(folder), control=TrainControl(**control))
