"""AdamW with moments in eight bits, block by block (Dettmers et al. 2022, arXiv 2110.02861), by bitsandbytes."""

from collections.abc import Mapping
from typing import Any

import bitsandbytes
from torch import Tensor


class EightBitAdamW(bitsandbytes.optim.AdamW8bit):  # type: ignore[misc,name-defined]
    """As bitsandbytes has it, but that groups of parameters may state `optim_bits: 32` for themselves.

    Tensors of less than 4,096 numbers keep moments in 32 bits in any case.
    """

    def get_config(self, gindex: int, pindex: int, group: Mapping[str, Any]) -> dict[str, Any]:
        """What holds for one parameter."""
        config: dict[str, Any] = super().get_config(gindex, pindex, group)
        return {**config, "optim_bits": group.get("optim_bits", config["optim_bits"])}

    def load_state_dict(self, state_dict: dict[str, Any], move_to_device: bool = True) -> None:
        """Take up moments as `kept_moments` gives them."""
        groups = state_dict["param_groups"]
        state = {place: self._whole(moments) for place, moments in state_dict["state"].items()}
        super().load_state_dict({"state": state, "param_groups": groups}, move_to_device)

    def _whole(self, moments: Mapping[str, Tensor]) -> dict[str, Any]:
        levels = {"qmap1": self.name2qmap["dynamic"], "qmap2": self.name2qmap["udynamic"]}
        return {**moments, "step": int(moments["step"]), **(levels if "absmax1" in moments else {})}
