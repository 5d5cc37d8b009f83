"""What an answer is: an estimate that says what it is of, with interval and count, and the sentence that reports it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from sftlab.analyse.wording import listed

Section = Literal["data", "gains", "synergy", "properties", "layers", "training", "map"]
MANY_TIMES = 5
"""So many times as many benchmarks as are excepted are not named, but those are."""
SECTIONS: tuple[Section, ...] = ("data", "gains", "synergy", "properties", "layers", "training", "map")


@dataclass(frozen=True)
class Effect:
    """One estimate with its 95 % interval.

    `estimand` says in words what is estimated and for which population; `n` counts independent units (families of
    bases, datasets, or items, as the estimand says), never epochs or checkpoints. `se`, the ends and `p` are None
    where the design cannot give them; `p` is adjusted for the number of questions asked together.
    """

    name: str
    estimand: str
    value: float
    se: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    unit: str
    p: float | None = None


@dataclass(frozen=True)
class Finding:
    """One plain sentence of the answer, and the effect it reports where it reports one.

    `benchmark` is None where the sentence is about all of them; `subject` is what else it is about: a property, a
    method, a factor of training. `caveats` qualify it, as clauses that others may share: see `told`. `in_overview`:
    another sentence counts it, so that a terminal may leave it out unless it is sure.
    """

    section: Section
    text: str
    benchmark: str | None = None
    subject: str | None = None
    effect: Effect | None = None
    caveats: tuple[str, ...] = ()
    in_overview: bool = False

    @property
    def caveat_sentences(self) -> tuple[str, ...]:
        """Its caveats, each as a sentence of its own."""
        return tuple(f"{caveat[0].upper()}{caveat[1:]}." for caveat in self.caveats)


def told(findings: Sequence[Finding]) -> Iterator[str]:
    """The sentences in reading order. What qualifies several benchmarks in a row is said once, behind them, of which.

    A caveat of a single finding stands in the same line as its sentence.
    """
    for (_, on_benchmarks), run in groupby(findings, lambda one: (one.section, one.benchmark is not None)):
        together = list(run)
        holders: dict[str, list[Finding]] = {}
        for finding in together:
            for caveat in finding.caveats:
                holders.setdefault(caveat, []).append(finding)
        for finding in together:
            own = [
                sentence
                for caveat, sentence in zip(finding.caveats, finding.caveat_sentences, strict=True)
                if not on_benchmarks or len(holders[caveat]) == 1
            ]
            yield " ".join([finding.text, *own])
        if on_benchmarks:
            yield from _shared(holders, together)


def _shared(holders: dict[str, list[Finding]], together: Sequence[Finding]) -> Iterator[str]:
    """The caveats that several findings share, those of the same benchmarks in one sentence."""
    every = dict.fromkeys(str(finding.benchmark) for finding in together)
    by_benchmarks: dict[tuple[str, ...], list[str]] = {}
    for caveat, concerned in holders.items():
        if len(concerned) > 1:
            names = tuple(dict.fromkeys(str(finding.benchmark) for finding in concerned))
            by_benchmarks.setdefault(names, []).append(caveat)
    for names, caveats in by_benchmarks.items():
        yield f"On {_which(names, list(every))}: {'; '.join(caveats)}."


def _which(names: Sequence[str], every: Sequence[str]) -> str:
    """The benchmarks concerned: all of them, all but a few, or by name."""
    others = [name for name in every if name not in names]
    if len(names) == 1 or len(names) < MANY_TIMES * len(others):
        return listed(names)
    return f"each of these {len(every)} benchmarks{f' but {listed(others)}' if others else ''}"
