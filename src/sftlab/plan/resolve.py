"""From a study to its cells: every result it asks for, under the identity that the store knows it by."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import cast

from sftlab.analyse.choice import scored_epoch, standings
from sftlab.plan.adoption import adopted_runs
from sftlab.plan.benchmark_checks import Benchmarks
from sftlab.plan.contents import Contents, resolved_template
from sftlab.plan.devices import default_precision
from sftlab.plan.engines import engine_identity, require_likelihoods
from sftlab.plan.judges import judge_identity
from sftlab.plan.lora_targets import require_targets
from sftlab.plan.measure_cells import measure_cells
from sftlab.plan.probe_cells import ScoredModel, probe_cells, study_texts_digest
from sftlab.plan.selection import select_examples
from sftlab.store import Store
from sftlab.study.cells import BaseCell, Cells, RunCell, ScoreCell
from sftlab.study.declaration import BenchmarkRef, Study
from sftlab.study.expansion import expand
from sftlab.study.identity import digest
from sftlab.study.run import RunSpec
from sftlab.study.versions import SCORE_VERSION, TRAIN_VERSION

DRAWS_NOTE = "drawn"
UNREAD_EXAMPLE_BYTES = 1000


@dataclass(frozen=True)
class DrawnBytes:
    """UTF-8 bytes of a run's training examples, and of those held out of its datasets."""

    train: int
    held_out: int


@dataclass(frozen=True)
class Resolved:
    """A study with the identities of its cells, and what could not be pinned (then identities are provisional).

    `drawn` is by the identity of a run. `without_shots` names the benchmarks that have no shots to give for the study's
    `base_shots`, and keep their own number of them.
    """

    study: Study
    cells: Cells
    dataset_digests: dict[str, str]
    drawn: dict[str, DrawnBytes]
    benchmarks: tuple[tuple[BenchmarkRef, str], ...]
    base_benchmarks: tuple[tuple[BenchmarkRef, str], ...]
    provisional: tuple[str, ...]
    probe_digest: str | None = None
    without_shots: tuple[str, ...] = ()


def resolve(study: Study, store: Store) -> Resolved:
    """All cells of a study. Reads digests of what is on disk now; hashes only files that changed since the last time.

    Raises StudyError, DataError, ModelError or BenchmarkError when something is not there or cannot be.
    """
    contents = Contents(store)
    bases = {base.name: contents.base(base) for base in study.bases}
    datasets = {name: contents.dataset(ref) for name, ref in study.datasets.items()}
    known = Benchmarks(study, store, contents)
    without_shots = known.without_shots()
    asked = study.evaluation.benchmarks
    found = known.digests((*asked, *_in_base_condition(study, without_shots)))
    benchmarks, base_benchmarks = found[: len(asked)], found[len(asked) :]
    known.remember()
    require_likelihoods(study.evaluation)
    keeps_best = study.checkpoints == "best"
    specs = expand(study, default_precision=default_precision())
    require_targets(specs, study.bases)
    runs = tuple(_run_cell(spec, bases[spec.base], datasets, keeps_best=keeps_best) for spec in specs)
    sizes = _Sizes(study, store, datasets, contents.unpinned)
    drawn = {cell.identity: sizes.bytes_of(cell.spec) for cell in runs}
    sizes.remember()
    adopted = adopted_runs(study, bases, contents)
    drawn |= {cell.identity: DrawnBytes(0, 0) for cell in adopted}
    cells = Cells(
        study=study.study,
        bases=tuple(bases.values()),
        runs=(*runs, *adopted),
        scores=(),
        measures=tuple(
            measure_cells(study, contents, runs=runs, bases=bases, datasets=datasets, benchmarks=benchmarks)
        ),
    )
    contents.remember()
    resolved = Resolved(
        study=study,
        cells=cells,
        dataset_digests=datasets,
        drawn=drawn,
        benchmarks=benchmarks,
        base_benchmarks=base_benchmarks,
        provisional=tuple(contents.provisional),
        probe_digest=study_texts_digest(study),
        without_shots=without_shots,
    )
    return settled(resolved, store)


def _in_base_condition(study: Study, without_shots: tuple[str, ...]) -> Iterator[BenchmarkRef]:
    """The benchmarks as the bases are asked them once more, where the study says how."""
    evaluation = study.evaluation
    of_all = evaluation.base_template is not None or evaluation.base_shots is not None
    for ref in evaluation.benchmarks:
        if of_all or ref.base_template is not None or ref.base_shots is not None:
            yield ref.in_base_condition(None if ref.name in without_shots else evaluation.base_shots)


def settled(resolved: Resolved, store: Store) -> Resolved:
    """The same study with the scores that what is trained by now calls for.

    Of candidates that `select` chooses among only the chosen one is scored, and of `checkpoints: best` only the epoch
    of lowest validation loss: both are known after training.
    """
    runs = resolved.cells.runs
    stand = standings(runs, store)
    epochs = {run.spec.run: scored_epoch(run, store) for run in runs}
    undecided = frozenset(name for name, epoch in epochs.items() if epoch is None or stand[name].waits)
    models: list[ScoredModel] = []
    for run in runs:
        if stand[run.spec.run].scored:
            last = epochs[run.spec.run] or run.spec.epochs
            first = 1 if run.spec.score_epochs == "all" else last
            models += [ScoredModel(run, epoch, run.spec.run in undecided) for epoch in range(first, last + 1)]
    scores = tuple(_score_cells(resolved, models))
    probes = tuple(probe_cells(resolved.study, resolved.cells.bases, models, texts=resolved.probe_digest))
    cells = replace(resolved.cells, scores=scores, undecided=undecided, probes=probes)
    return replace(resolved, cells=cells)


