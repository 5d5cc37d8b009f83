"""Whether enough examples fit what they are trained with: found before any time is spent, and kept in the store."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sftlab.analyse.wording import listed_briefly
from sftlab.data.example import Example
from sftlab.errors import TrainingError
from sftlab.lm.templates import ALPACA, QUESTION_ANSWER, TextTemplate, render_example
from sftlab.lm.tokenizer import LENGTH_FIELDS
from sftlab.plan.opening import Opened
from sftlab.plan.selection import select_examples
from sftlab.plan.tasks import Job
from sftlab.study.cells import BaseCell, RunCell
from sftlab.study.declaration import CustomTemplate
from sftlab.study.identity import digest
from sftlab.study.run import RunSpec

VERSION = 1
NOTE = "fitting"
LOOKED_AT = 256
"""Of a longer sample the first so many examples are encoded: they are drawn at random."""
CHAT_BYTES, CHAT_BYTES_PER_TURN = 200, 50
"""Room for what chat templates put in front of a conversation and around each turn."""
BOTH_ENDS = 2


@dataclass(frozen=True)
class Fit:
    """How many of the first `looked_at` training examples of a dataset are dropped under a base, and why the first."""

    base: str
    dataset: str
    looked_at: int
    dropped: int
    reason: str | None = None
    error: str | None = None


def poor_fits(opened: Opened, jobs: tuple[Job, ...]) -> tuple[Fit, ...]:
    """Bases and datasets of runs to come of which more than half of the examples looked at are dropped for length.

    Encoded as the run encodes them; only where texts are long enough to ask are tokenizers loaded. Bases of the hub,
    and data that cannot be read now, are left to the run. Where no training to come has anything to learn from it
    raises TrainingError, as the runs would; one of many that has nothing costs its own cells alone.
    """
    fits = tuple(_Fitting(opened).fits(jobs))
    impossible = {(fit.dataset, fit.base): fit.error for fit in fits if fit.error is not None}
    if impossible and impossible.keys() == {(fit.dataset, fit.base) for fit in fits}:
        (dataset, _), *others = impossible
        named = [f"{other} under {base}" for other, base in others]
        more = f" (and so of {listed_briefly(named)})" if named else ""
        raise TrainingError(f"dataset {dataset}: {next(iter(impossible.values()))}{more}")
    poor = {(fit.dataset, fit.base): fit for fit in fits if 2 * fit.dropped > fit.looked_at}
    return tuple(poor.values())


class _Fitting:
    """One look at the examples of a study; drawn once for all bases."""

    def __init__(self, opened: Opened) -> None:
        self._resolved = opened.resolved
        self._refs = opened.study.datasets
        self._store = opened.store
        self._known: dict[str, Any] = dict(opened.store.read_note(NOTE) or {})
        self._drawn: dict[str, tuple[Example, ...]] = {}

    def fits(self, jobs: tuple[Job, ...]) -> Iterator[Fit]:
        """Of every base and sample that is still to be trained on, once."""
        found: dict[str, tuple[Job, RunSpec]] = {}
        for job in jobs:
            for task in job.tasks:
                if isinstance(task.cell, RunCell) and task.trains and self._can_be_read(job.base, task.cell):
                    found[self._key(job.base, task.cell.spec)] = job, task.cell.spec
        new = {key: asdict(self._fit(job.base, spec)) for key, (job, spec) in found.items() if key not in self._known}
        if new:
            self._known |= new
            self._store.write_note(NOTE, self._known)
        return (Fit(**self._known[key]) for key in found)

    def _key(self, base: BaseCell, spec: RunSpec) -> str:
        how = spec.model_dump(include={"base", "dataset", "template", "loss_on", "max_tokens", "overflow"})
        return digest([VERSION, self._sample(spec), base.digest, base.tokenizer_digest, how])

    def _can_be_read(self, base: BaseCell, cell: RunCell) -> bool:
        of_files = all(self._refs[part.dataset].path is not None for part in cell.spec.parts)
        is_here = Path(base.base.model).is_dir() and (of_files or not self._resolved.provisional)
        return is_here and not cell.adopted

    def _sample(self, spec: RunSpec) -> str:
        parts = [
            [self._resolved.dataset_digests[part.dataset], part.weight, self._refs[part.dataset].short]
            for part in spec.parts
        ]
        return digest([parts, spec.samples, spec.validation, spec.seeds.sample])

    def _examples(self, spec: RunSpec) -> tuple[Example, ...]:
        key = self._sample(spec)
        if key not in self._drawn:
            self._drawn[key] = select_examples(
                spec.parts,
                self._refs,
                self._resolved.dataset_digests,
                samples=spec.samples,
                validation=spec.validation,
                seed=spec.seeds.sample,
            ).train
        return self._drawn[key]

    def _fit(self, base: BaseCell, spec: RunSpec) -> Fit:
        examples = self._examples(spec)
        looked_at = examples[:LOOKED_AT]
        limit = min((spec.max_tokens, *_positions(Path(base.base.model))))
        if 2 * sum(_most_tokens(example, spec) > limit for example in looked_at) <= len(looked_at):
            return Fit(spec.base, spec.dataset, len(looked_at), 0)
        return _encoded_fit(base, spec, examples)


def _encoded_fit(base: BaseCell, spec: RunSpec, examples: tuple[Example, ...]) -> Fit:
    """Of the first examples; where none of those can be learned from, of all."""
    from sftlab.execute.training import encoding_recipe
    from sftlab.lm.base import load_tokenizer
    from sftlab.lm.encoding import encode_examples
    from sftlab.train.preflight import validate_lengths

    tokenizer = load_tokenizer(base.base)
    error: str | None = None
    with tempfile.TemporaryDirectory() as folder:
        for number in dict.fromkeys((min(LOOKED_AT, len(examples)), len(examples))):
            encoded = encode_examples(examples[:number], tokenizer, recipe=encoding_recipe(spec), folder=Path(folder))
            try:
                validate_lengths(tokenizer, spec, encoded)
            except TrainingError as caught:
                error = str(caught)
            else:
                error = None
                break
        reason = encoded.dropped[0].reason if encoded.dropped else None
        return Fit(spec.base, spec.dataset, encoded.num_given, len(encoded.dropped), reason, error)


def _positions(folder: Path) -> Iterator[int]:
    """What the configuration of a base says of how many positions it has, in whichever fields."""
    config = json.loads((folder / "config.json").read_bytes())
    for part in (config, config.get("text_config") or {}):
        yield from (part[field] for field in LENGTH_FIELDS if isinstance(part.get(field), int) and part[field] > 0)


def _most_tokens(example: Example, spec: RunSpec) -> int:
    """No fewer tokens than the example has: one for each byte of its text, and those that begin and end it."""
    named = {"question_answer": QUESTION_ANSWER, "alpaca": ALPACA}
    template = spec.template if isinstance(spec.template, CustomTemplate) else named.get(spec.template)
    if template is None:
        return example.num_bytes + CHAT_BYTES + CHAT_BYTES_PER_TURN * len(example.turns)
    segments = render_example(example, TextTemplate("text", template), loss_on=spec.loss_on)
    return sum(len(segment.text.encode()) + segment.eos_after for segment in segments) + BOTH_ENDS
