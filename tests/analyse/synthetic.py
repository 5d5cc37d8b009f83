"""Studies with planted effects, written to a real store."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from sftlab.analyse.answers import analysis
from sftlab.store import Failure, Record, Store
from sftlab.study.cells import BaseCell, Cells, MeasureCell, RunCell, ScoreCell, checkpoint_label
from sftlab.study.declaration import BaseRef, BenchmarkRef, Precision
from sftlab.study.identity import digest
from sftlab.study.methods import Full, Lora, Method
from sftlab.study.run import DataPart, RunSeeds, RunSpec

DATASETS = ("arithmetic", "facts", "code", "chat")
PLANTED = {
    ("arithmetic", "arithmetic_test"): 0.5,
    ("facts", "facts_quiz"): 0.25,
    ("code", "free_answers"): 0.3,
}
BENCHMARKS = {
    "arithmetic_test": ("likelihood", "bits_per_byte"),
    "facts_quiz": ("likelihood", "accuracy"),
    "free_answers": ("generative", "exact_match"),
}
LAYERS = 5


@dataclass(frozen=True)
class Design:
    """What is varied, what is planted (gain by dataset and benchmark), and what is missing."""

    bases: int = 4
    datasets: tuple[str, ...] = DATASETS
    methods: tuple[str, ...] = ("full", "lora")
    rates: tuple[float, ...] = (1e-4,)
    seeds: int = 2
    epochs: int = 2
    benchmarks: tuple[str, ...] = tuple(BENCHMARKS)
    items: int = 150
    planted: dict[tuple[str, str], float] = field(default_factory=lambda: dict(PLANTED))
    base_spread: float = 0.05
    seed_spread: float = 0.02
    failed_datasets: tuple[str, ...] = ()
    pending_datasets: tuple[str, ...] = ()
    unfit: bool = False
    seed: int = 0
    mixtures: dict[str, tuple[str, ...]] = field(default_factory=dict)


def method_named(name: str, rate: float, *, select: bool) -> Method:
    chosen = "validation" if select else None
    if name == "lora":
        return Lora(adapter="lora", learning_rate=(rate,), batch_size=8, select=chosen)
    return Full(learning_rate=(rate,), batch_size=8, select=chosen)


def run_cells(design: Design) -> tuple[RunCell, ...]:
    cells = []
    for seed in range(design.seeds):
        for method in design.methods:
            for rate in design.rates:
                for base in range(design.bases):
                    for dataset in design.datasets:
                        spec = RunSpec(
                            run=f"base{base}/{dataset}/{method}/lr{rate:g}/s{seed}",
                            base=f"base{base}",
                            dataset=dataset,
                            parts=tuple(
                                DataPart(dataset=part, weight=1.0) for part in design.mixtures.get(dataset, (dataset,))
                            ),
                            samples=100,
                            validation=0.05,
                            method_name=method,
                            method=method_named(method, rate, select=len(design.rates) > 1),
                            schedule="constant",
                            warmup_steps=0,
                            epochs=design.epochs,
                            seeds=RunSeeds(sample=seed, order=seed, init=seed),
                            precision=Precision(),
                            template="question_answer",
                            loss_on="response",
                            max_tokens=128,
                            overflow="truncate",
                        )
                        identity = digest(["run", spec.run])
                        cells.append(RunCell(spec, f"family{base}", identity, trajectory=identity))
    return tuple(cells)


def make_cells(design: Design) -> Cells:
    bases = tuple(
        BaseCell(
            BaseRef(name=f"base{base}", model=f"base{base}"),
            f"family{base}",
            digest(["base", base]),
            digest(["tokenizer", base]),
        )
        for base in range(design.bases)
    )
    runs = run_cells(design)
    scores = []
    for name in design.benchmarks:
        for base in bases:
            scores.append(score_cell(base.checkpoint, base.base.name, None, 0, name))
        for run in runs:
            scores.extend(
                score_cell(run.checkpoint(epoch), run.spec.base, run.spec.run, epoch, name)
                for epoch in range(1, design.epochs + 1)
            )
    measures = tuple(
        MeasureCell(digest(["measure", base, dataset, measure]), f"base{base}", dataset, 100, 0, measure)
        for base in range(design.bases)
        for dataset in design.datasets
        for measure in ("perplexity", "length")
    )
    return Cells("synthetic", bases, runs, tuple(scores), measures)


def score_cell(checkpoint: str, base: str, run: str | None, epoch: int, benchmark: str) -> ScoreCell:
    identity = digest(["score", checkpoint, benchmark])
    return ScoreCell(identity, checkpoint, base, run, epoch, BenchmarkRef(name=benchmark), digest(benchmark))


@dataclass
class World:
    """The truth behind the records: difficulty of items, strength of bases, gain of every cell."""

    design: Design

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.design.seed)
        self.bits = {name: self.random.gamma(4.0, 10.0, self.design.items) for name in self.design.benchmarks}
        self.num_bytes = {name: self.random.integers(10, 40, self.design.items) for name in self.design.benchmarks}
        self.luck = {name: self.random.uniform(size=self.design.items) for name in self.design.benchmarks}
        self.heterogeneity: dict[tuple[str, str, str], float] = {}

    def gain(self, base: str, dataset: str, benchmark: str) -> float:
        key = (base, dataset, benchmark)
        if key not in self.heterogeneity:
            self.heterogeneity[key] = self.random.normal(0, self.design.base_spread)
        return self.design.planted.get((dataset, benchmark), 0.0) + self.heterogeneity[key]

    def items(self, benchmark: str, gain: float, *, checkpoint: str) -> pl.DataFrame:
        scorer, metric = BENCHMARKS[benchmark]
        count = self.design.items
        random = np.random.default_rng(int(digest([checkpoint, benchmark, self.design.seed])[:12], 16))
        rows: dict[str, object] = {
            "item": [f"i{place}" for place in range(count)],
            "stratum": ["even" if place % 2 == 0 else "odd" for place in range(count)],
            "scorer": [scorer] * count,
            "metric": [metric] * count,
            "score": [None] * count,
            "log_likelihood": [None] * count,
            "num_bytes": [None] * count,
            "answer": [None] * count,
            "parsed": [None] * count,
            "status": ["unfit" if self.design.unfit else "done"] * count,
        }
        if not self.design.unfit:
            rows |= self._values(benchmark, gain, random)
        return pl.DataFrame(rows, schema_overrides=ITEM_TYPES)

    def _values(self, benchmark: str, gain: float, random: np.random.Generator) -> dict[str, object]:
        metric, count = BENCHMARKS[benchmark][1], self.design.items
        if metric == "bits_per_byte":
            size = self.num_bytes[benchmark]
            bits = self.bits[benchmark] - gain * size + random.normal(0, 1.0, count)
            return {"log_likelihood": -bits * math.log(2), "score": bits / size, "num_bytes": size}
        noise = random.normal(0, 0.02, count)
        right = (self.luck[benchmark] + noise < 0.4 + gain).astype(float)
        if metric == "exact_match":
            return {"score": right, "answer": ["7"] * count, "parsed": (self.luck[benchmark] < 0.9).tolist()}
        return {"score": right, "log_likelihood": -self.bits[benchmark], "num_bytes": self.num_bytes[benchmark]}


ITEM_TYPES = {
    "score": pl.Float64,
    "log_likelihood": pl.Float64,
    "num_bytes": pl.Int64,
    "answer": pl.String,
    "parsed": pl.Boolean,
}


def write(design: Design, root: Path) -> tuple[Cells, Store]:
    """Cells of the design and a store with their records."""
    cells, store, world = make_cells(design), Store(root), World(design)
    skipped = {*design.failed_datasets, *design.pending_datasets}
    runs = {cell.spec.run: cell for cell in cells.runs}
    for cell in cells.runs:
        if cell.spec.dataset in design.failed_datasets:
            store.commit_failure(Failure(cell.identity, "train", "out of memory: 9 GB asked, 8 GB there", "log"))
        elif cell.spec.dataset not in design.pending_datasets:
            store.commit(train_record(cell, world))
    drift = {run: world.random.normal(0, design.seed_spread) for run in runs}
    for score in cells.scores:
        run = runs[score.run] if score.run is not None else None
        if run is not None and run.spec.dataset in skipped:
            continue
        gain = 0.0
        if run is not None:
            learned = score.epoch / run.spec.epochs
            gain = world.gain(score.base, run.spec.dataset, score.benchmark.name) * learned + drift[run.spec.run]
        rows = {"items": world.items(score.benchmark.name, gain, checkpoint=score.checkpoint)}
        status = "unfit" if design.unfit else "done"
        result = {"status": status, "reason": "no item fits" if design.unfit else None, "items": design.items}
        store.commit(Record(score.identity, "score", {}, result, rows))
    for measure in cells.measures:
        store.commit(measure_record(measure, design))
    return cells, store


def train_record(cell: RunCell, world: World) -> Record:
    epochs = cell.spec.epochs
    steps = range(1, epochs * 3 + 1)
    rate_penalty = abs(math.log10(cell.spec.learning_rate) + 4)
    rows = {
        "losses": pl.DataFrame(
            {
                "step": list(steps),
                "epoch": [step / 3 for step in steps],
                "loss": [3.0 / step for step in steps],
                "learning_rate": [cell.spec.learning_rate] * len(steps),
                "grad_norm": [1.0] * len(steps),
                "tokens": [100] * len(steps),
            }
        ),
        "validation": pl.DataFrame(
            {
                "epoch": list(range(epochs + 1)),
                "loss": [2.0 - 0.3 * epoch + rate_penalty for epoch in range(epochs + 1)],
                "bits_per_byte": [1.5 - 0.2 * epoch for epoch in range(epochs + 1)],
                "se": [0.1] * (epochs + 1),
                "n": [20] * (epochs + 1),
                "num_tokens": [400] * (epochs + 1),
            }
        ),
        "layers": layer_rows(cell, world),
        "checkpoints": pl.DataFrame({"epoch": [epochs], "num_bytes": [1000]}),
    }
    result = {
        "tokens": 900,
        "steps": len(steps),
        "loss_first": 3.0,
        "loss_last": 3.0 / len(steps),
        "wall_seconds": 1.5,
        "peak_memory_bytes": 1 << 20,
        "examples": 100,
        "dropped": 1,
        "truncated": 2,
    }
    return Record(cell.identity, "train", {}, result, rows, {"device": "cpu"})


def layer_rows(cell: RunCell, world: World) -> pl.DataFrame:
    """The change grows with depth everywhere; at the middle layer it also goes with the gain on arithmetic_test."""
    size = 0.01 if cell.spec.method_name == "full" else 0.004
    gain = world.gain(cell.spec.base, cell.spec.dataset, "arithmetic_test")
    rows = []
    for epoch in range(1, cell.spec.epochs + 1):
        for layer in range(LAYERS):
            depth = layer / (LAYERS - 1)
            extra = size * gain * (layer == LAYERS // 2)
            noise = world.random.normal(0, size * 0.02)
            change = size * (1 + depth) * epoch / cell.spec.epochs + extra + noise
            rows += [(epoch, layer, depth, part, change, change * 10, 10.0) for part in ("all", "attention", "mlp")]
        rows.append((epoch, None, None, "embedding", size / 2, size * 5, 10.0))
    names = ["epoch", "layer", "depth", "part", "relative_change", "change_norm", "base_norm"]
    return pl.DataFrame(rows, schema=names, orient="row")


def measure_record(cell: MeasureCell, design: Design) -> Record:
    """Perplexity falls with the gain planted on arithmetic_test; lengths say nothing."""
    place = design.datasets.index(cell.dataset)
    planted = design.planted.get((cell.dataset, "arithmetic_test"), 0.0)
    if cell.measure == "perplexity":
        values = {"response_perplexity": 8.0 - 10 * planted + 0.1 * place, "response_bits_per_byte": 2.0 - planted}
    else:
        values = {"prompt_tokens": 20.0 + (place % 2), "response_tokens": 30.0 - (place % 3)}
    rows = pl.DataFrame(
        {
            "property": list(values),
            "value": list(values.values()),
            "n": [100] * len(values),
            "se": [0.1] * len(values),
            "ci_low": [value - 0.2 for value in values.values()],
            "ci_high": [value + 0.2 for value in values.values()],
        }
    )
    return Record(cell.identity, "measure", {}, {}, {"properties": rows})


__all__ = ["Design", "checkpoint_label", "make_cells", "write"]


def answers(tmp_path, **changes):
    return analysis(*write(Design(**changes), tmp_path))


def source_of_intervals(found):
    """The sentence that says where intervals of the very bases tried come from."""
    (text,) = [text for text in found.sentences("data") if "come from paired items" in text]
    return text


def only(frame, **wanted):
    rows = frame.filter(*(pl.col(name) == value for name, value in wanted.items()))
    assert rows.height == 1, rows
    return rows.row(0, named=True)


def replace_rows(record, rows):
    return Record(record.identity, record.kind, record.spec, record.result, {"items": rows}, record.provenance)