def _run_cell(spec: RunSpec, base: BaseCell, datasets: dict[str, str], *, keeps_best: bool) -> RunCell:
    spec = spec.model_copy(update={"template": resolved_template(spec.template, base.base)})
    trained = {
        "step": "train",
        "version": TRAIN_VERSION,
        "base": base.digest,
        "tokenizer": base.tokenizer_digest,
        "data": [datasets[part.dataset] for part in spec.parts],
        "recipe": spec.recipe,
    }
    identity = digest(trained)
    if spec.depends_on_length:
        return RunCell(spec, base.family, identity, identity, keeps_best=keeps_best)
    endless = {name: value for name, value in spec.recipe.items() if name != "epochs"}
    trajectory = digest({**trained, "recipe": endless})
    return RunCell(spec, base.family, identity, trajectory, keeps_best=keeps_best)


def _score_cells(resolved: Resolved, models: list[ScoredModel]) -> Iterator[ScoreCell]:
    study, bases = resolved.study, {base.base.name: base for base in resolved.cells.bases}
    precision = study.precision or default_precision()
    system = study.evaluation.system_prompt
    engine = engine_identity(study.evaluation.engine, precision)

    def score(
        base: BaseCell, model: ScoredModel | None, benchmark: tuple[BenchmarkRef, str], *, base_condition: bool = False
    ) -> ScoreCell:
        epoch = 0 if model is None else model.epoch
        asked_as = study.base_template(benchmark[0]) if base_condition else study.asked_template
        identity = digest(
            {
                "step": "score",
                "version": SCORE_VERSION,
                "model": base.digest if model is None else model.run.trajectory,
                "epoch": epoch,
                "tokenizer": base.tokenizer_digest,
                "precision": precision,
                "benchmark": benchmark[1],
                "template": asked_as if asked_as == "plain" else resolved_template(asked_as, base.base),
                **({} if system is None else {"system_prompt": system}),
                **engine,
                **judge_identity(study.evaluation, benchmark[0]),
            }
        )
        return ScoreCell(
            identity,
            checkpoint=base.checkpoint if model is None else model.run.checkpoint(epoch),
            base=base.base.name,
            run=None if model is None else model.run.spec.run,
            epoch=epoch,
            benchmark=benchmark[0],
            benchmark_digest=benchmark[1],
            waits=model is not None and model.waits,
            base_condition=base_condition,
        )

    for base in bases.values():
        yield from (score(base, None, benchmark) for benchmark in resolved.benchmarks)
        yield from (score(base, None, benchmark, base_condition=True) for benchmark in resolved.base_benchmarks)
    for model in models:
        yield from (score(bases[model.run.spec.base], model, benchmark) for benchmark in resolved.benchmarks)


class _Sizes:
    """Bytes of text of each run: found by drawing the examples once, then remembered in the store."""

    def __init__(self, study: Study, store: Store, datasets: dict[str, str], unread: set[str]) -> None:
        self._unread = unread
        self._study = study
        self._store = store
        self._datasets = datasets
        self._known = dict(store.read_note(DRAWS_NOTE) or {})
        self._changed = False

    def bytes_of(self, spec: RunSpec) -> DrawnBytes:
        """UTF-8 bytes of the run's examples; a guess where the hub's data cannot be read now.

        A share that is held out is then taken of as many examples as are drawn, for want of the dataset's size.

        Raises DataError when there are fewer examples than the run asks for.
        """
        if any(self._datasets[part.dataset] in self._unread for part in spec.parts):
            held_out = spec.validation * (spec.samples if spec.validation < 1 else len(spec.parts))
            return DrawnBytes(spec.samples * UNREAD_EXAMPLE_BYTES, round(held_out * UNREAD_EXAMPLE_BYTES))
        parts = [(self._datasets[part.dataset], part.weight) for part in spec.parts]
        short = [self._study.datasets[part.dataset].short for part in spec.parts]
        key = digest([parts, short, spec.samples, spec.validation, spec.seeds.sample])
        if key not in self._known:
            selected = select_examples(
                spec.parts,
                self._study.datasets,
                self._datasets,
                samples=spec.samples,
                validation=spec.validation,
                seed=spec.seeds.sample,
            )
            groups = (selected.train, selected.held_out)
            self._known[key] = [sum(example.num_bytes for example in group) for group in groups]
            self._changed = True
        train, held_out = cast("list[int]", self._known[key])
        return DrawnBytes(train, held_out)

    def remember(self) -> None:
        """Write what was found to the store."""
        if self._changed:
            self._store.write_note(DRAWS_NOTE, self._known)
