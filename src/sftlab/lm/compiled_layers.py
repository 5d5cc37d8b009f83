"""A model's layers compiled by TorchInductor: the same losses from fewer passes over memory, on a CPU.

One layer is traced for all of them and for all sizes of a batch; what it was compiled to is kept on disk, so that the
next process reads it. A process traces the same two batches first and nothing afterwards: what they do not cover is
computed as it is without a compiler. So what is computed never depends on the order of the examples, nor on whether a
run was killed in between.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

COMPILE_ERRORS = (RuntimeError, AssertionError, AttributeError, TypeError, ValueError, OSError, ImportError, KeyError)
"""What a compiler that is missing or fails ends in: torch's own errors of compilation are RuntimeErrors."""

GRAPHS = 256
"""Most traces of one function in a process: of every model and precision there are two."""

_LAYERS = ("layers", "h")
_COMPILED: "WeakKeyDictionary[nn.Module, Any]" = WeakKeyDictionary()


def model_layers(model: Any) -> tuple[nn.Module, ...]:  # noqa: ANN401 - any transformers model
    """The layers of a model, where they have a name that is known; else none."""
    found = (getattr(model.base_model, name, None) for name in _LAYERS)
    layers = next((one for one in found if isinstance(one, nn.ModuleList)), ())
    return tuple(layers)


@contextmanager
def compiled_layers(model: Any, *, traces: bool = False) -> Iterator[None]:  # noqa: ANN401 - any transformers model
    """The model computes with compiled layers for as long as the context lasts; backward passes belong inside.

    With `traces` what is new is traced and compiled.
    """
    layers = model_layers(model)
    for layer in layers:
        if layer not in _COMPILED:
            layer.compile(dynamic=True)
            _COMPILED[layer] = layer._compiled_call_impl
        layer._compiled_call_impl = _COMPILED[layer]
    try:
        with torch.compiler.set_stance("default" if traces else "eager_on_recompile"):
            yield
    finally:
        for layer in layers:
            layer._compiled_call_impl = None


def keep_compiled(folder: Path) -> None:
    """From now on this process keeps what it compiles in this folder, and compiles by itself, without helpers."""
    import torch._dynamo.config
    import torch._inductor.config

    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
    torch._inductor.config.compile_threads = 1
    torch._dynamo.config.recompile_limit = GRAPHS
    torch._dynamo.config.accumulated_recompile_limit = GRAPHS


def forget_compiled() -> None:
    """Let go of all traces, as a new process has none; what is on disk stays."""
    from torch._inductor.utils import clear_caches

    torch.compiler.reset()
    clear_caches()
    _COMPILED.clear()
