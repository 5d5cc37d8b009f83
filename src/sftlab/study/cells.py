"""Cells: every result a study asks for, by the identity under which the store holds it."""

from dataclasses import dataclass

from sftlab.study.declaration import BaseRef, BenchmarkRef
from sftlab.study.run import RunSpec

LABEL_DIGITS = 12


def checkpoint_label(identity: str, epoch: int) -> str:
    """How tables name a checkpoint: the first digits of its trajectory's (or base's) identity and the epoch."""
    return f"{identity[:LABEL_DIGITS]}-e{epoch}"


@dataclass(frozen=True)
class BaseCell:
    """A base as it is on disk now: digests of its weights (with configuration) and of its tokenizer."""

    base: BaseRef
    family: str
    digest: str
    tokenizer_digest: str

    @property
    def checkpoint(self) -> str:
        """The base itself as a checkpoint: epoch 0."""
        return checkpoint_label(self.digest, 0)


@dataclass(frozen=True)
class RunCell:
    """One run of the study.

    Runs whose weights after an epoch do not depend on how many follow share a `trajectory`: the longest is trained, the
    others are its beginnings. Checkpoints belong to the trajectory. Of any other run it is the run's own identity.
    With `keeps_best` the checkpoint of lowest validation loss is the one kept and scored, in place of the last.
    `adopted` are the folders of a run trained elsewhere, one an epoch: it is taken over, not trained.
    """

    spec: RunSpec
    family: str
    identity: str
    trajectory: str
    keeps_best: bool = False
    adopted: tuple[str, ...] = ()

    def checkpoint(self, epoch: int) -> str:
        """Label of the checkpoint after an epoch."""
        return checkpoint_label(self.trajectory, epoch)


@dataclass(frozen=True)
class ScoreCell:
    """One checkpoint on one benchmark; `run` is None and `epoch` 0 for the base itself.

    With `base_condition` it is the base asked in the form that suits it, under a benchmark name of its own, beside its
    score in the form of all models. While it `waits`, which run or epoch will be scored is not known yet: it stands for
    the one that will be.
    """

    identity: str
    checkpoint: str
    base: str
    run: str | None
    epoch: int
    benchmark: BenchmarkRef
    benchmark_digest: str
    waits: bool = False
    base_condition: bool = False


@dataclass(frozen=True)
class MeasureCell:
    """One measure of one dataset sample under one base, or beside one benchmark.

    Beside a benchmark the base does not bear on it: cells of all bases are one result, of one identity.
    """

    identity: str
    base: str
    dataset: str
    samples: int
    seed: int
    measure: str
    benchmark: BenchmarkRef | None = None
    embedder_digest: str | None = None


@dataclass(frozen=True)
class ProbeCell:
    """One measure of what a checkpoint makes of the probe texts; `run` is None and `epoch` 0 for the base itself.

    While it `waits`, it stands for a checkpoint that is still to be chosen, as a score does.
    """

    identity: str
    checkpoint: str
    base: str
    run: str | None
    epoch: int
    measure: str
    waits: bool = False


@dataclass(frozen=True)
class Cells:
    """All that a study asks for.

    Of runs in `undecided` it is not known yet whether they, or which of their epochs, are to be scored.
    """

    study: str
    bases: tuple[BaseCell, ...]
    runs: tuple[RunCell, ...]
    scores: tuple[ScoreCell, ...]
    measures: tuple[MeasureCell, ...]
    undecided: frozenset[str] = frozenset()
    probes: tuple[ProbeCell, ...] = ()
