"""A run of a study, trained with what a workplace has."""

from sftlab.data.example import Example
from sftlab.execute.workplace import MICRO_BATCH_TOKENS, Workplace
from sftlab.lm.encoding import EncodedExamples, EncodingRecipe, encode_examples
from sftlab.plan.selection import Selected, select_examples
from sftlab.plan.tasks import Job
from sftlab.study.cells import RunCell
from sftlab.study.run import RunSpec
from sftlab.train.inputs import RunData, RunFiles, TrainControl
from sftlab.train.run import TrainedRun, train_run

SMOKE_STEPS = 2
SMOKE_HELD_OUT = 4


def train_here(place: Workplace, job: Job, cell: RunCell) -> TrainedRun:
    """Train a run from where it was; its checkpoints and its state are in the store."""
    spec, store = cell.spec, place.store
    selected = selected_examples(place, spec)
    loaded = place.model(job.base, spec.precision, quantisation=spec.method.quantisation)
    recipe = encoding_recipe(spec)

    def encoded(examples: tuple[Example, ...]) -> EncodedExamples:
        return encode_examples(examples, loaded, recipe=recipe, folder=store.tokens_folder)

    data = RunData(train=encoded(selected.train), held_out=encoded(selected.held_out))
    files = RunFiles(
        working=store.working_folder(cell.identity),
        checkpoint=lambda epoch: store.checkpoint_folder(cell.trajectory, epoch),
    )
    control = TrainControl(
        on_progress=lambda progress: place.moved(progress.step / progress.steps, progress.tokens),
        max_steps=SMOKE_STEPS if place.setup.manner.smoke else None,
        max_micro_tokens=MICRO_BATCH_TOKENS[place.setup.device.kind],
    )
    return train_run(loaded, spec, data, files=files, control=control)


def selected_examples(place: Workplace, spec: RunSpec) -> Selected:
    """The examples that a run learns from, and those held out; few of the latter in a trial."""
    names = tuple(part.dataset for part in spec.parts)
    contents = place.dataset_contents(names)
    refs = place.setup.resolved.study.datasets
    selected = select_examples(
        spec.parts, refs, contents, samples=spec.samples, validation=spec.validation, seed=spec.seeds.sample
    )
    if not place.setup.manner.smoke:
        return selected
    return Selected(selected.train, selected.held_out[:SMOKE_HELD_OUT])


def encoding_recipe(spec: RunSpec) -> EncodingRecipe:
    """How a run's examples become tokens."""
    return EncodingRecipe(
        template=spec.template, loss_on=spec.loss_on, max_tokens=spec.max_tokens, overflow=spec.overflow
    )
