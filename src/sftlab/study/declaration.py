"""The frozen declaration of a study: exactly what its file says, checked field by field."""

import itertools
from pathlib import PurePath
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from sftlab.study.consistency import first_inconsistency
from sftlab.study.engine import BUILT_IN, EngineChoice
from sftlab.study.judge import Judge
from sftlab.study.measures import DEFAULT_MEASURES, PACKAGED_EMBEDDER
from sftlab.study.methods import Full, Method
from sftlab.study.methods.common import one_or_many


class Frozen(BaseModel):
    """A value that cannot be changed and has no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")]
Count = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(gt=0.0)]
Seed = Annotated[int, Field(ge=0)]
SeedList = Annotated[tuple[Seed, ...], Field(min_length=1)]
Schedule = Literal["constant", "cosine", "linear", "wsd"]
ScoredEpochs = Literal["last", "all"]


class BaseRef(Frozen):
    """A pretrained model to fine-tune: a local folder, or a hub id that is pinned to a revision."""

    name: Name
    model: str
    revision: str | None = None
    family: str | None = None
    parameters: Weight | None = Field(
        default=None, description="number of weights, to estimate cost of a base that is not on this machine yet"
    )
    trust_remote_code: bool = False
    special_tokens: tuple[Annotated[str, Field(pattern=r"\S")], ...] = Field(
        default=(), description="tokens of its own that a template uses; added where the tokenizer lacks them, trained"
    )

    @model_validator(mode="after")
    def _each_token_once(self) -> Self:
        if len(set(self.special_tokens)) < len(self.special_tokens):
            raise ValueError(f"`special_tokens` names each token once, got {', '.join(self.special_tokens)}")
        return self

    @model_validator(mode="before")
    @classmethod
    def _named_by_its_model(cls, value: object) -> object:
        fields = {"model": value} if isinstance(value, str) else value
        if isinstance(fields, dict) and "name" not in fields and isinstance(fields.get("model"), str):
            return {"name": PurePath(fields["model"]).name, **fields}
        return fields

    @property
    def family_name(self) -> str:
        """The stated family, or the base's own name: a base of unknown family is its own cluster."""
        return self.family or self.name


class DatasetRef(Frozen):
    """Where a dataset lies and how its rows are read; columns only where the shape is not recognised."""

    path: str | None = None
    hub: str | None = None
    subset: str | None = None
    split: str = "train"
    files: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="files of the hub's repository to read, by name or pattern; else all"
    )
    revision: str | None = None
    prompt: str | None = None
    input: str | None = None
    response: str | None = None
    messages: str | None = None
    text: str | None = None
    system: str | None = None
    columns: tuple[str, ...] | None = Field(
        default=None, description="names of the columns of a csv or tsv file without a header line"
    )
    turns: Literal["all", "first"] = "all"
    max_bytes: Count | None = None
    short: Literal["error", "allow"] = "error"

    @model_validator(mode="before")
    @classmethod
    def _a_path_alone(cls, value: object) -> object:
        return {"path": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.path is None) == (self.hub is None):
            raise ValueError("a dataset has either `path` (a file) or `hub` (a hub id)")
        if self.files is not None and self.hub is None:
            raise ValueError("`files` names files of a hub's repository, and `hub` is not given")
        return self


class Mixture(Frozen):
    """Several datasets sampled together; `samples` is the size of the whole mixture."""

    of: tuple[str, ...] = Field(min_length=1)
    weights: tuple[Weight, ...] | None = None

    @model_validator(mode="after")
    def _one_weight_each(self) -> Self:
        if self.weights is not None and len(self.weights) != len(self.of):
            raise ValueError(f"one weight for each of the {len(self.of)} datasets, got {len(self.weights)}")
        return self


class Seeds(Frozen):
    """The three random acts of a run: which examples, in which order, how adapters start."""

    sample: SeedList = (0,)
    order: SeedList = (0,)
    init: SeedList = (0,)


class Precision(Frozen):
    """In what the weights are held and in what the forward pass computes; part of the recipe."""

    weights: Literal["float32", "bfloat16"] = "float32"
    compute: Literal["float32", "bfloat16"] = "float32"


class CustomTemplate(Frozen):
    """A template of one's own: `prompt` holds `{instruction}`, `response` holds `{response}`."""

    prompt: str
    response: str = "{response}"

    @model_validator(mode="after")
    def _has_its_places(self) -> Self:
        if self.prompt.count("{instruction}") != 1:
            raise ValueError("`prompt` has {instruction} in it exactly once")
        if self.response.count("{response}") != 1:
            raise ValueError("`response` has {response} in it exactly once")
        return self


TemplateName = Literal["auto", "question_answer", "alpaca", "chat"]
Template = TemplateName | CustomTemplate
Scorer = Literal["likelihood", "generative", "judge"]


