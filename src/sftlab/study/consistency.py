"""Combinations of fields that are each legal and together impossible."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sftlab.study.engine import Server
from sftlab.study.measures import MEASURES
from sftlab.study.methods import Full
from sftlab.study.spelling import nearest

if TYPE_CHECKING:
    from sftlab.study.declaration import Study

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Inconsistency:
    """What cannot be, in one sentence, and the field where it is best mended."""

    place: Place
    sentence: str


def first_inconsistency(study: Study) -> Inconsistency | None:
    """The first impossible combination of a study, or None."""
    checks = (
        _names,
        _mixtures,
        _length,
        _run_blocks,
        _methods,
        _quantised,
        _measures,
        _precision,
        _evaluation,
        _engine,
        _trained,
    )
    return next((found for check in checks for found in check(study)), None)


def _unknown(place: Place, kind: str, got: str, legal: Iterable[str]) -> Inconsistency:
    return Inconsistency(place, f"unknown {kind} {got!r}{nearest(got, legal)}")


def _duplicates(names: Sequence[str]) -> Iterator[int]:
    for index, name in enumerate(names):
        if name in names[:index]:
            yield index


def _names(study: Study) -> Iterator[Inconsistency]:
    bases = [base.name for base in study.bases]
    for index in _duplicates(bases):
        yield Inconsistency(("bases", index), f"two bases are called {bases[index]!r}: give one of them another `name`")
    benchmarks = [benchmark.name for benchmark in study.evaluation.benchmarks]
    for index in _duplicates(benchmarks):
        place: Place = ("evaluation", "benchmarks", index)
        ref = study.evaluation.benchmarks[index]
        own = ref.file is not None or ref.data is not None
        how = "" if own else f", as in {{task: {ref.task or ref.name}, name: {ref.name}-2}}"
        yield Inconsistency(
            place, f"two benchmarks are called {benchmarks[index]!r}: give one of them another `name`{how}"
        )
    for name in study.mixtures:
        if name in study.datasets:
            yield Inconsistency(("mixtures", name), f"a dataset and a mixture are both called {name!r}")
    if "none" in study.datasets or "none" in study.mixtures:
        yield Inconsistency(("datasets",), "the name 'none' stands for the base itself: give the dataset another name")


def _mixtures(study: Study) -> Iterator[Inconsistency]:
    if not study.datasets and not study.trained and not _is_running_server(study):
        yield Inconsistency(("datasets",), "a study needs at least one dataset, got none")
    for name, mixture in study.mixtures.items():
        if mixture == "leave_one_out":
            if len(study.datasets) < 3:
                yield Inconsistency(
                    ("mixtures", name), f"leave_one_out needs at least 3 datasets, got {len(study.datasets)}"
                )
            continue
        for index in _duplicates(mixture.of):
            yield Inconsistency(("mixtures", name, "of", index), f"{mixture.of[index]!r} is in the mixture twice")
        for index, part in enumerate(mixture.of):
            if part not in study.datasets:
                yield _unknown(("mixtures", name, "of", index), "dataset", part, study.datasets)


def _methods(study: Study) -> Iterator[Inconsistency]:
    for name, method in study.methods.items():
        if method.select is not None and study.validation == 0:
            yield Inconsistency(
                ("methods", name, "select"), "`select: validation` needs held-out examples, got `validation: 0`"
            )
        if method.offload == "optimizer" and method.optimizer == "adamw_8bit":
            yield Inconsistency(
                ("methods", name, "offload"),
                "moments are in eight bits on the device (`optimizer: adamw_8bit`) or in the host's memory (`offload: "
                "optimizer`), got both: remove one",
            )
        if isinstance(method, Full) and method.layers is not None:
            low, high = method.layers
            if not 0 <= low <= high <= 1:
                yield Inconsistency(
                    ("methods", name, "layers"),
                    f"a band of depth is [low, high] with 0 <= low <= high <= 1, got [{low}, {high}]",
                )
        most = max(_sample_sizes(study, name), default=max(method.batch_size))
        if max(method.batch_size) > most:
            yield Inconsistency(
                ("methods", name, "batch_size"),
                f"a batch of {max(method.batch_size)} examples is more than all samples ({most})",
            )


def _is_running_server(study: Study) -> bool:
    engine = study.evaluation.engine
    return isinstance(engine, Server) and engine.endpoint is not None


def _trained(study: Study) -> Iterator[Inconsistency]:
    bases = [base.name for base in study.bases]
    for name, run in study.trained.items():
        if run.base not in bases:
            yield _unknown(("trained", name, "base"), "base", run.base, bases)
        if run.dataset == "none":
            yield Inconsistency(("trained", name, "dataset"), "the name 'none' stands for the base itself")


def _engine(study: Study) -> Iterator[Inconsistency]:
    place: Place = ("evaluation", "engine")
    if _is_running_server(study) and (study.datasets or study.trained or len(study.bases) > 1):
        yield Inconsistency(
            place,
            "a running server (`endpoint`) holds one model, and is legal for one base without datasets: "
            "`serve` starts a server for every checkpoint",
        )


def _quantised(study: Study) -> Iterator[Inconsistency]:
    if study.evaluation.engine == "built-in":
        return
    for name, method in study.methods.items():
        if method.quantisation is not None:
            yield Inconsistency(
                ("evaluation", "engine"),
                f"an engine is given whole weights, and methods.{name} trains an adapter that stays beside a quantised "
                "base: write `engine: built-in`",
            )


def _sample_sizes(study: Study, method: str) -> tuple[int, ...]:
    """Sample sizes that a method is trained on."""
    if study.runs is None:
        return study.samples
    return tuple(samples for block in study.runs if method in block.method for samples in block.samples)


def _length(study: Study) -> Iterator[Inconsistency]:
    if study.steps is not None and "epochs" in study.model_fields_set:
        yield Inconsistency(("steps",), "a run's length is said in `epochs` or in `steps`, got both: remove one")
    if study.steps is not None and study.runs is not None:
        yield Inconsistency(("steps",), "runs written out in `runs` say their own `epochs`: remove `steps`")
    if study.checkpoints == "best":
        if study.validation == 0:
            yield Inconsistency(("checkpoints",), "`checkpoints: best` needs held-out examples, got `validation: 0`")
        one_epoch = "`checkpoints: best` keeps and scores one epoch of each run, got `score_epochs: all`"
        if study.evaluation.score_epochs == "all":
            yield Inconsistency(("evaluation", "score_epochs"), one_epoch)
        for index, block in enumerate(study.runs or ()):
            if block.score_epochs == "all":
                yield Inconsistency(("runs", index, "score_epochs"), one_epoch)


def _run_blocks(study: Study) -> Iterator[Inconsistency]:
    legal_names: dict[str, Iterable[str]] = {
        "base": [base.name for base in study.bases],
        "dataset": study.data_names,
        "method": study.methods,
    }
    if study.runs == ():
        yield Inconsistency(("runs",), "`runs` needs at least one block, got none: remove it for the product of all")
    for index, block in enumerate(study.runs or ()):
        for field, legal in legal_names.items():
            for place, got in enumerate(getattr(block, field)):
                if got not in legal:
                    yield _unknown(("runs", index, field, place), field, got, legal)


def _measures(study: Study) -> Iterator[Inconsistency]:
    for index, measure in enumerate(study.measures):
        if measure not in MEASURES:
            yield _unknown(("measures", index), "measure", measure, MEASURES)


def _precision(study: Study) -> Iterator[Inconsistency]:
    precision = study.precision
    if precision is not None and precision.weights == "bfloat16" and precision.compute == "float32":
        yield Inconsistency(
            ("precision",),
            "bfloat16 weights cannot compute in float32: write `compute: bfloat16` or `weights: float32`",
        )


def _evaluation(study: Study) -> Iterator[Inconsistency]:
    if study.evaluation.system_prompt is not None:
        for field in ("template", "base_template"):
            if getattr(study.evaluation, field) == "plain":
                yield Inconsistency(
                    ("evaluation", field),
                    f"`{field}: plain` has no place for `system_prompt`: choose another template, or none",
                )
    for index, benchmark in enumerate(study.evaluation.benchmarks):
        if study.evaluation.system_prompt is not None and benchmark.base_template == "plain":
            yield Inconsistency(
                ("evaluation", "benchmarks", index, "base_template"),
                "`base_template: plain` has no place for `system_prompt`: choose another template, or none",
            )
        if benchmark.subjects is not None and (benchmark.data is not None or benchmark.file is not None):
            yield Inconsistency(
                ("evaluation", "benchmarks", index, "subjects"),
                f"`subjects` is for shipped benchmarks with subjects, and {benchmark.name!r} is a file of one's own",
            )
