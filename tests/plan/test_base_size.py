"""How many weights a base has, and who says so."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from sftlab.plan.base_size import BaseSize, base_size
from sftlab.study.declaration import BaseRef


@pytest.mark.parametrize(
    ("model", "size"),
    [
        ("allenai/OLMo-7B-hf", 7e9),
        ("Qwen/Qwen2.5-0.5B", 5e8),
        ("google/gemma-2-9b", 9e9),
        ("meta-llama/Meta-Llama-3-8B", 8e9),
        ("HuggingFaceTB/SmolLM2-360M-Instruct", 3.6e8),
        ("mistralai/Mixtral-8x7B-v0.1", 56e9),
        ("sbintuitions/sarashina2-7b", 7e9),
        ("openai-community/gpt2", None),
        ("org/v2b-model", None),
    ],
)
def test_size_is_read_from_the_name_where_nothing_else_says_it(model: str, size: float | None) -> None:
    expected = BaseSize(None, "unknown") if size is None else BaseSize(round(size), "name")
    assert base_size(BaseRef(name="b", model=model)) == expected


def test_stated_size_wins_over_the_name_and_counted_weights_over_both(tmp_path: Path) -> None:
    assert base_size(BaseRef(name="b", model="org/b-7B", parameters=6.5e9)) == BaseSize(6_500_000_000, "parameters")
    folder = tmp_path / "b-7B"
    folder.mkdir()
    for part, shape in (("one", (3, 5)), ("two", (7,))):
        save_file({"w": np.zeros(shape, np.float32)}, folder / f"{part}.safetensors")
    assert base_size(BaseRef(name="b", model=str(folder), parameters=1.0)) == BaseSize(22, "files")
