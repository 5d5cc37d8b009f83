"""Benchmarks as files that both sides read: five-shot MMLU by subject, BoolQ, and free answers; and a tokenizer."""

import csv
import json
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SUBJECTS = (
    "abstract_algebra",
    "anatomy",
    "astronomy",
    "business_ethics",
    "college_biology",
    "computer_security",
    "econometrics",
    "global_facts",
    "international_law",
    "virology",
)
SHOTS = 5
LETTERS = "ABCD"
Json = dict[str, Any]
MMLU: Json = {
    "output_type": "multiple_choice",
    "fewshot_split": "train",
    "fewshot_config": {"sampler": "first_n"},
    "num_fewshot": SHOTS,
    "doc_to_text": "{{question.strip()}}\nA. {{choices[0]}}\nB. {{choices[1]}}\nC. {{choices[2]}}\nD. {{choices[3]}}"
    "\nAnswer:",
    "doc_to_choice": list(LETTERS),
    "doc_to_target": "{{gold}}",
    "metric_list": [{"metric": "acc"}],
}
BOOLQ: Json = {
    "output_type": "multiple_choice",
    "doc_to_text": "{{question}}",
    "doc_to_choice": ["no", "yes"],
    "doc_to_target": "{{gold}}",
    "metric_list": [{"metric": "acc"}],
}
WORDS = [
    "river",
    "stone",
    "cloud",
    "paper",
    "garden",
    "window",
    "market",
    "engine",
    "letter",
    "forest",
    "silver",
    "music",
    "bridge",
    "candle",
    "winter",
    "number",
    "doctor",
    "island",
    "pencil",
    "mirror",
    "travel",
    "animal",
    "bottle",
    "planet",
    "kitchen",
    "village",
    "summer",
    "history",
    "science",
    "nature",
]


@dataclass(frozen=True)
class SharedTask:
    """One task: its name, its definition without data, and rows of the splits that it uses."""

    name: str
    definition: Json
    rows: dict[str, list[Json]]


def data_folder() -> Path | None:
    """Where published benchmarks lie, if anywhere: $SFTLAB_SHARED, else a folder beside the repository."""
    root = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("SFTLAB_SHARED", root.parent / "shared")) / "data" / "bench"
    return folder if (folder / "mmlu").is_dir() and (folder / "boolq_val.jsonl").is_file() else None


def shared_tasks(*, subjects: int, items: int, boolq_items: int, published: Path | None) -> list[SharedTask]:
    """MMLU by subject and BoolQ, at most so many items each; made up of words where there are no published files."""
    tasks = []
    for number, subject in enumerate(SUBJECTS[:subjects]):
        if published is None:
            rows = {split: list(_made_choices(number, count)) for split, count in (("train", SHOTS), ("test", items))}
        else:
            rows = {split: _mmlu(published, subject, folder) for split, folder in (("train", "dev"), ("test", "test"))}
        about = f"The following are multiple choice questions (with answers) about {subject.replace('_', ' ')}.\n\n"
        rows["test"] = rows["test"][:items]
        tasks.append(SharedTask(f"mmlu_{subject}", {**MMLU, "description": about}, rows))
    boolq = list(_made_reading(boolq_items)) if published is None else _boolq(published)[:boolq_items]
    return [*tasks, SharedTask("boolq", BOOLQ, {"test": boolq})]


def _mmlu(published: Path, subject: str, folder: str) -> list[Json]:
    with (published / "mmlu" / folder / f"{subject}_{folder}.csv").open(newline="", encoding="utf-8") as file:
        return [
            {"question": line[0], "choices": line[1:5], "gold": LETTERS.index(line[5])} for line in csv.reader(file)
        ]


def _boolq(published: Path) -> list[Json]:
    with (published / "boolq_val.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [{"question": row["query"].rstrip(), "gold": int(row["gold"])} for row in rows]


def _sentence(generator: random.Random, shortest: int, longest: int) -> str:
    return " ".join(generator.choices(WORDS, k=generator.randint(shortest, longest)))


def _made_choices(seed: int, count: int) -> Iterator[Json]:
    generator = random.Random(f"choices {seed} {count}")
    for _ in range(count):
        choices = [_sentence(generator, 1, 6) for _ in LETTERS]
        yield {"question": _sentence(generator, 10, 60), "choices": choices, "gold": generator.randrange(4)}


def _made_reading(count: int) -> Iterator[Json]:
    generator = random.Random(1)
    for _ in range(count):
        text = f"Passage: {_sentence(generator, 50, 150)}\nQuestion: {_sentence(generator, 5, 10)}?\nAnswer:"
        yield {"question": text, "gold": generator.randrange(2)}


def write_tasks(tasks: Sequence[SharedTask], folder: Path) -> dict[str, Json]:
    """A task file and its rows each, as sftlab reads them; lm-evaluation-harness's definitions of the same, by name."""
    import yaml

    theirs = {}
    for task in tasks:
        files = {}
        for split, rows in task.rows.items():
            files[split] = f"{task.name}-{split}.jsonl"
            (folder / files[split]).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        definition = {"task": task.name, "dataset_path": "json", "test_split": "test", **task.definition}
        ours = {**definition, "dataset_kwargs": {"data_files": files}}
        (folder / f"{task.name}.yaml").write_text(yaml.safe_dump(ours), encoding="utf-8")
        absolute = {split: str(folder / name) for split, name in files.items()}
        theirs[task.name] = {
            **definition,
            "dataset_kwargs": {"data_files": absolute, "cache_dir": str(folder / "cache" / task.name)},
        }
    return theirs


def trained_tokenizer(tasks: Sequence[SharedTask], vocabulary: int) -> "PreTrainedTokenizerFast":
    """Byte-pair encoding learned from the tasks' own text."""
    from tokenizers import Tokenizer, decoders, pre_tokenizers, processors
    from tokenizers.models import BPE
    from tokenizers.trainers import BpeTrainer
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=vocabulary, special_tokens=["<unk>", "<s>", "</s>"], initial_alphabet=alphabet)
    texts = [json.dumps(row, ensure_ascii=False) for task in tasks for rows in task.rows.values() for row in rows]
    choices = "A B C D no yes Answer: \n" * 50
    made.train_from_iterator([*texts, choices], trainer)
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", pad_token="</s>", unk_token="<unk>"
    )
