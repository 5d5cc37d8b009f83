"""The benchmarks that come with sftlab, and how their local copies are laid out."""

from dataclasses import dataclass, field
from pathlib import Path

from sftlab.benchmarks.definition import TaskDefinition
from sftlab.benchmarks.hub_files import HubArchiveSource, HubFile, HubFileSource
from sftlab.benchmarks.judging.sources import ReferencedSource
from sftlab.benchmarks.rows import Layout
from sftlab.benchmarks.sources import HubSource, LocalSource, Source
from sftlab.benchmarks.subjects import CMMLU_SUBJECTS, JMMLU_SUBJECTS, MMLU_SUBJECTS
from sftlab.errors import BenchmarkError
from sftlab.study.spelling import nearest

TASKS = Path(__file__).parent / "tasks"


@dataclass(frozen=True)
class Shipped:
    """One benchmark: for each split the file it has inside `benchmarks_dir`, the first of several that is there.

    With `subjects`, the file names hold `{subject}`, every row gets a column `subject`, and subjects are strata with
    their own shots; on the hub each is a configuration of the dataset. `stratum_column` names the column that holds the
    subject where all are in one file. `num_items` is the published size of the evaluated split, for estimates of cost
    before it is read. `references` is a file of reference answers beside the questions, which no dataset of the hub
    holds. `hub_file` is the one file of the hub's dataset that is read, where `datasets` cannot make its rows: a json
    file, or an archive where `hub_members` has the place of each split in it.
    """

    splits: dict[str, tuple[str, ...]]
    num_items: int
    layout: Layout = field(default_factory=lambda: Layout("json"))
    subjects: tuple[str, ...] = ()
    stratum_column: str | None = None
    references: str | None = None
    hub_file: str | None = None
    hub_members: dict[str, str] | None = None


_OPTIONS = ("question", "A", "B", "C", "D", "answer")
_GSM8K = Shipped({"test": ("gsm8k_test.jsonl",), "train": ("gsm8k_train.jsonl",)}, num_items=1319)
_TRUTHFULQA = Shipped({"validation": ("truthfulqa.csv", "TruthfulQA.csv")}, num_items=817, layout=Layout("csv"))
_HUMANEVAL = Shipped({"test": ("HumanEval.jsonl.gz", "HumanEval.jsonl")}, num_items=164)
_MBPP = Shipped({"test": ("mbpp_test.jsonl",)}, num_items=500)
SHIPPED: dict[str, Shipped] = {
    "boolq": Shipped({"validation": ("boolq_val.jsonl",), "train": ("boolq_train.jsonl",)}, num_items=3270),
    "gsm8k": _GSM8K,
    "gsm8k_flexible": _GSM8K,
    "mmlu": Shipped(
        {
            split: (f"mmlu/{split}/{{subject}}_{split}.csv", f"mmlu/{split}/{{subject}}.csv")
            for split in ("test", "dev")
        },
        num_items=14042,
        layout=Layout("csv", columns=_OPTIONS),
        subjects=MMLU_SUBJECTS,
    ),
    "cmmlu": Shipped(
        {split: (f"cmmlu/{split}/{{subject}}.csv",) for split in ("test", "dev")},
        num_items=11582,
        layout=Layout("csv"),
        subjects=tuple(CMMLU_SUBJECTS),
        hub_file="cmmlu_v1_0_1.zip",
        hub_members={split: f"{split}/{{subject}}.csv" for split in ("test", "dev")},
    ),
    "jmmlu": Shipped(
        {"test": ("jmmlu/{subject}.csv", "jmmlu/test/{subject}.csv")},
        num_items=7097,
        layout=Layout("csv", columns=_OPTIONS),
        subjects=JMMLU_SUBJECTS,
        hub_file="JMMLU.zip",
        hub_members={"test": "JMMLU/test/{subject}.csv"},
    ),
    "mmmlu_ja": Shipped(
        {"test": ("mmlu_JA-JP.csv", "mmmlu/mmlu_JA-JP.csv")},
        num_items=14042,
        layout=Layout("csv"),
        stratum_column="subject",
    ),
    "hellaswag": Shipped(
        {"validation": ("hellaswag_val.jsonl",), "train": ("hellaswag_train.jsonl",)}, num_items=10042
    ),
    "math": Shipped({"test": ("math500.jsonl",)}, num_items=500),
    "naturalquestions": Shipped(
        {"validation": ("nq_open_dev.jsonl",), "train": ("nq_open_train.jsonl",)}, num_items=3610
    ),
    "triviaqa_open": Shipped(
        {"validation": ("triviaqa_val.jsonl",), "train": ("triviaqa_train.jsonl",)}, num_items=17944
    ),
    "mt_bench": Shipped(
        {"train": ("mt_bench_questions.jsonl", "question.jsonl")},
        num_items=80,
        stratum_column="category",
        references="mt_bench_reference_gpt4.jsonl",
    ),
    "alpaca_eval": Shipped(
        {"eval": ("gpt4_1106_preview__model_outputs.json", "alpaca_eval_gpt4_baseline.json")},
        num_items=805,
        hub_file="alpaca_eval_gpt4_baseline.json",
    ),
    "humaneval": _HUMANEVAL,
    "humaneval_instruct": _HUMANEVAL,
    "mbpp": _MBPP,
    "mbpp_instruct": _MBPP,
    "truthfulqa": _TRUTHFULQA,
    "truthfulqa_mc1": _TRUTHFULQA,
    "truthfulqa_mc2": _TRUTHFULQA,
}


