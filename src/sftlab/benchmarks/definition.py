"""What a task file may say: the fields of lm-evaluation-harness that sftlab understands; every other one is refused."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from sftlab.benchmarks.code import TaskCode, named_code
from sftlab.benchmarks.task_yaml import TaskYaml
from sftlab.errors import BenchmarkError
from sftlab.study.spelling import nearest

OutputType = Literal["multiple_choice", "generate_until", "loglikelihood"]
JudgeName = Literal["mt_bench", "alpaca_eval"]
METRICS: dict[OutputType, tuple[str, ...]] = {
    "multiple_choice": ("acc", "acc_norm", "acc_bytes"),
    "generate_until": ("exact_match", "exact_answer", "math_equal", "squad_exact_match", "squad_f1"),
    "loglikelihood": ("acc", "perplexity"),
}
EXACT_MATCH_OPTIONS = ("regexes_to_ignore", "ignore_case", "ignore_punctuation", "ignore_numbers")
NAMES_ONLY = frozenset(
    {"task", "task_alias", "tag", "group", "should_decontaminate", "doc_to_decontamination_query", "metadata"}
)
NOT_SUPPORTED = {
    "doc_to_image": "benchmarks are text",
    "doc_to_audio": "benchmarks are text",
    "use_prompt": "write the prompt as doc_to_text",
    "class": "a task is described by fields, not by a Python class",
    "custom_dataset": "rows come from files or from the hub",
    "unsafe_code": "generated programs run in sftlab's own sandbox only",
}


def _one_or_many(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _listed(value: object) -> object:
    """Of named choices, only their order and their texts count."""
    return list(value.values()) if isinstance(value, dict) else value


TextList = Annotated[list[str], BeforeValidator(_one_or_many)]
Choices = Annotated[str | Annotated[list[str], Field(min_length=1)] | None, BeforeValidator(_listed)]


class _Fields(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class DatasetKwargs(_Fields):
    """Where local files lie and how they are read; or which revision of a hub dataset."""

    data_files: str | list[str] | dict[str, str | list[str]] | None = None
    data_field: str | None = Field(default=None, alias="field")
    delimiter: str | None = None
    column_names: list[str] | None = None
    revision: str | None = None
    trust_remote_code: bool | None = None


class FewshotConfig(_Fields):
    """How shots are drawn, and where they are written otherwise than the question."""

    sampler: Literal["default", "first_n"] = "default"
    split: str | None = None
    samples: list[dict[str, object]] | str | None = Field(default=None, min_length=1)
    doc_to_text: str | None = None
    doc_to_target: str | int | list[str] | None = None
    doc_to_choice: Choices = None
    gen_prefix: str | None = None
    fewshot_delimiter: str | None = None
    target_delimiter: str | None = None


class GenerationKwargs(_Fields):
    """When a free answer ends; decoding is greedy."""

    until: TextList | None = None
    max_gen_toks: int | None = Field(default=None, ge=1)
    do_sample: Literal[False] | None = None
    temperature: float | None = Field(default=None, ge=0.0, le=0.0)


class FilterEntry(_Fields):
    """One named chain of filter functions."""

    name: str
    filter: list[dict[str, object]] = Field(min_length=1)


class MetricEntry(_Fields):
    """One metric and its options."""

    metric: str
    aggregation: Literal["mean", "perplexity"] | None = None
    higher_is_better: bool | None = None
    regexes_to_ignore: list[str] | None = None
    ignore_case: bool | None = None
    ignore_punctuation: bool | None = None
    ignore_numbers: bool | None = None


class TaskDefinition(_Fields):
    """A task as its file defines it, with lm-evaluation-harness' defaults."""

    dataset_path: str
    dataset_name: str | None = None
    dataset_kwargs: DatasetKwargs = DatasetKwargs()
    training_split: str | None = None
    validation_split: str | None = None
    test_split: str | None = None
    fewshot_split: str | None = None
    process_docs: str | None = None
    process_results: str | None = None
    doc_to_text: str
    doc_to_target: str | int | list[str]
    doc_to_choice: Choices = None
    description: str = ""
    target_delimiter: str = " "
    fewshot_delimiter: str = "\n\n"
    fewshot_config: FewshotConfig = FewshotConfig()
    num_fewshot: int = Field(default=0, ge=0)
    output_type: OutputType = "generate_until"
    generation_kwargs: GenerationKwargs = GenerationKwargs()
    repeats: Literal[1] = 1
    filter_list: list[FilterEntry] | None = Field(default=None, min_length=1)
    metric_list: list[MetricEntry] | None = Field(default=None, min_length=1)
    gen_prefix: str | None = None
    judge: JudgeName | None = None
    follow_ups: str | None = None
    cluster_by: str | None = None

    @property
    def eval_split(self) -> str:
        """The split whose rows are the items."""
        split = self.test_split or self.validation_split
        assert split is not None, "checked when the task was read"
        return split

    @property
    def shot_split(self) -> str | None:
        """The split that shots are drawn from by lm-evaluation-harness' rule; None where they are given as samples."""
        stated = self.fewshot_config.split or self.fewshot_split
        if stated is not None or self.fewshot_config.samples is not None:
            return stated
        return self.training_split or self.validation_split or self.test_split

    @property
    def leaves_out_the_item(self) -> bool:
        """Whether lm-evaluation-harness takes the item itself out of its own shots."""
        return (self.fewshot_config.split or self.fewshot_split) == self.test_split

    @property
    def stops(self) -> tuple[str, ...]:
        """Texts that end a free answer."""
        until = self.generation_kwargs.until
        return tuple(stop for stop in ([self.fewshot_delimiter] if until is None else until) if stop)