class BenchmarkRef(Frozen):
    """A benchmark by shipped name, by lm-evaluation-harness task file, or as gold answers of a prompt/answer file."""

    name: Name
    task: str | None = Field(default=None, description="a shipped benchmark that goes by another `name` here")
    file: str | None = None
    data: str | None = None
    prompt: str | None = None
    response: str | None = None
    shots: int | None = Field(default=None, ge=0)
    base_shots: int | None = Field(default=None, ge=0, description="shots of the bases' own form, here")
    base_template: Literal["plain"] | Template | None = Field(
        default=None, description="the form that suits the bases best, here"
    )
    max_new_tokens: Count | None = None
    items: Literal["all"] | Count | None = None
    subjects: tuple[str, ...] | None = None
    reference: str | None = Field(
        default=None, description="file of another model's outputs to compare with, in place of alpaca_eval's own"
    )
    stops: tuple[str, ...] | None = Field(
        default=None, description="texts that end a generated answer, not the task's own"
    )
    shots_from: Literal["items"] | None = Field(
        default=None, description="draws shots from the end of the evaluated split, which is then not asked"
    )
    trust_code: bool = Field(default=False, description="runs the Python that `file` names after `!function`")
    scorers: tuple[Scorer, ...] | None = None

    @model_validator(mode="before")
    @classmethod
    def _named_by_its_file(cls, value: object) -> object:
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, dict) and "name" not in value:
            source = value.get("task") or value.get("file") or value.get("data")
            if isinstance(source, str):
                return {"name": PurePath(source).name.split(".")[0], **value}
        return value

    @model_validator(mode="after")
    def _one_definition(self) -> Self:
        if sum(source is not None for source in (self.task, self.file, self.data)) > 1:
            raise ValueError(
                "a benchmark is one of `task` (a shipped name), `file` (a task file) and `data` (a prompt/answer file)"
            )
        if self.data is None and (self.prompt is not None or self.response is not None):
            raise ValueError("`prompt` and `response` name columns of `data`, which is not given")
        if self.trust_code and self.file is None:
            raise ValueError("`trust_code` is for the code of a task file, and `file` is not given")
        if self.data is not None and (self.stops is not None or self.shots_from is not None):
            raise ValueError("`stops` and `shots_from` are for task files, not for `data`")
        return self

    def in_base_condition(self, shots: int | None) -> "BenchmarkRef":
        """The same benchmark under a name of its own, with its `base_shots`, else `shots`, else the shots it has."""
        known = self.file is None and self.data is None
        changes: dict[str, object] = {
            "name": f"{self.name}@base",
            **({"task": self.task or self.name} if known else {}),
        }
        own = shots if self.base_shots is None else self.base_shots
        if own is not None:
            changes["shots"] = own
        return self.model_copy(update=changes)


class Evaluation(Frozen):
    """What every checkpoint and every base is scored on, and how it is asked."""

    benchmarks: tuple[BenchmarkRef, ...] = ()
    benchmarks_dir: str | None = None
    score_epochs: ScoredEpochs = "last"
    template: Literal["same", "plain"] | Template = "same"
    base_template: Literal["plain"] | Template | None = Field(
        default=None, description="the bases asked once more, in the form that suits them: scores of `BENCHMARK@base`"
    )
    base_shots: int | None = Field(
        default=None, ge=0, description="shots of the bases' own form, of benchmarks that have any to give"
    )
    system_prompt: str | None = Field(
        default=None, min_length=1, description="what the system says first, to every model"
    )
    engine: EngineChoice = BUILT_IN
    judge: Judge | None = None
    items: Literal["all"] | Count = "all"


NameList = Annotated[tuple[str, ...], BeforeValidator(one_or_many), Field(min_length=1)]
CountList = Annotated[tuple[Count, ...], BeforeValidator(one_or_many), Field(min_length=1)]
ScheduleList = Annotated[tuple[Schedule, ...], BeforeValidator(one_or_many), Field(min_length=1)]


class RunBlock(Frozen):
    """Runs written out in place of the product of all factors: every field may list several, and all are multiplied.

    `dataset` may name a leave-one-out mixture, which stands for all that it makes, or one of these. `score_epochs` says
    which epochs of these runs are scored where that differs from the study's `evaluation`.
    """

    base: NameList
    dataset: NameList
    method: NameList
    samples: CountList
    epochs: CountList
    schedule: ScheduleList = ("constant",)
    seed: Annotated[SeedList, BeforeValidator(one_or_many)] = (0,)
    score_epochs: ScoredEpochs | None = None


