"""A study without a study file: one base, some datasets, sane settings, and what helps what."""

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from sftlab.benchmarks.loading import is_known_by_name, shipped_benchmarks
from sftlab.data.example import Dataset, Example
from sftlab.data.reading import read_dataset
from sftlab.data.sampling import split_held_out
from sftlab.errors import DataError, StudyError
from sftlab.plan.base_size import num_weights
from sftlab.plan.contents import Contents
from sftlab.store import Store, write_atomically
from sftlab.study.declaration import BaseRef, DatasetRef
from sftlab.study.reading import HUB_ID

LARGEST_FULL = 300_000_000
SPLIT_SEED = 0
LONGEST_NAME = 60
UNNAMEABLE = re.compile(r"[^A-Za-z0-9._+-]+")
RESERVED_NAMES = ("none",)


@dataclass(frozen=True)
class Settings:
    """How much of a quick study to do; the same number of training examples for every dataset, so that they compare."""

    samples: int = 500
    held_out: int = 100
    epochs: int = 2
    seeds: int = 2
    benchmarks: tuple[str, ...] = ()
    benchmarks_dir: Path | None = None


def write_quick_study(
    study_file: Path, base: str, datasets: Mapping[str, DatasetRef], *, store: Store, settings: Settings
) -> Path:
    """Write a study file, and beside it the training and held-out part of each dataset, and return the file.

    Every dataset's held-out answers are a benchmark for every model. Raises DataError where a dataset is too small.
    """
    folder = study_file.with_name(f"{study_file.stem}-data")
    splits = {}
    for name, ref in datasets.items():
        dataset = read_dataset(ref, name=name, from_flags=True)
        splits[name] = split_held_out(dataset, share=_held_out(dataset, settings), seed=SPLIT_SEED)
    samples = min(settings.samples, *(len(split.pool) for split in splits.values()))
    for name, split in splits.items():
        _write_lines(folder / f"{name}-train.jsonl", [_messages(example) for example in split.pool])
        _write_lines(folder / f"{name}-heldout.jsonl", [_question(example) for example in split.held_out])
    base_ref = base_reference(base)
    benchmarks = [
        *({"name": f"{name}-heldout", "data": f"{folder.name}/{name}-heldout.jsonl"} for name in datasets),
        *benchmark_entries(settings.benchmarks, study_file.parent.resolve(), taken=[f"{n}-heldout" for n in datasets]),
    ]
    content = {
        "study": legal_name(study_file.stem),
        "bases": [{"name": base_ref.name, "model": base_ref.model}],
        "datasets": {name: {"path": f"{folder.name}/{name}-train.jsonl"} for name in datasets},
        "samples": samples,
        "validation": 0,
        "methods": _method(num_weights(Contents(store).base(base_ref)), samples),
        "epochs": settings.epochs,
        "seeds": list(range(settings.seeds)),
        "evaluation": {
            "benchmarks": benchmarks,
            "items": settings.held_out,
            **({"benchmarks_dir": str(settings.benchmarks_dir.resolve())} if settings.benchmarks_dir else {}),
        },
    }
    write_atomically(study_file, yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode())
    return study_file


