"""The measures of data that a study asks for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sftlab.plan.contents import Contents
from sftlab.plan.embedder import find_embedder
from sftlab.study.cells import BaseCell, MeasureCell, RunCell
from sftlab.study.declaration import BenchmarkRef, Study
from sftlab.study.identity import digest
from sftlab.study.measures import MEASURES, Measure
from sftlab.study.run import RunSpec


@dataclass(frozen=True)
class _Known:
    """What the contents of a study's files are."""

    bases: Mapping[str, BaseCell]
    datasets: Mapping[str, str]
    benchmarks: Sequence[tuple[BenchmarkRef, str]]
    embedder_digest: str | None


def measure_cells(
    study: Study,
    contents: Contents,
    *,
    runs: Sequence[RunCell],
    bases: Mapping[str, BaseCell],
    datasets: Mapping[str, str],
    benchmarks: Sequence[tuple[BenchmarkRef, str]],
) -> Iterator[MeasureCell]:
    """One cell for each base, sample and measure of data, and for each benchmark too where one is compared with it.

    `datasets` holds content digests, `benchmarks` each with its own. Raises ModelError where texts are to be embedded
    and there is no model for it.
    """
    measures = [MEASURES[name] for name in study.measures if MEASURES[name].of in ("data", "similarity")]
    embeds = any(measure.embeds for measure in measures) and bool(benchmarks)
    embedder = find_embedder(study.embedder, contents).digest if embeds else None
    known = _Known(bases, datasets, benchmarks, embedder)
    seen: set[tuple[str, str]] = set()
    for run in runs:
        for measure in measures:
            of_run = _under_base if measure.of == "data" else _beside_benchmarks
            for cell in of_run(run.spec, measure, known):
                if (cell.identity, cell.base) not in seen:
                    seen.add((cell.identity, cell.base))
                    yield cell


def _under_base(spec: RunSpec, measure: Measure, known: _Known) -> Iterator[MeasureCell]:
    base = known.bases[spec.base]
    identity = digest(
        {
            "step": "measure",
            "measure": [measure.name, measure.version],
            "base": base.digest,
            "tokenizer": base.tokenizer_digest,
            **_sample(spec, known),
            "encoding": [spec.template, spec.loss_on, spec.max_tokens, spec.overflow],
            "precision": spec.precision,
        }
    )
    yield MeasureCell(identity, spec.base, spec.dataset, spec.samples, spec.seeds.sample, measure.name)


def _beside_benchmarks(spec: RunSpec, measure: Measure, known: _Known) -> Iterator[MeasureCell]:
    embedder = known.embedder_digest if measure.embeds else None
    for benchmark, content in known.benchmarks:
        identity = digest(
            {
                "step": "measure",
                "measure": [measure.name, measure.version],
                **_sample(spec, known),
                "benchmark": content,
                **({} if embedder is None else {"embedder": embedder}),
            }
        )
        yield MeasureCell(
            identity,
            spec.base,
            spec.dataset,
            spec.samples,
            spec.seeds.sample,
            measure.name,
            benchmark=benchmark,
            embedder_digest=embedder,
        )


def _sample(spec: RunSpec, known: _Known) -> dict[str, object]:
    return {
        "data": [[known.datasets[part.dataset], part.weight] for part in spec.parts],
        "selection": [spec.samples, spec.validation, spec.seeds.sample],
    }
