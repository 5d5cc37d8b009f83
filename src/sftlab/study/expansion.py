"""The runs of a study, in the order in which they answer most: every dataset once before any replicate."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from sftlab.errors import StudyError
from sftlab.study.declaration import BaseRef, Precision, RunBlock, Schedule, ScoredEpochs, Study
from sftlab.study.methods import Method
from sftlab.study.run import DataPart, RunSeeds, RunSpec


@dataclass(frozen=True)
class Length:
    """How long is trained: some epochs, or some optimizer steps."""

    epochs: int | None = None
    steps: int | None = None


@dataclass(frozen=True)
class _Factors:
    """One level of every factor but base and dataset, which vary fastest."""

    seeds: RunSeeds
    samples: int
    schedule: Schedule
    length: Length
    method_name: str
    method: Method
    score_epochs: ScoredEpochs


def expand(study: Study, *, default_precision: Precision) -> tuple[RunSpec, ...]:
    """All runs of the study, each with a name that is unique in it; `default_precision` where the study states none.

    Seeds that differ in `init` alone make replicates of methods with an adapter only: others start from the base.
    """
    sources = data_sources(study)
    precision = study.precision or default_precision
    if study.runs is not None:
        specs = [spec for block in study.runs for spec in _of_block(study, block, sources, precision)]
    else:
        specs = [
            _run(study, base, (name, parts), factors, precision)
            for factors in _factors(study)
            for base, (name, parts) in product(study.bases, sources.items())
        ]
    seen: set[str] = set()
    for spec in specs:
        if spec.run in seen:
            raise StudyError(f"the run {spec.run!r} is declared twice in `runs`: remove one")
        seen.add(spec.run)
    return tuple(specs)


def one_epoch_runs(study: Study) -> tuple[RunBlock, ...]:
    """The runs of a study's blocks, each for one epoch: those that differ in length alone become one."""
    runs: dict[RunBlock, None] = {}
    for block in study.runs or ():
        for base, name, method in product(block.base, block.dataset, block.method):
            for dataset, samples, schedule, seed in product(
                study.data_names[name], block.samples, block.schedule, block.seed
            ):
                run = RunBlock(
                    base=(base,),
                    dataset=(dataset,),
                    method=(method,),
                    samples=(samples,),
                    epochs=(1,),
                    schedule=(schedule,),
                    seed=(seed,),
                )
                runs[run] = None
    return tuple(runs)


def data_sources(study: Study) -> dict[str, tuple[DataPart, ...]]:
    """What runs can be trained on: every dataset, every mixture, and each leave-one-out mixture as `name-dataset`."""
    sources: dict[str, tuple[DataPart, ...]] = {name: (DataPart(dataset=name, weight=1.0),) for name in study.datasets}
    for name, mixture in study.mixtures.items():
        if mixture == "leave_one_out":
            for left_out in study.datasets:
                rest = [other for other in study.datasets if other != left_out]
                sources[f"{name}-{left_out}"] = tuple(DataPart(dataset=other, weight=1.0) for other in rest)
        else:
            weights = mixture.weights or (1.0,) * len(mixture.of)
            sources[name] = tuple(
                DataPart(dataset=part, weight=weight) for part, weight in zip(mixture.of, weights, strict=True)
            )
    return sources


def _factors(study: Study) -> Iterator[_Factors]:
    triples = study.seed_triples
    # Without an adapter nothing is drawn at the start: a second `init` seed would repeat the run to the last bit, and
    # the copy would count as a replicate that shows no noise.
    copies = {triple for place, triple in enumerate(triples) if triple[:2] in {one[:2] for one in triples[:place]}}
    for triple, samples, schedule, length in product(triples, study.samples, study.schedule, _lengths(study)):
        seeds = RunSeeds(sample=triple[0], order=triple[1], init=triple[2])
        for name, method in study.methods.items():
            if method.adapter == "none" and triple in copies:
                continue
            for one in _candidates(method):
                yield _Factors(seeds, samples, schedule, length, name, one, study.evaluation.score_epochs)


def _candidates(method: Method) -> Iterator[Method]:
    """The method with each of its learning rates and batch sizes."""
    for rate, size in product(method.learning_rate, method.batch_size):
        yield method.model_copy(update={"learning_rate": (rate,), "batch_size": (size,)})


def _lengths(study: Study) -> tuple[Length, ...]:
    if study.steps is not None:
        return tuple(Length(steps=steps) for steps in study.steps)
    return tuple(Length(epochs=epochs) for epochs in study.epochs)


def _of_block(
    study: Study, block: RunBlock, sources: dict[str, tuple[DataPart, ...]], precision: Precision
) -> Iterator[RunSpec]:
    bases = {base.name: base for base in study.bases}
    datasets = [member for name in block.dataset for member in study.data_names[name]]
    methods = [(name, one) for name in block.method for one in _candidates(study.methods[name])]
    levels = product(block.seed, block.samples, block.schedule, block.epochs, methods)
    for seed, samples, schedule, epochs, (name, method) in levels:
        seeds = RunSeeds(sample=seed, order=seed, init=seed)
        scored = block.score_epochs or study.evaluation.score_epochs
        factors = _Factors(seeds, samples, schedule, Length(epochs=epochs), name, method, scored)
        for base, dataset in product(block.base, datasets):
            yield _run(study, bases[base], (dataset, sources[dataset]), factors, precision)


def _run(
    study: Study, base: BaseRef, source: tuple[str, tuple[DataPart, ...]], factors: _Factors, precision: Precision
) -> RunSpec:
    dataset, parts = source
    return RunSpec(
        run=_run_name(base.name, dataset, factors, lists_sizes=len(study.methods[factors.method_name].batch_size) > 1),
        base=base.name,
        dataset=dataset,
        parts=parts,
        samples=factors.samples,
        validation=study.validation,
        method_name=factors.method_name,
        method=factors.method,
        schedule=factors.schedule,
        warmup_steps=study.warmup_steps,
        decay_steps=study.decay_steps if factors.schedule == "wsd" else None,
        epochs=factors.length.epochs or _epochs_of(factors),
        steps=factors.length.steps,
        seeds=factors.seeds,
        precision=precision,
        template=study.template,
        loss_on=study.loss_on,
        max_tokens=study.max_tokens,
        overflow=study.overflow,
        score_epochs=factors.score_epochs,
    )


def _epochs_of(factors: _Factors) -> int:
    """The epoch in which a number of steps ends."""
    assert factors.length.steps is not None
    steps_per_epoch = -(-factors.samples // factors.method.batch_size[0])
    return -(-factors.length.steps // steps_per_epoch)


def _run_name(base: str, dataset: str, factors: _Factors, *, lists_sizes: bool) -> str:
    seeds, method, length = factors.seeds, factors.method, factors.length
    same = seeds.sample == seeds.order == seeds.init
    return "/".join(
        (
            base,
            dataset,
            factors.method_name,
            f"lr{method.learning_rate[0]:g}",
            *([f"b{method.batch_size[0]}"] if lists_sizes else []),
            f"n{factors.samples}",
            f"e{length.epochs}" if length.steps is None else f"t{length.steps}",
            factors.schedule,
            f"s{seeds.sample}" if same else f"s{seeds.sample}.{seeds.order}.{seeds.init}",
        )
    )