def legal_name(text: str) -> str:
    """A name that a study file takes, as near to any text as can be: accents go, other signs become `-`."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    name = UNNAMEABLE.sub("-", plain.strip()).strip("._+-")[:LONGEST_NAME]
    return name if name and name not in RESERVED_NAMES else f"{name or 'my'}-data"


def legal_names(texts: Sequence[str]) -> tuple[str, ...]:
    """A legal name for each text, no two alike: later ones get a number."""
    names: list[str] = []
    for text in texts:
        wanted = legal_name(text)
        tries = (wanted if count == 1 else f"{wanted}-{count}" for count in range(1, len(texts) + 1))
        names.append(next(name for name in tries if name not in names))
    return tuple(names)


def dataset_names(files: tuple[Path, ...]) -> tuple[str, ...]:
    """A legal name for each file, from its own. Raises StudyError where a file is missing or given twice."""
    for index, file in enumerate(files):
        if not file.is_file():
            raise StudyError(f"--data: there is no file {file}")
        if file.resolve() in [other.resolve() for other in files[:index]]:
            raise StudyError(f"--data: {file} is given twice")
    return legal_names([file.name.split(".")[0] for file in files])


def base_reference(text: str) -> BaseRef:
    """The base that `--base` names: a folder, or a hub id. Raises StudyError for what is neither."""
    folder = Path(text).expanduser()
    if folder.is_dir():
        return BaseRef(name=legal_name(folder.resolve().name), model=str(folder.resolve()))
    if not HUB_ID.match(text):
        raise StudyError(f"--base: there is no folder {folder.absolute()}, and a hub id looks like Qwen/Qwen2.5-0.5B")
    return BaseRef(name=legal_name(text.rsplit("/", 1)[-1]), model=text)


def _held_out(dataset: Dataset, settings: Settings) -> int:
    count = len(dataset.examples)
    if count < 10:
        raise DataError(f"the dataset {dataset.name} has {count} usable records: `quick` needs at least 10")
    return max(2, min(settings.held_out, count // 5))


def _method(weights: int, samples: int) -> dict[str, object]:
    """Full fine-tuning of small models and LoRA of large ones, at rates that fall with size.

    The rates interpolate between what works at 0.3 million weights (1e-3) and at 7 billion (1e-5), as a power of size;
    LoRA's is ten times higher.
    """
    full_rate = min(1.0e-3, max(1.0e-5, 1.0e-5 * (7.0e9 / max(weights, 1)) ** 0.46))
    batch_size = min(16, max(1, samples // 4))
    if weights <= LARGEST_FULL:
        return {"full": {"learning_rate": float(f"{full_rate:.1e}"), "batch_size": batch_size}}
    rate = float(f"{10 * full_rate:.1e}")
    return {"lora": {"adapter": "lora", "rank": 16, "alpha": 32, "learning_rate": rate, "batch_size": batch_size}}


def benchmark_entries(texts: Sequence[str], folder: Path, *, taken: Sequence[str] = ()) -> list[object]:
    """How a study file in `folder` names benchmarks: by a known name, or a task or prompt/answer file by its path.

    Raises StudyError for what is neither a file nor known by name, and for two of the same name (`taken` are others).
    """
    entries: list[object] = []
    names = list(taken)
    for text in texts:
        path = Path(text).expanduser()
        if not path.is_file() and not is_known_by_name(text):
            shipped = ", ".join(shipped_benchmarks())
            raise StudyError(
                f"--benchmark: there is no file {text}, and the benchmarks known by name are {shipped} and the tasks "
                "of an installed lm-evaluation-harness"
            )
        name = legal_name(path.name.split(".")[0]) if path.is_file() else text
        if name in names:
            raise StudyError(f"--benchmark: two benchmarks are called {name!r}: rename one of the files")
        names.append(name)
        if not path.is_file():
            entries.append(text)
            continue
        field = "file" if path.suffix in {".yaml", ".yml"} else "data"
        absolute = path.resolve()
        shown = str(absolute.relative_to(folder) if absolute.is_relative_to(folder) else absolute)
        own_name = path.name.split(".")[0]
        entries.append({field: shown} if name == own_name else {"name": name, field: shown})
    return entries


def _messages(example: Example) -> dict[str, object]:
    return {"messages": [{"role": turn.role, "content": turn.content} for turn in example.turns]}


def _question(example: Example) -> dict[str, object]:
    """The first question of a conversation and its answer; a plain text is continued from nothing."""
    answer = next(place for place, turn in enumerate(example.turns) if turn.role == "assistant")
    asked = [turn.content for turn in example.turns[:answer] if turn.role == "user"]
    return {"question": "\n".join(asked), "answer": example.turns[answer].content}


def _write_lines(path: Path, rows: list[dict[str, object]]) -> None:
    write_atomically(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
