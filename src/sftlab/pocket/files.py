"""The pocket study as files: data, benchmarks and the study file itself, like those a user would bring."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sftlab.errors import StudyError
from sftlab.pocket.catalogue import POCKET_BASES, pocket_base_folder
from sftlab.pocket.domains import DOMAINS, Domain, Question, draw_questions
from sftlab.pocket.world import World

_EXAMPLES_PER_DATASET = 320
_VALIDATION = 0.1


@dataclass(frozen=True)
class PocketDesign:
    """How large the pocket study is; the defaults are those of the demo: 32 runs.

    `samples` are drawn from the nine tenths of a dataset's 320 examples that are not held out; `items` is the number of
    questions in each benchmark.
    """

    bases: tuple[str, ...] = tuple(POCKET_BASES)
    datasets: tuple[str, ...] = tuple(DOMAINS)
    samples: int = 256
    epochs: int = 2
    seeds: tuple[int, ...] = (0,)
    items: int = 100

    def __post_init__(self) -> None:
        for kind, got, legal in (("base", self.bases, POCKET_BASES), ("dataset", self.datasets, DOMAINS)):
            for name in got:
                if name not in legal:
                    raise StudyError(f"unknown pocket {kind} {name!r}: legal are {', '.join(legal)}")


def write_pocket_study(folder: Path, *, design: PocketDesign | None = None, world: World | None = None) -> Path:
    """Write the pocket study into a folder and return its study file, `pocket.yaml`.

    The same design and world give the same bytes; files that are already right are not touched. Every domain brings a
    dataset in a shape of its own under `data/`, and all four bring a benchmark under `bench/`, whatever datasets the
    design names: questions of other subjects than any in the data. Raises DataError where the world is too small.
    """
    design, world = design or PocketDesign(), world or World()
    for name in design.datasets:
        domain = DOMAINS[name]
        questions = draw_questions(domain, world, held_out=False, count=_EXAMPLES_PER_DATASET)
        rows = [domain.row(question) for question in questions]
        _write(folder / "data" / f"{name}.{domain.suffix}", _formatted(rows, domain.suffix))
    benchmarks = []
    for domain in DOMAINS.values():
        questions = draw_questions(domain, world, held_out=True, count=design.items)
        benchmarks.append(_write_benchmark(folder, domain, questions))
    study = folder / "pocket.yaml"
    _write(study, _study_text(design, benchmarks))
    return study


def _write(path: Path, text: str) -> None:
    content = text.encode()
    if path.is_file() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _formatted(rows: Sequence[Mapping[str, object]], suffix: str) -> str:
    if suffix == "json":
        return json.dumps(list(rows), indent=1) + "\n"
    if suffix == "jsonl":
        return _json_lines(rows)
    out = io.StringIO()
    table = csv.DictWriter(out, fieldnames=list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return out.getvalue()


def _json_lines(rows: Iterable[Mapping[str, object]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def _write_benchmark(folder: Path, domain: Domain, questions: Sequence[Question]) -> str:
    """Write one benchmark; returns how the study file refers to it."""
    if domain.task == "gold_answer":
        _write(folder / "bench" / f"{domain.name}.jsonl", _json_lines(map(_answer_row, questions)))
        return f"{{name: {domain.name}, data: bench/{domain.name}.jsonl, prompt: question, response: answer}}"
    if domain.task == "multiple_choice":
        task = f"{domain.name}_choice"
        rows, definition = map(_choice_row, questions), _MULTIPLE_CHOICE.format(task=task)
    else:
        task = f"{domain.name}_answer"
        rows, definition = map(_answer_row, questions), _FINAL_NUMBER.format(task=task)
    _write(folder / "bench" / f"{task}.jsonl", _json_lines(rows))
    _write(folder / "bench" / f"{task}.yaml", definition)
    return f"{{file: bench/{task}.yaml}}"


def _answer_row(question: Question) -> Mapping[str, object]:
    return {"question": question.prompt, "answer": question.answer}


def _choice_row(question: Question) -> Mapping[str, object]:
    choices = sorted(question.choices)
    return {"question": question.prompt, "choices": choices, "label": choices.index(question.answer)}


_MULTIPLE_CHOICE = """\
task: {task}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {task}.jsonl
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: choices
doc_to_target: label
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
  - metric: acc_norm
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1.0
"""

_FINAL_NUMBER = """\
task: {task}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {task}.jsonl
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs:
  until: ["###Question:", "</s>"]
  do_sample: false
  max_gen_toks: 24
filter_list:
  - name: strict-match
    filter:
      - function: regex
        regex_pattern: "#### (\\\\-?[0-9]+)"
      - function: take_first
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
    ignore_case: true
    ignore_punctuation: false
    regexes_to_ignore: ["(?s).*#### "]
metadata:
  version: 1.0
"""


def _base_line(name: str) -> str:
    folder = json.dumps(str(pocket_base_folder(name)))
    return f"  - {{name: {name}, family: {POCKET_BASES[name].architecture}, model: {folder}}}"


def _study_text(design: PocketDesign, benchmarks: Sequence[str]) -> str:
    bases = "\n".join(map(_base_line, design.bases))
    datasets = "\n".join(f"  {name}: {{path: data/{name}.{DOMAINS[name].suffix}}}" for name in design.datasets)
    asked = "\n".join(f"    - {each}" for each in benchmarks)
    return _STUDY.format(
        bases=bases,
        datasets=datasets,
        benchmarks=asked,
        samples=design.samples,
        validation=_VALIDATION,
        epochs=design.epochs,
        seeds=list(design.seeds),
    )


_STUDY = """\
# The pocket study: tiny bases, each pretrained on a mixture of a generated world, fine-tuned on one of its domains at a
# time and scored on all of them. No benchmark question asks about anything that the data ask about.
study: pocket
bases:
{bases}
datasets:
{datasets}
samples: [{samples}]
validation: {validation}
methods:
  full: {{learning_rate: 1.0e-3, batch_size: 16}}
  lora: {{adapter: lora, rank: 8, alpha: 16, learning_rate: 5.0e-3, batch_size: 16}}
epochs: {epochs}
checkpoints: last
schedule: [constant]
seeds: {seeds}
template: question_answer
loss_on: response
max_tokens: 256
evaluation:
  benchmarks:
{benchmarks}
  score_epochs: last
measures: [perplexity, length, weight_change]
"""
