"""One pocket study for both sides: its files, and the plan that the peer's script is given.

Benchmarks are asked in the words of training by their own files, so that both sides read the very same prompts.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from sftlab.plan.resolve import Resolved
    from sftlab.pocket.files import PocketDesign
    from sftlab.study.cells import RunCell

TEMPLATE = {"prompt": "###Question: {instruction}\n###Answer: ", "response": "{response}"}
ASKED = "###Question: {question}\n###Answer:"
CONTEXT_LENGTH = 256
CHOICES = "reading_choice"
NUMBERS = "arithmetic_answer"
GOLD = ("facts", "strings")


@dataclass(frozen=True)
class SharedStudy:
    """The study file, and for each task of lm-evaluation-harness the benchmark it stands for and its kind."""

    path: Path
    tasks_folder: Path
    tasks: dict[str, tuple[str, str]]


def write_shared_study(folder: Path, design: "PocketDesign") -> SharedStudy:
    """The pocket study with all prompts in the words of training, and lm-evaluation-harness's tasks for it."""
    from sftlab.pocket.files import write_pocket_study

    path = write_pocket_study(folder, design=design)
    bench, tasks_folder = folder / "bench", folder / "tasks"
    tasks_folder.mkdir(exist_ok=True)
    for name in (CHOICES, NUMBERS, *GOLD):
        rows = [json.loads(line) for line in (bench / f"{name}.jsonl").read_text().splitlines()]
        asked = [{**row, "question": ASKED.format(question=row["question"])} for row in rows]
        (bench / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    for name in (CHOICES, NUMBERS):
        _write_task(tasks_folder, name, bench / f"{name}.jsonl", yaml.safe_load((bench / f"{name}.yaml").read_text()))
    for name in (NUMBERS, *GOLD):
        gold = {"output_type": "loglikelihood", "doc_to_text": "{{question}}", "doc_to_target": " {{answer}}"}
        _write_task(tasks_folder, f"{name}_gold", bench / f"{name}.jsonl", gold)
    study = yaml.safe_load(path.read_text())
    study["evaluation"]["template"] = "plain"
    study["precision"] = {"weights": "float32", "compute": "float32"}
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    tasks = {CHOICES: (CHOICES, "choices"), NUMBERS: (NUMBERS, "generative")}
    tasks |= {f"{name}_gold": (name, "gold") for name in (NUMBERS, *GOLD)}
    return SharedStudy(path, tasks_folder, tasks)


def _write_task(folder: Path, name: str, data: Path, definition: dict[str, Any]) -> None:
    where = {"task": name, "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(data)}}}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump({**definition, **where, "test_split": "test"}))


def peer_plan(study: SharedStudy, resolved: "Resolved", folder: Path, *, runs: tuple["RunCell", ...]) -> dict[str, Any]:
    """What the peer's script is told: bases to score, and these runs with their examples, order and adapters."""
    models = {base.base.name: base.base.model for base in resolved.cells.bases}
    return {
        "template": TEMPLATE,
        "context_length": CONTEXT_LENGTH,
        "tasks": study.tasks,
        "tasks_folder": str(study.tasks_folder),
        "bases": list(models.values()),
        "runs": [_run(cell, resolved, folder) for cell in runs],
    }


def _run(cell: "RunCell", resolved: "Resolved", folder: Path) -> dict[str, Any]:
    from sftlab.lm.base import load_base
    from sftlab.lm.encoding import EncodingRecipe, encode_examples
    from sftlab.plan.selection import select_examples
    from sftlab.train.order import epoch_batches

    spec = cell.spec
    base = next(one.base for one in resolved.cells.bases if one.base.name == spec.base)
    names = tuple(part.dataset for part in spec.parts)
    digests = {name: resolved.dataset_digests[name] for name in names}
    selected = select_examples(
        spec.parts,
        resolved.study.datasets,
        digests,
        samples=spec.samples,
        validation=spec.validation,
        seed=spec.seeds.sample,
    )
    loaded = load_base(base, device="cpu", precision=spec.precision)
    recipe = EncodingRecipe("question_answer", spec.loss_on, spec.max_tokens, spec.overflow)
    encoded = encode_examples(selected.train, loaded, recipe=recipe, folder=folder / "tokens")
    assert len(encoded) == len(selected.train), "both sides train on every example"
    batches = [
        batch
        for epoch in range(1, spec.epochs + 1)
        for batch in epoch_batches(encoded, batch_size=spec.batch_size, seed=spec.seeds.order, epoch=epoch)
    ]
    return {
        "run": spec.run,
        "base": base.model,
        "method": spec.method_name,
        "sample": f"{spec.base} {spec.dataset} {spec.seeds.sample}",
        "examples": [[turn.content for turn in example.turns] for example in selected.train],
        "held_out": [[turn.content for turn in example.turns] for example in selected.held_out],
        "order": [int(number) for batch in batches for number in batch],
        "steps_per_epoch": len(batches) // spec.epochs,
        "batch_size": spec.batch_size,
        "learning_rate": spec.learning_rate,
        "max_grad_norm": spec.method.max_grad_norm,
        "adapter": _adapter(cell, loaded, folder),
        "out": str(folder / "trial"),
    }


def _adapter(cell: "RunCell", loaded: Any, folder: Path) -> str | None:  # noqa: ANN401 - a LoadedBase
    from sftlab.lm.adapters import inject_lora
    from sftlab.study.methods import Lora

    if not isinstance(cell.spec.method, Lora):
        return None
    start = inject_lora(loaded.model, cell.spec.method, seed=cell.spec.seeds.init, base_model=loaded.ref.model)
    out = folder / "adapters" / cell.identity
    out.mkdir(parents=True)
    start.save(out)
    start.unload()
    return str(out)
