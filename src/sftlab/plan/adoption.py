"""Runs that another trainer did, as cells of a study: found on disk, identified by their weights."""

import json
from collections.abc import Mapping
from pathlib import Path

from sftlab.errors import ModelError
from sftlab.plan.contents import Contents, resolved_template
from sftlab.plan.devices import default_precision
from sftlab.study.cells import BaseCell, RunCell
from sftlab.study.declaration import Study, TrainedElsewhere
from sftlab.study.identity import digest
from sftlab.study.methods import METHODS, Method
from sftlab.study.run import RunSeeds, RunSpec

ADOPT_VERSION = 1
ADAPTER_CONFIG = "adapter_config.json"
CONFIG_FILES = ("config.json", ADAPTER_CONFIG)


def adopted_runs(study: Study, bases: Mapping[str, BaseCell], contents: Contents) -> tuple[RunCell, ...]:
    """A cell for every run of `trained`, one epoch a checkpoint.

    Identity is taken of the base and of the weights alone: what the study says of the recipe is for people to read.
    Raises ModelError where a folder holds no weights as safetensors.
    """
    cells = []
    for name, ref in study.trained.items():
        folders = checkpoint_folders(Path(ref.folder))
        base = bases[ref.base]
        weights = [
            {path.name: contents.file(path) for path in sorted(folder.glob("*.safetensors"))}
            | {other: contents.file(folder / other) for other in CONFIG_FILES if (folder / other).is_file()}
            for folder in folders
        ]
        identity = digest(
            {
                "step": "adopt",
                "version": ADOPT_VERSION,
                "base": base.digest,
                "tokenizer": base.tokenizer_digest,
                "checkpoints": weights,
            }
        )
        spec = _spec(study, name, ref, base=base, folders=folders)
        cells.append(RunCell(spec, base.family, identity, identity, adopted=tuple(map(str, folders))))
    return tuple(cells)


def checkpoint_folders(folder: Path) -> tuple[Path, ...]:
    """The `checkpoint-N` folders of a trainer's output, by N, or the folder itself where it holds a model.

    Raises ModelError where neither has weights as safetensors.
    """
    numbered = [path for path in folder.glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdigit()]
    found = sorted(numbered, key=lambda path: int(path.name.removeprefix("checkpoint-"))) or [folder]
    for path in found:
        if not any(path.glob("*.safetensors")):
            raise ModelError(f"{path} holds no weights as .safetensors, which alone are read: save it in that format")
    return tuple(found)


def _spec(study: Study, name: str, ref: TrainedElsewhere, *, base: BaseCell, folders: tuple[Path, ...]) -> RunSpec:
    method = _method(folders[-1], ref)
    return RunSpec(
        run=name,
        base=ref.base,
        dataset=ref.dataset,
        parts=(),
        samples=ref.samples,
        validation=0.0,
        method_name=ref.method or ("full" if method.adapter == "none" else method.adapter),
        method=method,
        schedule=ref.schedule,
        warmup_steps=0,
        epochs=len(folders),
        seeds=RunSeeds(sample=ref.seed, order=ref.seed, init=ref.seed),
        precision=study.precision or default_precision(),
        template=resolved_template(study.template, base.base),
        loss_on=study.loss_on,
        max_tokens=study.max_tokens,
        overflow=study.overflow,
        score_epochs=study.evaluation.score_epochs,
    )


def _method(folder: Path, ref: TrainedElsewhere) -> Method:
    common = {"learning_rate": ref.learning_rate, "batch_size": ref.batch_size}
    path = folder / ADAPTER_CONFIG
    if not path.is_file():
        return METHODS["none"].model_validate(common)  # type: ignore[return-value]
    try:
        config = json.loads(path.read_bytes())
        told = {"rank": config["r"], "alpha": config["lora_alpha"], "rank_stabilised": bool(config.get("use_rslora"))}
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is not the configuration of a LoRA adapter: {error!r}") from error
    return METHODS["lora"].model_validate({"adapter": "lora", **told, **common})  # type: ignore[return-value]
