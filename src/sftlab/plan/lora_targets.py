"""Adapter targets that no module of a base has, found from its files' headers before anything is run."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

from sftlab.errors import StudyError
from sftlab.plan.base_size import header_shapes
from sftlab.study.declaration import BaseRef
from sftlab.study.methods.low_rank import LowRank, is_target
from sftlab.study.run import RunSpec

_PREFIXES = ("", "model.", "transformer.", "gpt_neox.")
"""What a model may have in front of the names in its files."""
_NO_LINEAR_MAP = re.compile(r"embed|(?:^|\.)w[tp]e\.|lm_head|norm")
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
"""Their weights have other names in files than in models."""


def require_targets(specs: Iterable[RunSpec], bases: Iterable[BaseRef]) -> None:
    """Raise StudyError where a target of a method matches no matrix of a base that it trains, naming what there is.

    Bases that are not in a folder, and models of experts, are left to the run itself, which looks at the modules.
    """
    known = {base.name: base for base in bases}
    asked = {
        (spec.base, spec.method_name, target): None
        for spec in specs
        if isinstance(spec.method, LowRank) and not isinstance(spec.method.targets, str)
        for target in spec.method.targets
    }
    modules = {name: matrix_shapes(Path(known[name].model)) for name in {base for base, _, _ in asked}}
    for base, method, target in asked:
        names = modules[base]
        if names and not any(is_target(prefix + name, target) for name in names for prefix in _PREFIXES):
            there = ", ".join(sorted({name.rsplit(".", 1)[-1] for name in names}))
            raise StudyError(
                f"methods.{method}.targets: no linear module of the base {base} matches {target!r}: it has {there}"
            )


def matrix_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """What may be linear modules, by name, without embeddings and head; none where that cannot be told.

    Each has as many outputs as its shape says first, and inputs as it says then (GPT-2's the other way round).
    """
    if not folder.is_dir() or _has_experts(folder):
        return {}
    shapes = {name: shape for path in folder.glob("*.safetensors") for name, shape in header_shapes(path).items()}
    return {
        name.removesuffix(".weight"): shape
        for name, shape in shapes.items()
        if len(shape) == 2 and name.endswith(".weight") and not _NO_LINEAR_MAP.search(name)
    }


def _has_experts(folder: Path) -> bool:
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError):
        return True
    return any(config.get(field) for field in _EXPERTS)
