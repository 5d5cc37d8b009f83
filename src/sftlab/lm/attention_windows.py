"""Whether a model tells its attention how far each layer sees.

Some architectures (Phi-3.5-MoE, Llama 4) leave that to the mask, which kernels without a mask never get: they would see
too much in texts longer than the window, and in shorter ones nothing would show it.
"""

from typing import Any

from torch import Tensor, nn

from sftlab.lm.product_attention import product_attention

_RECORDING = "sftlab_windows"
_ATTENDING = ("full_attention", "sliding_attention")


def tells_windows(model: Any) -> bool:  # noqa: ANN401 - any transformers model
    """Whether every layer tells its attention the window that the configuration gives it, if any.

    A model that does not take attention from transformers' list keeps its own, windows included.
    """
    told = _windows_told(model)
    return not told or told == _windows_configured(model.config.get_text_config())


def _windows_configured(config: Any) -> list[int | None] | None:  # noqa: ANN401 - any transformers configuration
    """Positions that each layer with attention sees, None for all before it; no list where that cannot be read."""
    if getattr(config, "attention_chunk_size", None) is not None:
        return None
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None)
    if kinds is not None:
        return [window if kind == "sliding_attention" else None for kind in kinds if kind in _ATTENDING]
    in_use = getattr(config, "use_sliding_window", True)
    return [window if in_use else None] * int(config.num_hidden_layers)


def _windows_told(model: Any) -> list[int | None]:  # noqa: ANN401 - any transformers model
    import torch
    from transformers import AttentionInterface

    told: list[int | None] = []

    def recording(
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        **rest: Any,  # noqa: ANN401 - the interface
    ) -> tuple[Tensor, None]:
        told.append(rest.get("sliding_window"))
        return product_attention(module, query, key, value, attention_mask, **rest)

    AttentionInterface.register(_RECORDING, recording)
    before = model.config._attn_implementation
    model.set_attn_implementation(_RECORDING)
    try:
        with torch.inference_mode():
            model(input_ids=torch.zeros(1, 2, dtype=torch.long, device=model.device), use_cache=False)
    finally:
        model.set_attn_implementation(before)
    return told
