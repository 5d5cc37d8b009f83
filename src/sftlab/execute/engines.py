"""Which engine answers a task's questions: the model in this worker's memory, or what the study names in its place."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass

from sftlab.errors import ModelError
from sftlab.evaluate.engines.built_in import BuiltInEngine
from sftlab.evaluate.engines.completions import Completions
from sftlab.evaluate.engines.engine import Engine
from sftlab.evaluate.engines.in_process_vllm import InProcessVllm
from sftlab.evaluate.engines.served import ServedEngine, ServedModel, about_engine
from sftlab.evaluate.engines.server import RunningServer, Start
from sftlab.evaluate.engines.serving_folder import write_serving_folder
from sftlab.execute.event import Preparing
from sftlab.execute.workplace import SCORE_BATCH_TOKENS, Workplace
from sftlab.lm.base import load_tokenizer
from sftlab.plan.engines import engine_identity
from sftlab.plan.tasks import Job
from sftlab.study.declaration import Precision
from sftlab.study.engine import BUILT_IN, EngineChoice, Server


@dataclass(frozen=True, eq=False)
class Serving:
    """An engine outside this worker's own model, what it answers for, and how it is ended."""

    checkpoint: str
    engine: Engine
    stop: Callable[[], None]


def engine_at(place: Workplace, job: Job, epoch: int, precision: Precision) -> Engine:
    """The study's engine with the job's weights of an epoch; 0 is the base.

    A server is started for each checkpoint and answers all benchmarks of it; it is ended before the next. Raises
    ModelError where it cannot be started or does not answer.
    """
    choice = place.setup.resolved.study.evaluation.engine
    if choice == BUILT_IN:
        return BuiltInEngine(place.model_at(job, epoch, precision), SCORE_BATCH_TOKENS[place.setup.device.kind])
    if job.run is not None and job.run.spec.method.quantisation is not None:
        raise ModelError(f"{job.run.spec.run} is trained on quantised weights, which the built-in engine alone scores")
    checkpoint = job.base.checkpoint if job.run is None else job.run.checkpoint(epoch)
    if place.serving is None or place.serving.checkpoint != checkpoint:
        place.stop_serving()
        place.forget_all_models()
        name = choice.program if isinstance(choice, Server) else choice
        is_running = isinstance(choice, Server) and choice.serve is None
        place.tell(Preparing(place.setup.worker, "" if is_running else f"{name} is being started"))
        place.serving = _started(place, job, epoch, choice=choice, precision=precision)
        place.tell(Preparing(place.setup.worker, ""))
    return place.serving.engine


def _started(place: Workplace, job: Job, epoch: int, *, choice: EngineChoice, precision: Precision) -> Serving:
    told = engine_identity(choice, precision)["engine"]
    assert isinstance(told, dict)
    about = about_engine(told)
    checkpoint = job.base.checkpoint if job.run is None else job.run.checkpoint(epoch)
    label = None if job.run is None else checkpoint
    model = ServedModel(job.base.base.name, load_tokenizer(job.base.base), label)
    if isinstance(choice, Server) and choice.endpoint is not None:
        assert choice.model is not None
        client = Completions(choice.endpoint, choice.model, choice.concurrency)
        return Serving(checkpoint, ServedEngine(model, client, about), client.close)
    trained = None if job.run is None else place.store.checkpoint_folder(job.run.trajectory, epoch)
    working = place.store.working_folder(f"served-{place.setup.worker}-{checkpoint}")
    folder = write_serving_folder(job.base.base, trained, working / "model", precision=precision)
    device = place.setup.device
    if not isinstance(choice, Server):
        if device.kind == "cuda" and device.index:
            raise ModelError("vLLM in process takes the first GPU alone: with --devices-per-run, give it by `serve`")
        inside = InProcessVllm(model, folder, about)

        def leave() -> None:
            inside.close()
            shutil.rmtree(working, ignore_errors=True)

        return Serving(checkpoint, inside, leave)
    start = Start(str(folder), about.precision, device.index if device.kind == "cuda" else None)
    server = RunningServer(choice, start, working / "log")
    client = Completions(server.address, choice.model or str(folder), choice.concurrency)

    def stop() -> None:
        client.close()
        server.stop()
        shutil.rmtree(working, ignore_errors=True)

    try:
        server.wait_until_healthy()
        return Serving(checkpoint, ServedEngine(model, client, about), stop)
    except BaseException:
        stop()
        raise
