"""LoRA targets that match nothing are found from the files of a base."""

import json
from pathlib import Path

import pytest

from sftlab.errors import ModelError, StudyError
from sftlab.lm.adapters import target_modules
from sftlab.plan.lora_targets import require_targets
from sftlab.study.declaration import Precision, Study
from sftlab.study.expansion import expand
from tests.lm.architectures import ARCHITECTURES, architecture_folder, load_architecture


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("architectures")


def _require(path: Path, *targets: str) -> None:
    study = Study.model_validate(
        {
            "study": "s",
            "bases": [{"name": "one", "model": str(path)}],
            "datasets": {"d": "d.json"},
            "methods": {"lora": {"adapter": "lora", "targets": targets}},
        }
    )
    require_targets(expand(study, default_precision=Precision()), study.bases)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_plan_and_run_agree_on_what_matches(name, folder):
    model = load_architecture(folder, name).model
    matching = {linear.rsplit(".", 1)[-1] for linear in target_modules(model, "all-linear")}
    for target in sorted(matching | {"query", "lm_head", r".*layers\.1\..*", r".*h\.1\..*"}):
        try:
            target_modules(model, (target,))
        except ModelError:
            with pytest.raises(StudyError, match=r"methods\.lora\.targets: no linear module of the base one"):
                _require(folder / name, target)
        else:
            _require(folder / name, target)


def test_what_there_is_is_named(folder):
    path = architecture_folder(folder, "Llama")
    with pytest.raises(StudyError, match="matches 'query': it has down_proj, gate_proj, k_proj, o_proj"):
        _require(path, "q_proj", "query")


def test_models_of_experts_and_of_the_hub_are_left_to_the_run(tmp_path, folder):
    _require(Path("org/base"), "query")
    config = json.loads((architecture_folder(folder, "Llama") / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_local_experts": 8}))
    (tmp_path / "model.safetensors").write_bytes((folder / "Llama" / "model.safetensors").read_bytes())
    _require(tmp_path, "query")
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(StudyError, match="matches 'query'"):
        _require(tmp_path, "query")
