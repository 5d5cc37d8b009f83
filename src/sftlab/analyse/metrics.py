"""What each metric means: its unit, which way is better, and in which one a benchmark's answer is given."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """`pooled`: a ratio of sums over items (bits over bytes), not a mean of item scores; `share`: between 0 and 1.

    `bounds` are the least and the greatest value of what is no share.
    """

    unit: str
    higher_is_better: bool
    pooled: bool = False
    share: bool = False
    bounds: tuple[float, float] | None = None

    @property
    def range(self) -> tuple[float, float] | None:
        """The least and the greatest value that an item can have, where there are any."""
        return (0.0, 1.0) if self.share else self.bounds


BITS_PER_BYTE = Metric("bits per byte", higher_is_better=False, pooled=True)
PERPLEXITY = Metric("perplexity", higher_is_better=False)
METRICS = {
    "accuracy": Metric("accuracy", higher_is_better=True, share=True),
    "accuracy_per_byte": Metric("accuracy", higher_is_better=True, share=True),
    "bits_per_byte": BITS_PER_BYTE,
    "exact_match": Metric("exact match", higher_is_better=True, share=True),
    "exact_answer": Metric("exact match", higher_is_better=True, share=True),
    "math_equal": Metric("equal mathematics", higher_is_better=True, share=True),
    "pass@1": Metric("pass@1", higher_is_better=True, share=True),
    "squad_exact_match": Metric("exact match", higher_is_better=True, share=True),
    "squad_f1": Metric("F1", higher_is_better=True, share=True),
    "mc2": Metric("probability of the true answers", higher_is_better=True, share=True),
    "bleu_acc": Metric("nearer to the truth", higher_is_better=True, share=True),
    "bleu_max": Metric("BLEU", higher_is_better=True, bounds=(0.0, 100.0)),
    "bleu_diff": Metric("BLEU", higher_is_better=True, bounds=(-100.0, 100.0)),
    "rating": Metric("rating points", higher_is_better=True, bounds=(1.0, 10.0)),
    "win_rate": Metric("win rate", higher_is_better=True, share=True),
    "length_controlled_win_rate": Metric("length-controlled win rate", higher_is_better=True, share=True),
    "perplexity": PERPLEXITY,
    "word_perplexity": PERPLEXITY,
    "byte_perplexity": PERPLEXITY,
    "brier_score": Metric("Brier score", higher_is_better=False),
    "ter": Metric("TER", higher_is_better=False),
}
MAIN_FIRST = (
    ("likelihood", "accuracy"),
    ("likelihood", "mc2"),
    ("generative", "pass@1"),
    ("likelihood", "bits_per_byte"),
    ("generative", "exact_match"),
    ("generative", "math_equal"),
    ("generative", "squad_exact_match"),
    ("generative", "bleu_acc"),
    ("likelihood", "accuracy_per_byte"),
    ("judge", "rating"),
    ("judge", "win_rate"),
)


def metric_named(name: str) -> Metric:
    """The metric of that name; one that is not known is a score in which more is better.

    A task's other answer filters are named behind a colon (`exact_match:flexible-extract`): the same metric.
    """
    return METRICS.get(name.split(":", maxsplit=1)[0], Metric("score", higher_is_better=True))


def is_metric(name: str) -> bool:
    """Whether the metric (without what stands behind a colon) is one of those known by name."""
    return name.split(":", maxsplit=1)[0] in METRICS


def main_metric(available: Iterable[tuple[str, str]]) -> tuple[str, str]:
    """The scorer and metric in which a benchmark's answer is given, of those it has.

    Accuracy where there are choices; pass@1 where programs are run; else bits per byte of the gold answer, which ranks
    small models where free answers are all wrong; exact match, or what stands for it, where answers are only generated.
    Of a judge's: the rating of all turns, the plain win rate (the length-controlled one has no value where length alone
    parts wins from losses).
    """
    names = sorted(set(available))
    assert names
    return next((name for name in MAIN_FIRST if name in names), names[0])
