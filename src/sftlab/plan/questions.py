"""What the items of a study's benchmarks ask, without shots: what training data are compared with."""

from functools import lru_cache
from pathlib import Path

from sftlab.benchmarks.loading import load_benchmark
from sftlab.study.declaration import BenchmarkRef, Evaluation

KEPT = 8


@lru_cache(maxsize=KEPT)
def benchmark_questions(evaluation: Evaluation, ref: BenchmarkRef) -> dict[str, str]:
    """Prompts of the items that are asked, by item. Raises BenchmarkError where they are not here yet."""
    limit = ref.items or evaluation.items
    benchmark = load_benchmark(
        ref if ref.data is not None else ref.model_copy(update={"shots": 0}),
        folder=Path.cwd(),
        benchmarks_dir=Path(evaluation.benchmarks_dir) if evaluation.benchmarks_dir else None,
        items=None if limit == "all" else limit,
    )
    return {item.item: item.context for item in benchmark.items}
