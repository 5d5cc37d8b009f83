"""What is known of published benchmarks by name: chance level and range of their scores."""

from dataclasses import dataclass


@dataclass(frozen=True)
class KnownBenchmark:
    """`chance`: expected share of right guesses, None for free answers; `low` and `high`: what a score can be."""

    chance: float | None = None
    low: float = 0.0
    high: float = 1.0


KNOWN = {
    "mmlu": KnownBenchmark(0.25),
    "cmmlu": KnownBenchmark(0.25),
    "jmmlu": KnownBenchmark(0.25),
    "hellaswag": KnownBenchmark(0.25),
    "boolq": KnownBenchmark(0.5),
    "mtbench": KnownBenchmark(None, 1.0, 10.0),
    "mt_bench": KnownBenchmark(None, 1.0, 10.0),
}


def known_benchmark(name: str) -> KnownBenchmark | None:
    """What is known of a benchmark called so, or so with shots or a part behind it (`BoolQ-5shot`, `mmlu_0shot`)."""
    plain = name.lower()
    found = [known for known in KNOWN if plain == known or plain.startswith((f"{known}-", f"{known}_"))]
    return KNOWN[max(found, key=len)] if found else None
