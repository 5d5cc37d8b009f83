"""Which engine will answer a study's questions: the part of it that is in a score's identity."""

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from sftlab.benchmarks.loading import benchmark_outline
from sftlab.errors import StudyError
from sftlab.study.declaration import Evaluation, Precision
from sftlab.study.engine import BUILT_IN, EngineChoice, Server

WITHOUT_LIKELIHOODS = frozenset({"transformers"})
"""Programs known to tell no log-probabilities of prompts; any other is asked once it runs."""


def engine_identity(engine: EngineChoice, precision: Precision) -> dict[str, object]:
    """What bears on scores of an engine: program, version, precision and command; nothing for the built-in one.

    The built-in engine's version is that of the scoring step. Raises StudyError where the version of a program cannot
    be known because it is not installed here and the study does not state it.
    """
    if engine == BUILT_IN:
        return {}
    if not isinstance(engine, Server):
        return {"engine": {"name": engine, "version": _installed(engine), "dtype": precision.compute}}
    about: dict[str, object] = {
        "name": engine.program,
        "version": engine_version(engine),
        "dtype": engine.dtype or precision.compute,
    }
    if engine.serve is None:
        return {"engine": {**about, "model": engine.model}}
    return {"engine": {**about, "serve": " ".join(engine.serve.split())}}


def no_likelihoods(program: str) -> str:
    """What is wrong where the scorer likelihood is asked of an engine that cannot answer it."""
    return (
        f"the engine {program} tells no log-probabilities of prompts (neither `echo` with `logprobs` nor "
        "`prompt_logprobs`), which the scorer likelihood needs: give its benchmarks `scorers: [generative]`"
    )


def require_likelihoods(evaluation: Evaluation) -> None:
    """Raise StudyError where a benchmark needs log-likelihoods and the engine is known to tell none."""
    engine = evaluation.engine
    if not isinstance(engine, Server) or engine.program not in WITHOUT_LIKELIHOODS:
        return
    folder = None if evaluation.benchmarks_dir is None else Path(evaluation.benchmarks_dir)
    for ref in evaluation.benchmarks:
        if "likelihood" in benchmark_outline(ref, folder=Path.cwd(), benchmarks_dir=folder).scorers:
            raise StudyError(f"benchmark {ref.name!r}: {no_likelihoods(engine.program)}")


def engine_version(engine: Server) -> str:
    """The version that the study states, or that of the installed package of the program's name."""
    return engine.version or _installed(engine.program)


def engine_words(engine: EngineChoice, precision: Precision) -> str:
    """The engine for people to read: program, version, precision."""
    if engine == BUILT_IN:
        return f"{BUILT_IN} {version('sftlab')}, {precision.compute}"
    about = engine_identity(engine, precision)["engine"]
    assert isinstance(about, dict)
    return f"{about['name']} {about['version']}, {about['dtype']}"


def _installed(program: str) -> str:
    try:
        return version(re.sub(r"[^A-Za-z0-9._-]", "-", program))
    except PackageNotFoundError:
        raise StudyError(
            f"the version of the engine {program!r} is part of a score's identity, and no package {program} is "
            "installed here: state `version` in evaluation.engine"
        ) from None
