"""The measures of checkpoints that a study asks for: of their weights, and of what they make of fixed texts."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sftlab.data.probe import probe_texts, texts_digest
from sftlab.plan.contents import resolved_template
from sftlab.plan.devices import default_precision
from sftlab.study.cells import BaseCell, ProbeCell, RunCell
from sftlab.study.declaration import Study
from sftlab.study.identity import digest
from sftlab.study.measures import MEASURES, Measure


@dataclass(frozen=True)
class ScoredModel:
    """A run's checkpoint that is to be scored, or that stands for one not known yet."""

    run: RunCell
    epoch: int
    waits: bool


def study_texts_digest(study: Study) -> str | None:
    """Digest of the texts that a study shows its models; None where it measures nothing on them.

    Raises DataError where they cannot be read.
    """
    return texts_digest(probe_texts(study.probe_texts)) if _measures(study, "probe") else None


def probe_cells(
    study: Study, bases: Sequence[BaseCell], models: Iterable[ScoredModel], *, texts: str | None
) -> Iterator[ProbeCell]:
    """One cell for each measure of every checkpoint that is scored, and, where texts are asked, of every base.

    Identity holds the weights and the precision they compute in; where texts are asked these and the tokenizer, and of
    `dimension` also the template that they are asked in.
    """
    by_name = {base.base.name: base for base in bases}
    for measure in (*_measures(study, "weights"), *_measures(study, "probe")):
        for base in bases if measure.of == "probe" else ():
            yield _cell(study, measure, base, texts=texts)
        for model in models:
            yield _cell(study, measure, by_name[model.run.spec.base], texts=texts, model=model)


def _measures(study: Study, of: str) -> list[Measure]:
    return [MEASURES[name] for name in study.measures if MEASURES[name].of == of]


def _cell(
    study: Study, measure: Measure, base: BaseCell, *, texts: str | None, model: ScoredModel | None = None
) -> ProbeCell:
    epoch = 0 if model is None else model.epoch
    precision = (study.precision or default_precision()) if model is None else model.run.spec.precision
    asked_as = study.asked_template
    template = asked_as if asked_as == "plain" else resolved_template(asked_as, base.base)
    identity = digest(
        {
            "step": "probe",
            "measure": [measure.name, measure.version],
            "model": base.digest if model is None else model.run.trajectory,
            "epoch": epoch,
            "precision": precision,
            **({"tokenizer": base.tokenizer_digest, "texts": texts} if measure.of == "probe" else {}),
            **({"template": template} if measure.name == "dimension" else {}),
        }
    )
    return ProbeCell(
        identity,
        checkpoint=base.checkpoint if model is None else model.run.checkpoint(epoch),
        base=base.base.name,
        run=None if model is None else model.run.spec.run,
        epoch=epoch,
        measure=measure.name,
        waits=model is not None and model.waits,
    )