def shipped_benchmarks() -> tuple[str, ...]:
    """The names that a study may write without a file."""
    return tuple(SHIPPED)


def task_path(name: str) -> Path:
    """The task file of a shipped benchmark. Raises BenchmarkError for another name, with the nearest legal one."""
    if name not in SHIPPED:
        raise BenchmarkError(
            f"no benchmark of this name comes with sftlab{nearest(name, SHIPPED)}; others are given by `file` or `data`"
        )
    return TASKS / f"{name}.yaml"


def chosen_subjects(name: str, subjects: tuple[str, ...] | None) -> tuple[str | None, ...]:
    """The subjects to ask, in the benchmark's own order; (None,) where a benchmark has none."""
    known = SHIPPED[name].subjects if name in SHIPPED else ()
    if subjects is None:
        return known or (None,)
    if not known:
        raise BenchmarkError("there are no subjects in it")
    for subject in subjects:
        if subject not in known:
            raise BenchmarkError(f"there is no subject {subject!r}{nearest(subject, known)}")
    return tuple(subject for subject in known if subject in subjects)


def _file_names(name: str, definition: TaskDefinition) -> str:
    """The files of a benchmark's local copy, those of the evaluated split first."""
    shipped = SHIPPED[name]
    ordered = sorted(shipped.splits, key=lambda split: split != definition.eval_split)
    names = [shipped.splits[split][0].format(subject="SUBJECT") for split in ordered]
    return " and ".join(names if shipped.references is None else [*names, shipped.references])


def shipped_source(
    name: str, definition: TaskDefinition, *, subject: str | None, benchmarks_dir: Path | None
) -> Source:
    """The data of a shipped benchmark: inside `benchmarks_dir` where one is given, else on the hub.

    Raises BenchmarkError where they are not on the hub.
    """
    if benchmarks_dir is None:
        return _hub_source(name, definition, subject)
    shipped = SHIPPED[name]
    constants = {} if subject is None else {"subject": subject}
    files = {}
    for split, patterns in shipped.splits.items():
        candidates = [benchmarks_dir / pattern.format(subject=subject) for pattern in patterns]
        files[split] = (next((path for path in candidates if path.is_file()), candidates[0]),)
    if shipped.references is not None:
        return ReferencedSource(files, shipped.layout, constants, references=benchmarks_dir / shipped.references)
    return LocalSource(files, shipped.layout, constants)


def _hub_source(name: str, definition: TaskDefinition, subject: str | None) -> Source:
    shipped = SHIPPED[name]
    advice = (
        f"name a folder that holds {_file_names(name, definition)} with `--benchmarks-dir` of `quick` or "
        "`benchmarks_dir` in a study's `evaluation`"
    )
    if shipped.references is not None:
        raise BenchmarkError(f"no dataset of the hub has its reference answers, so {advice}")
    revision = definition.dataset_kwargs.revision
    if shipped.hub_file is None:
        return HubSource(definition.dataset_path, subject or definition.dataset_name, revision, advice=advice)
    file = HubFile(definition.dataset_path, shipped.hub_file, revision, advice)
    if shipped.hub_members is None:
        return HubFileSource(file)
    members = {split: member.format(subject=subject) for split, member in shipped.hub_members.items()}
    return HubArchiveSource(file, members, {} if subject is None else {"subject": subject})