def task_definition(source: TaskYaml, *, trusted: bool = False) -> tuple[TaskDefinition, TaskCode]:
    """A task file as a checked definition, and the code it names; where `trusted`, that may be code of its own.

    Raises BenchmarkError, with the file and the field, for what is unknown, not supported, or of the wrong kind.
    """
    try:
        fields, code = named_code(_supported(source.fields), trusted=trusted)
        definition = TaskDefinition.model_validate(fields)
        _check_consistency(definition)
    except ValidationError as error:
        raise BenchmarkError(f"{source.path}: {_sentence(error.errors(include_url=False))}") from error
    except BenchmarkError as error:
        raise BenchmarkError(f"{source.path}: {error}") from error
    return definition, code


def _supported(fields: Mapping[str, object]) -> dict[str, object]:
    given = {name: value for name, value in fields.items() if value is not None}
    if isinstance(given.get("task"), list):
        raise BenchmarkError("this is a group of tasks; name the file of one task")
    kept = {name: value for name, value in given.items() if name not in NAMES_ONLY}
    for name, value in kept.items():
        if name in NOT_SUPPORTED and value is not False:
            raise BenchmarkError(f"`{name}` is not supported: {NOT_SUPPORTED[name]}")
        if name not in NOT_SUPPORTED and name not in TaskDefinition.model_fields:
            raise BenchmarkError(f"unknown field {name!r}{nearest(name, TaskDefinition.model_fields)}")
    return {name: value for name, value in kept.items() if name not in NOT_SUPPORTED}


def _check_consistency(definition: TaskDefinition) -> None:
    if definition.test_split is None and definition.validation_split is None:
        raise BenchmarkError("a task names the split of its items: `test_split` or `validation_split`")
    kind = definition.output_type
    if kind != "generate_until" and definition.judge is not None:
        raise BenchmarkError(f"`judge` is for generate_until, and this task is {kind}")
    if definition.follow_ups is not None and definition.judge is None:
        raise BenchmarkError("`follow_ups` are for tasks with a `judge`")
    if kind == "multiple_choice" and definition.doc_to_choice is None:
        raise BenchmarkError("a multiple_choice task has `doc_to_choice`")
    if kind != "generate_until" and definition.filter_list is not None:
        raise BenchmarkError(f"`filter_list` is for generate_until, and this task is {kind}")
    if definition.process_results is None:
        _check_metrics(definition.metric_list or (), kind)
    elif kind == "loglikelihood" or definition.metric_list is None:
        raise BenchmarkError("`process_results` goes with a `metric_list`, of generate_until or multiple_choice")


def _check_metrics(entries: Sequence[MetricEntry], kind: OutputType) -> None:
    for entry in entries:
        if entry.metric not in METRICS[kind]:
            raise BenchmarkError(f"unknown metric {entry.metric!r} for {kind}{nearest(entry.metric, METRICS[kind])}")
        options = [name for name in EXACT_MATCH_OPTIONS if getattr(entry, name) is not None]
        if options and entry.metric != "exact_match":
            raise BenchmarkError(f"`{options[0]}` is an option of exact_match, not of {entry.metric}")


def _sentence(details: list[ErrorDetails]) -> str:
    """The first field that is wrong; of the kinds that it may be, the one that the value came nearest to."""
    detail = max((one for one in details if one["loc"][0] == details[0]["loc"][0]), key=lambda one: len(one["loc"]))
    place = [str(part) for part in detail["loc"] if not _is_a_type(str(part))]
    name = ".".join(place)
    if detail["type"] == "missing":
        return f"the field {name!r} is missing"
    if detail["type"] == "extra_forbidden":
        return f"unknown field {name!r}{nearest(place[-1], _legal_fields(place))}"
    got = repr(detail["input"])
    hint = "; yes, no and numbers need quotes to be text" if detail["type"] == "string_type" else ""
    shown = got if len(got) <= 60 else f"{got[:57]}..."
    return f"`{name}`: {detail['msg'][:1].lower()}{detail['msg'][1:]}, got {shown}{hint}"


def _is_a_type(part: str) -> bool:
    return part in {"str", "int"} or "[" in part


def _legal_fields(place: list[str]) -> list[str]:
    models: dict[str, type[BaseModel]] = {
        "dataset_kwargs": DatasetKwargs,
        "fewshot_config": FewshotConfig,
        "generation_kwargs": GenerationKwargs,
        "filter_list": FilterEntry,
        "metric_list": MetricEntry,
    }
    fields = models.get(place[0], TaskDefinition).model_fields
    return [field.alias or name for name, field in fields.items()]
