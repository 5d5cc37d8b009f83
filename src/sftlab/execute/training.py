"""A run of a study, trained with what a workplace has."""

from dataclasses import replace

from sftlab.data.example import Example
from sftlab.execute.workplace import MICRO_BATCH_TOKENS, Workplace
from sftlab.lm.base import LoadedBase
from sftlab.lm.chance import draws_at_random
from sftlab.lm.encoding import EncodedExamples, EncodingRecipe, encode_examples
from sftlab.lm.measured_compilation import with_layers_compiled
from sftlab.lm.measured_kernel import kernel_cache
from sftlab.plan.cost import train_tokens
from sftlab.plan.devices import devices
from sftlab.plan.selection import Selected, select_examples
from sftlab.plan.tasks import Job
from sftlab.study.cells import RunCell
from sftlab.study.methods import Full
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
    if _may_be_compiled(place, loaded, spec):
        loaded.kernel = with_layers_compiled(
            loaded, tokens=_tokens_for_each_core(place, spec), machine=place.setup.device.name, cache=kernel_cache()
        )
    else:
        loaded.kernel = replace(loaded.kernel, compiled=False)
    return train_run(loaded, spec, data, files=files, control=control)


def _may_be_compiled(place: Workplace, loaded: LoadedBase, spec: RunSpec) -> bool:
    """Whether all weights are trained in this process, on a CPU, with nothing that changes how layers are called."""
    alone_on_cpu = place.setup.device.kind == "cpu" and loaded.ranks.count == 1
    trial, strict = place.setup.manner.smoke, place.setup.manner.deterministic
    method = spec.method
    whole = isinstance(method, Full) and method.layers is None and method.offload == "none"
    plain = not method.gradient_checkpointing and not draws_at_random(loaded.model)
    return alone_on_cpu and whole and plain and not trial and not strict


def _tokens_for_each_core(place: Workplace, spec: RunSpec) -> float:
    """Tokens of all the study's runs that would use what is compiled for this one, shared among the cores.

    What is held already counts as well, so that a study killed and started again computes as it began.
    """
    resolved = place.setup.resolved
    trained: dict[str, int] = {}
    for run in resolved.cells.runs:
        other = run.spec
        if (other.base, other.method_name, other.precision) == (spec.base, spec.method_name, spec.precision):
            trained[run.trajectory] = max(trained.get(run.trajectory, 0), train_tokens(resolved, run))
    return sum(trained.values()) / len(devices())


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