class TrainedElsewhere(Frozen):
    """A run that another trainer did: its output folder, and what is known of its recipe.

    `folder` holds `checkpoint-N` folders (as the trainers of transformers, TRL and axolotl write them) or one model.
    They become the run's epochs in the order of their steps.
    """

    base: Name
    folder: str
    dataset: Name = Field(description="what it was trained on, for the tables; the data itself is not looked at")
    samples: Count
    method: Name | None = None
    learning_rate: Weight
    batch_size: Count
    schedule: Schedule
    seed: Seed = 0


class ProbeTexts(Frozen):
    """Texts that every model is shown, by which models are compared: a column of a table file."""

    data: str
    column: str = "text"


class Budget(Frozen):
    """What the study may cost; `plan` and `run` refuse above it."""

    gpu_hours: float | None = Field(default=None, gt=0.0)
    hours: float | None = Field(default=None, gt=0.0, description="wall-clock hours on this machine")
    disk_gb: float | None = Field(default=None, gt=0.0)


class KnownCost(Frozen):
    """What such a study has cost somebody else, to be shown beside the estimate."""

    source: str
    models: Count | None = None
    train_gpu_hours: Weight | None = None
    evaluation_gpu_hours: Weight | None = None
    disk_tb: Weight | None = None


class Study(Frozen):
    """Base models x datasets x methods x sample sizes x epochs x seeds, and what is asked of every model."""

    study: Name
    bases: tuple[BaseRef, ...] = Field(min_length=1)
    datasets: dict[Name, DatasetRef] = Field(default_factory=dict)
    mixtures: dict[Name, Mixture | Literal["leave_one_out"]] = Field(default_factory=dict)
    samples: Annotated[tuple[Count, ...], BeforeValidator(one_or_many)] = (1000,)
    validation: Annotated[float, Field(ge=0.0)] = 0.05
    methods: dict[Name, Method] = Field(default={"full": Full()}, min_length=1)
    epochs: Annotated[tuple[Count, ...], BeforeValidator(one_or_many)] = (3,)
    steps: Annotated[tuple[Count, ...], BeforeValidator(one_or_many)] | None = Field(
        default=None, description="optimizer steps of every run, in place of `epochs`"
    )
    checkpoints: Literal["last", "best", "all"] = "last"
    schedule: Annotated[tuple[Schedule, ...], BeforeValidator(one_or_many)] = ("constant",)
    warmup_steps: int = Field(default=0, ge=0)
    decay_steps: Count | None = Field(
        default=None, description="last steps over which schedule `wsd` falls; a tenth of all if not given"
    )
    precision: Precision | None = None
    seeds: SeedList | Seeds = (0,)
    template: Template = "auto"
    loss_on: Literal["response", "all"] = "response"
    max_tokens: Count = 2048
    overflow: Literal["drop", "truncate"] = "truncate"
    runs: tuple[RunBlock, ...] | None = None
    trained: dict[Name, TrainedElsewhere] = Field(default_factory=dict)
    evaluation: Evaluation = Evaluation()
    measures: tuple[str, ...] = DEFAULT_MEASURES
    embedder: str = Field(
        default=PACKAGED_EMBEDDER,
        min_length=1,
        description="sentence-transformers folder or hub id for the measure `embedding_similarity`",
    )
    probe_texts: ProbeTexts | None = Field(
        default=None, description="what `dimension` and `loglik` are measured on; the shipped texts if not given"
    )
    budget: Budget | None = None
    known_cost: KnownCost | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        found = first_inconsistency(self)
        if found is not None:
            raise PydanticCustomError("inconsistent", "{sentence}", {"sentence": found.sentence, "place": found.place})
        return self

    @property
    def data_names(self) -> dict[str, tuple[str, ...]]:
        """What a run may be trained on, by each name for it: a leave-one-out mixture is one name for all it makes."""
        names: dict[str, tuple[str, ...]] = {name: (name,) for name in (*self.datasets, *self.mixtures)}
        for name, mixture in self.mixtures.items():
            if mixture == "leave_one_out":
                members = tuple(f"{name}-{left_out}" for left_out in self.datasets)
                names |= {name: members, **{member: (member,) for member in members}}
        return names

    @property
    def asked_template(self) -> Literal["plain"] | Template:
        """The template that every model is asked in: that of training unless `evaluation.template` says otherwise."""
        return self.template if self.evaluation.template == "same" else self.evaluation.template

    def base_template(self, benchmark: BenchmarkRef) -> Literal["plain"] | Template:
        """The template that bases are asked in once more, where the study asks for their own best condition."""
        return benchmark.base_template or self.evaluation.base_template or self.asked_template

    @property
    def seed_triples(self) -> tuple[tuple[int, int, int], ...]:
        """Seeds (sample, order, init) of every replicate: a plain list sets all three, a mapping is multiplied out."""
        if not isinstance(self.seeds, Seeds):
            return tuple((seed, seed, seed) for seed in self.seeds)
        return tuple(itertools.product(self.seeds.sample, self.seeds.order, self.seeds.init))
