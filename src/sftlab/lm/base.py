"""A base model in memory: loaded once, fine-tuned and scored many times, reset in place in between."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from sftlab.errors import ModelError
from sftlab.lm.adapters import load_adapter
from sftlab.lm.kernel import Kernel
from sftlab.lm.ranks import Ranks
from sftlab.lm.token_rows import SpecialIds, add_embeddings, add_special_tokens
from sftlab.lm.tokenizer import LENGTH_FIELDS, BaseTokenizer
from sftlab.lm.weights import is_adapter, open_weights, require_safetensors
from sftlab.study.declaration import BaseRef, Precision
from sftlab.study.methods import Quantisation

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

T = TypeVar("T")

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class LoadedBase:
    """A model, its tokenizer, and an untouched copy of its weights.

    The model is in eval mode and asks for no gradients, except inside training. `holding` is a label of what the
    weights are now, None for the untouched base alone; whoever changes the weights may give it another. `kernel` is how
    its training passes are computed. `ranks` are the processes that hold it, of `weights` and of the untouched copy in
    `pristine` a part each. Of a base with a `quantisation`, weights in four bits are in neither of them, for they never
    change, and `unquantised_norms` are the squared norms that all weights had. `masters` are weights by name that
    training keeps elsewhere, while the model computes with copies of them.
    """

    def __init__(
        self, ref: BaseRef, model: nn.Module, tokenizer: BaseTokenizer, *, device: str, precision: Precision
    ) -> None:
        self.name = ref.name
        self.ref = ref
        self.model: Any = model.eval().requires_grad_(False)
        self.base_tokenizer = tokenizer
        self.tokenizer = tokenizer.tokenizer
        self.device = torch.device(device)
        self.precision = precision
        self.context_length = tokenizer.context_length
        self.eos_id = tokenizer.eos_id
        self.pad_id = tokenizer.pad_id
        self.bos_id = tokenizer.bos_id
        self.special_ids = tuple(self.tokenizer.convert_tokens_to_ids(list(ref.special_tokens)))
        self.kernel = Kernel()
        self.ranks = Ranks()
        self.holding: str | None = None
        self.adapter: Any = None
        self.quantisation: Quantisation | None = None
        self.unquantised_norms: Mapping[str, float] = {}
        self.masters: Mapping[str, Tensor] = {}
        self.pristine = {name: self._copy(weight) for name, weight in self.weights().items()}

    def _copy(self, weight: Tensor) -> Tensor:
        copy = weight.detach().to("cpu", copy=True)
        return copy.pin_memory() if self.device.type == "cuda" else copy

    def weights(self) -> dict[str, nn.Parameter]:
        """Every weight by name, tied ones once."""
        return dict(self.model.named_parameters())

    @property
    def num_bytes(self) -> int:
        """What the weights and their untouched copy take."""
        held: int = sum(tensor.nbytes for tensor in (*self.model.parameters(), *self.model.buffers()))
        return held + sum(weight.nbytes for weight in self.pristine.values())

    def reset(self) -> None:
        """Give the model the base's weights again, in place, without adapters or gradients."""
        if self.adapter is not None:
            self.adapter.unload()
            self.adapter = None
        self.model.eval().requires_grad_(False)
        with torch.no_grad():
            for name, weight in self.weights().items():
                weight.grad = None
                self.ranks.own(weight).copy_(self.pristine[name], non_blocking=True)
        self.holding = None

    def load_checkpoint(self, folder: Path) -> None:
        """Give the model a checkpoint's weights in place: a whole one, or the base's plus an adapter's delta.

        Raises ModelError where the folder is not a checkpoint of this base.
        """
        self.reset()
        self.holding = str(folder)
        if is_adapter(folder):
            self.adapter = load_adapter(self.model, folder)
            self.adapter.attach()
            self.settle_adapter()
            return
        stored: Mapping[str, Tensor] = open_weights(folder)
        weights = self.weights()
        if not set(weights) <= set(stored):
            # The file's names are not the model's: transformers knows how to bring the one to the other.
            stored = dict(_load_model(str(folder), self.ref, self.precision).named_parameters())
        with torch.no_grad():
            for name, weight in weights.items():
                if name not in stored or stored[name].shape != weight.shape:
                    self.reset()
                    raise ModelError(f"{folder} is no checkpoint of {self.name}: {name} is missing or of another shape")
                weight.copy_(stored[name])

    def settle_adapter(self) -> None:
        """Merge the adapter into the weights; it stays beside quantised ones, which cannot take it up."""
        if self.adapter is not None and self.quantisation is None:
            self.adapter.merge()
            self.adapter = None

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Forward passes inside compute as the precision says; training and scoring share it."""
        mixed = self.precision.weights == "float32" and self.precision.compute == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=mixed):
            yield


def load_base(
    ref: BaseRef, *, device: str, precision: Precision, quantisation: Quantisation | None = None
) -> LoadedBase:
    """A base model and its tokenizer, from a folder or the hub, weights as safetensors only.

    Raises ModelError, in one sentence, where the folder or the hub has no such model, its weights are incomplete or in
    another format, its tokenizer has no offsets or no end-of-sequence token.
    """
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]
    if precision.weights == "bfloat16" and precision.compute == "float32":
        raise ModelError("bfloat16 weights cannot compute in float32: choose `compute: bfloat16`")
    tokenizer, special = _extended_tokenizer(ref)
    model = _load_model(ref.model, ref, precision)
    add_embeddings(model, special)
    norms = None
    if quantisation is not None:
        from sftlab.lm.quantised import quantise

        norms = quantise(model, quantisation, device=device, compute=DTYPES[precision.compute])
    base = LoadedBase(ref, model.to(device), tokenizer, device=device, precision=precision)
    if norms is not None:
        base.quantisation, base.unquantised_norms = quantisation, norms
    return base


def load_tokenizer(ref: BaseRef) -> BaseTokenizer:
    """The tokenizer of a base, with its special tokens, without its weights; fails as `load_base` does."""
    return _extended_tokenizer(ref)[0]


def _extended_tokenizer(ref: BaseRef) -> tuple[BaseTokenizer, SpecialIds]:
    from transformers import AutoConfig, AutoTokenizer

    options = _options(ref)
    config = _from_pretrained(AutoConfig.from_pretrained, ref.model, options)
    tokenizer = _from_pretrained(AutoTokenizer.from_pretrained, ref.model, options)
    eos = config.get_text_config().eos_token_id
    eos_id = eos[0] if isinstance(eos, list) else eos
    special = add_special_tokens(tokenizer, ref.special_tokens)
    return BaseTokenizer(tokenizer, context_length=_context_length(config, tokenizer), eos_id=eos_id), special


def _context_length(config: "PretrainedConfig", tokenizer: "PreTrainedTokenizerBase") -> int:
    """Positions the model was made for; unbounded where neither it nor its tokenizer states a limit."""
    text = config.get_text_config()
    for field in LENGTH_FIELDS:
        value = getattr(text, field, None)
        if isinstance(value, int) and value > 0:
            return value
    limit = tokenizer.model_max_length
    return int(limit) if limit < 10**9 else sys.maxsize


def _options(ref: BaseRef) -> dict[str, Any]:
    options: dict[str, Any] = {"trust_remote_code": ref.trust_remote_code}
    if ref.revision is not None and not Path(ref.model).is_dir():
        options["revision"] = ref.revision
    return options


def _load_model(source: str, ref: BaseRef, precision: Precision) -> nn.Module:
    from transformers import AutoModelForCausalLM

    if Path(source).is_dir():
        require_safetensors(Path(source))
    options = {**_options(ref), "use_safetensors": True, "dtype": DTYPES[precision.weights]}
    load: Any = AutoModelForCausalLM.from_pretrained
    model: nn.Module
    model, facts = _from_pretrained(load, source, {**options, "output_loading_info": True})
    if facts["missing_keys"]:
        missing = sorted(facts["missing_keys"])
        raise ModelError(
            f"the weights of {source} are incomplete: {missing[0]} and {len(missing) - 1} more are missing"
        )
    return model


def _from_pretrained(load: Callable[..., T], source: str, options: Mapping[str, object]) -> T:
    from safetensors import SafetensorError

    try:
        return load(source, **options)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if Path(source).is_dir():
            raise ModelError(f"the model in {source} cannot be loaded: {first}") from error
        raise ModelError(
            f"there is no folder {source}, and the hub gave no such model: use a local folder ({first})"
        ) from error
