"""Measures of data with what a workplace has."""

import polars as pl

from sftlab.data.probe import probe_texts, texts_digest
from sftlab.errors import DataError, ModelError
from sftlab.execute.training import encoding_recipe, selected_examples
from sftlab.execute.workplace import SCORE_BATCH_TOKENS, Workplace
from sftlab.lm.encoding import encode_examples
from sftlab.measure import DATA_MEASURES
from sftlab.measure.measured import Measured
from sftlab.measure.passes import Passes
from sftlab.plan.contents import Contents, resolved_template
from sftlab.plan.devices import default_precision
from sftlab.plan.embedder import Embedder, find_embedder
from sftlab.plan.questions import benchmark_questions
from sftlab.plan.tasks import Job
from sftlab.study.cells import MeasureCell, ProbeCell
from sftlab.study.run import RunSpec


def measure_here(place: Workplace, job: Job, cell: MeasureCell) -> Measured:
    """One measure of a dataset sample; forward passes serve all measures of the sample that follow one another."""
    runs = place.setup.resolved.cells.runs
    spec = next(
        run.spec
        for run in runs
        if (run.spec.base, run.spec.dataset, run.spec.samples, run.spec.seeds.sample)
        == (cell.base, cell.dataset, cell.samples, cell.seed)
    )
    if cell.benchmark is not None:
        return _beside_benchmark(place, spec, cell)
    loaded = place.model_at(job, 0, spec.precision)
    selected = selected_examples(place, spec)
    encoded = encode_examples(selected.train, loaded, recipe=encoding_recipe(spec), folder=place.store.tokens_folder)
    known = place.known_passes((job.base.digest, spec.precision, encoded.digest))
    batch_tokens = SCORE_BATCH_TOKENS[place.setup.device.kind]
    return DATA_MEASURES[cell.measure](Passes(loaded, encoded, batch_tokens, known))


def _beside_benchmark(place: Workplace, spec: RunSpec, cell: MeasureCell) -> Measured:
    from sftlab.measure.similarity import embedding_similarity, lexical_similarity

    assert cell.benchmark is not None
    study = place.setup.resolved.study
    questions = benchmark_questions(study.evaluation, cell.benchmark)
    examples = selected_examples(place, spec).train
    if cell.embedder_digest is None:
        return lexical_similarity(questions, examples)
    embedder = _verified(place, study.embedder, cell.embedder_digest)
    return embedding_similarity(questions, examples, embedder=embedder, device=place.setup.device.torch_name)


def _verified(place: Workplace, name: str, planned: str) -> Embedder:
    embedder = find_embedder(name, Contents(place.store), fresh=True)
    if embedder.digest != planned:
        raise ModelError(f"the embedder {name} was changed after this run was planned: run again")
    return embedder


def probe_here(place: Workplace, job: Job, cell: ProbeCell) -> pl.DataFrame:
    """One measure of the job's model after an epoch: of its weights, or on the study's probe texts.

    Raises DataError where the texts were changed after the study was planned.
    """
    from sftlab.measure.dimension import dimension_by_layer
    from sftlab.measure.loglik import text_log_likelihoods
    from sftlab.measure.weight_spectrum import loaded_weight_spectrum

    study = place.setup.resolved.study
    precision = job.run.spec.precision if job.run else study.precision or default_precision()
    if cell.measure == "weight_spectrum":
        return loaded_weight_spectrum(place.model_at(job, cell.epoch, precision))
    texts = probe_texts(study.probe_texts)
    if texts_digest(texts) != place.setup.resolved.probe_digest:
        raise DataError("the probe texts were changed after this run was planned: run again")
    loaded = place.model_at(job, cell.epoch, precision)
    batch_tokens = SCORE_BATCH_TOKENS[place.setup.device.kind]
    if cell.measure == "loglik":
        return text_log_likelihoods(loaded, texts, max_batch_tokens=batch_tokens)
    assert cell.measure == "dimension"
    asked_as = study.asked_template
    template = asked_as if asked_as == "plain" else resolved_template(asked_as, job.base.base)
    return dimension_by_layer(loaded, texts, template=template, max_batch_tokens=batch_tokens)
