"""Which kernel is fastest for a base on this machine: measured once, in a second or so, and kept on disk."""

import fcntl
import json
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from sftlab.lm.attention_windows import tells_windows
from sftlab.lm.base import LoadedBase
from sftlab.lm.chance import drops_attention
from sftlab.lm.kernel import Kernel
from sftlab.lm.packed_attention import PACKED
from sftlab.lm.product_attention import PRODUCTS
from sftlab.lm.token_loss import TokenBatch, has_plain_head, synthetic_batch, token_losses
from sftlab.study.identity import digest

VERSION = 1
AGREEMENT = {"float32": 1e-5, "bfloat16": 3e-2}
CLEARLY_FASTER = 0.95
SMALL, LARGE = (1, 32), (8, 128)
ROUNDS = 3
LONGEST_TRIAL = 0.4
_NOT_OF_THE_SHAPE = ("_name_or_path", "transformers_version", "dtype", "torch_dtype")


@dataclass(frozen=True)
class Measured:
    """A kernel and why it was taken: seconds of a training pass of 8 x 128 tokens under each attention in question."""

    model: str
    machine: str
    precision: str
    kernel: Kernel
    seconds: dict[str, float]


def kernel_cache() -> Path:
    """Folder of what was measured: $SFTLAB_CACHE, else sftlab in the user's cache folder."""
    own = os.environ.get("SFTLAB_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "sftlab"


def fastest_kernel(base: LoadedBase, *, machine: str, cache: Path) -> Kernel:
    """The kernel measured for models of this shape on `machine`, measured now if never before.

    Only kernels whose losses agree with the model's own attention are candidates: to 1e-5 in float32, to rounding in
    bfloat16. On a GPU the packed layout is taken wherever it agrees. Where the cache cannot be written every process
    measures for itself.
    """
    if base.device.type == "cuda":
        return packed_kernel(base)
    file = cache / "kernels" / measurement_name(base, machine)
    with alone_with(file):
        known = _read(file)
        if known is None:
            kernel, seconds = _measure(base)
            known = Measured(model_name(base), machine, precision_name(base), kernel, seconds)
            write_measurement(file, known)
    return known.kernel


def seconds_per_token(base: LoadedBase, *, machine: str, cache: Path) -> float | None:
    """Processor time of training on a token with the kernel that was taken; None where none was timed or kept."""
    known = _read(cache / "kernels" / measurement_name(base, machine))
    if known is None or not known.seconds:
        return None
    whole = known.seconds[known.kernel.attention or base.model.config._attn_implementation]
    return whole / trial_batch(base, *LARGE).ids.numel()


def measurement_name(base: LoadedBase, machine: str) -> str:
    """The file of what is measured of models of this shape and precision on this machine."""
    shape = {name: value for name, value in base.model.config.to_dict().items() if name not in _NOT_OF_THE_SHAPE}
    about = [
        VERSION,
        json.dumps(shape, sort_keys=True, default=str),
        machine,
        precision_name(base),
        torch.__version__,
    ]
    return f"{digest(about)[:32]}.json"


def model_name(base: LoadedBase) -> str:
    """What a measured model is called for people: models of one kind differ in shape."""
    shape = {"layers": "num_hidden_layers", "wide": "hidden_size", "tokens": "vocab_size"}
    text = base.model.config.get_text_config()
    stated = [f"{getattr(text, field):,} {what}" for what, field in shape.items() if hasattr(text, field)]
    return " ".join([base.model.config.model_type, *([f"({', '.join(stated)})"] if stated else [])])


def precision_name(base: LoadedBase) -> str:
    """Types of the weights and of what is computed."""
    return f"{base.precision.weights}/{base.precision.compute}"


def packed_kernel(base: LoadedBase) -> Kernel:
    """The packed layout, where it agrees with the model's own attention, else the model's own."""
    return Kernel(PACKED) if _agrees(base, Kernel(PACKED)) else Kernel()


def measured_kernels(cache: Path) -> list[Measured]:
    """All that was ever measured here."""
    found = (_read(file) for file in sorted((cache / "kernels").glob("*.json")))
    return [one for one in found if one is not None]


def _measure(base: LoadedBase) -> tuple[Kernel, dict[str, float]]:
    weights = base.weights().values()
    try:
        base.model.requires_grad_(True)
        small, large = (trial_batch(base, *shape) for shape in (SMALL, LARGE))
        pass_seconds(base, Kernel(), small)
        if pass_seconds(base, Kernel(), small) * (LARGE[0] * LARGE[1]) / (SMALL[0] * SMALL[1]) > 10 * LONGEST_TRIAL:
            return Kernel(), {}
        candidates = [Kernel(), *(kernel for kernel in (Kernel(PRODUCTS),) if _agrees(base, kernel))]
        times: dict[Kernel, list[float]] = {kernel: [] for kernel in candidates}
        starts: dict[Kernel, list[float]] = {kernel: [] for kernel in candidates}
        for _ in range(ROUNDS + 1):
            for kernel in candidates:
                times[kernel].append(pass_seconds(base, kernel, large))
                starts[kernel].append(pass_seconds(base, kernel, small))
    finally:
        base.model.requires_grad_(False)
        for weight in weights:
            weight.grad = None
    # The first round warms up.
    whole = {kernel: statistics.median(each[1:]) for kernel, each in times.items()}
    best = min(whole, key=whole.__getitem__)
    if whole[best] > CLEARLY_FASTER * whole[Kernel()]:
        best = Kernel()
    overhead = _overhead_tokens(statistics.median(starts[best][1:]), whole[best])
    seconds = {kernel.attention or base.model.config._attn_implementation: each for kernel, each in whole.items()}
    return Kernel(best.attention, overhead), seconds


def _overhead_tokens(small: float, large: float) -> int:
    """What a pass costs beside its tokens, from a straight line through two sizes; a multiple of 16."""
    few, many = SMALL[0] * SMALL[1], LARGE[0] * LARGE[1]
    per_token = (large - small) / (many - few)
    if per_token <= 0:
        return many
    return min(many, max(0, round((small / per_token - few) / 16) * 16))


def trial_batch(base: LoadedBase, rows: int, length: int) -> TokenBatch:
    """So many rows of any tokens, as long as asked or as the model reads."""
    fits = min(length, base.context_length)
    return synthetic_batch(base, np.full(rows, fits), packed=False)


def pass_seconds(base: LoadedBase, kernel: Kernel, batch: TokenBatch) -> float:
    """Processor time of this thread for a forward and a backward pass."""
    start = time.thread_time()
    with kernel.attending(base.model):
        token_losses(base, batch, plain_head=has_plain_head(base)).mean().backward()  # type: ignore[no-untyped-call]
    return time.thread_time() - start


def _agrees(base: LoadedBase, kernel: Kernel) -> bool:
    """Whether losses of a few ragged examples are those of the model's own attention."""
    lengths = np.minimum(np.array([24, 7, 48, 1]) + 1, base.context_length)
    tolerance = AGREEMENT["bfloat16" if base.precision.compute == "bfloat16" else "float32"]
    if drops_attention(base.model):
        return False

    def losses(how: Kernel) -> torch.Tensor:
        with torch.inference_mode(), how.attending(base.model):
            batch = synthetic_batch(base, lengths, packed=how.packed)
            return token_losses(base, batch, plain_head=False)

    try:
        if not tells_windows(base.model):
            return False
        own, other = losses(Kernel()), losses(kernel)
    except (AssertionError, AttributeError, TypeError, ValueError, RuntimeError):
        return False
    return bool((own - other).abs().max() <= tolerance * own.abs().max())


@contextmanager
def alone_with(file: Path) -> Iterator[None]:
    """One process at a time measures for a file, so that all that wait take what the first one found."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = file.with_suffix(".lock").open("w")
    except OSError:
        yield
        return
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read(file: Path) -> Measured | None:
    try:
        fields = json.loads(file.read_text())
        return Measured(**{**fields, "kernel": Kernel(**fields["kernel"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_measurement(file: Path, measured: object) -> None:
    """Keep a dataclass as JSON, whole or not at all; where the folder cannot be written, not."""
    temporary = file.with_suffix(f".{os.getpid()}.tmp")
    with suppress(OSError):
        temporary.write_text(json.dumps(asdict(cast("Any", measured))))
        temporary.replace(file)
