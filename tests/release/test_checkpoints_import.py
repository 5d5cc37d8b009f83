"""Folders that TRL wrote, as runs of a study that are evaluated and measured without being trained."""

import json
import math
from pathlib import Path

import polars as pl
import pytest
import yaml

from sftlab.analyse.tables import table
from sftlab.benchmarks.loading import load_benchmark
from sftlab.cli.working import do_missing
from sftlab.errors import DataError, ModelError, StudyError
from sftlab.evaluate.scoring import ScoreOptions, score_benchmark
from sftlab.lm.base import load_base
from sftlab.plan.opening import open_study
from sftlab.release.imports.checkpoints import Stated, study_of_checkpoints, trained_folders
from sftlab.study.declaration import BaseRef, BenchmarkRef, Precision
from tests.end_to_end.flow import sftlab
from tests.lm.models import examples, write_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A base, and TRL's output folders of a full and a LoRA run of two epochs on 12 examples."""
    import datasets
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    datasets.disable_progress_bars()
    folder = tmp_path_factory.mktemp("trl")
    base = write_model(folder / "base", "llama")
    rows = [{"prompt": one.turns[0].content, "completion": " " + one.turns[1].content} for one in examples(24)]
    (folder / "gold.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[12:]))
    for name, peft in (("full", None), ("lora", LoraConfig(r=4, lora_alpha=8, target_modules="all-linear"))):
        arguments = SFTConfig(
            output_dir=str(folder / "out" / name),
            num_train_epochs=2,
            per_device_train_batch_size=4,
            learning_rate=1e-2,
            lr_scheduler_type="cosine",
            logging_steps=1,
            save_strategy="epoch",
            report_to="none",
            use_cpu=True,
            bf16=False,
            disable_tqdm=True,
        )
        SFTTrainer(
            model=AutoModelForCausalLM.from_pretrained(base),
            args=arguments,
            train_dataset=datasets.Dataset.from_list(rows[:12]),
            processing_class=AutoTokenizer.from_pretrained(base),
            peft_config=peft,
        ).train()
    return folder


@pytest.fixture(scope="module")
def study(folder) -> Path:
    target = folder / "study.yaml"
    words = ["--base", folder / "base", "--samples", 12, "--benchmark", folder / "gold.jsonl", "--to", target]
    sftlab("import", "checkpoints", folder / "out", *words)
    done = do_missing(open_study(target, None), on="inline", workers=1)
    assert done.failed == ()
    return target


def rows(study: Path, name: str) -> pl.DataFrame:
    opened = open_study(study, None)
    return table(name, opened.resolved.cells, opened.store)


def test_the_recipe_is_read_from_the_log(study):
    full = yaml.safe_load(study.read_text())["trained"]["full"]
    known = {name: full[name] for name in ("samples", "learning_rate", "batch_size", "schedule")}
    assert known == {"samples": 12, "learning_rate": pytest.approx(1e-2), "batch_size": 4, "schedule": "cosine"}
    runs = rows(study, "runs").sort("run")
    assert runs["status"].to_list() == ["done", "done"]
    assert runs["method"].to_list() == runs["run"].to_list() == ["full", "lora"]
    assert runs["adapter"].to_list() == ["none", "lora"]
    assert runs["kernel"].to_list() == ["trained elsewhere"] * 2


def test_every_checkpoint_is_scored_with_its_own_weights(study, folder):
    scores = rows(study, "scores").filter(pl.col("main"))
    benchmark = load_benchmark(BenchmarkRef(name="gold", data=str(folder / "gold.jsonl")), folder=folder)
    base = load_base(BaseRef(name="base", model=str(folder / "base")), device="cpu", precision=Precision())
    for run in ("full", "lora"):
        for epoch, checkpoint in enumerate(("checkpoint-3", "checkpoint-6"), start=1):
            base.load_checkpoint(folder / "out" / run / checkpoint)
            expected = score_benchmark(base, benchmark, options=ScoreOptions("question_answer", 4000)).rows["items"]
            bits = expected.filter(pl.col("metric") == "bits_per_byte")
            value = (bits["score"] * bits["num_bytes"]).sum() / bits["num_bytes"].sum()
            (row,) = scores.filter((pl.col("run") == run) & (pl.col("epoch") == epoch)).to_dicts()
            assert row["value"] == pytest.approx(value, rel=1e-5)
            assert row["gain"] is not None
    assert scores["value"].n_unique() == 5


def relative_change(base: Path, tuned: Path) -> float:
    """Of all weights together, by transformers and PEFT."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    before = dict(AutoModelForCausalLM.from_pretrained(base).named_parameters())
    if (tuned / "adapter_config.json").is_file():
        model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), tuned).merge_and_unload()
    else:
        model = AutoModelForCausalLM.from_pretrained(tuned)
    change = sum((weight - before[name]).square().sum().item() for name, weight in model.named_parameters())
    return math.sqrt(change / sum(weight.square().sum().item() for weight in before.values()))


def test_weight_change_and_losses_are_those_of_the_folders(study, folder):
    layers = rows(study, "layers").filter((pl.col("part") == "all") & pl.col("layer").is_null())
    losses = rows(study, "losses")
    for run in ("full", "lora"):
        folders = [folder / "out" / run / name for name in ("checkpoint-3", "checkpoint-6")]
        expected = [relative_change(folder / "base", tuned) for tuned in folders]
        found = layers.filter(pl.col("run") == run).sort("epoch")["relative_change"].to_list()
        assert found == pytest.approx(expected, rel=1e-4)
        log = json.loads((folder / "out" / run / "checkpoint-6" / "trainer_state.json").read_text())["log_history"]
        told = [entry["loss"] for entry in log if "loss" in entry]
        assert losses.filter(pl.col("run") == run)["loss"].to_list() == pytest.approx(told)
        assert len(told) == 6


def test_what_is_imported_stays_where_it_is_and_is_identified_by_its_weights(study, folder):
    opened = open_study(study, None)
    (full,) = (cell for cell in opened.resolved.cells.runs if cell.spec.run == "full")
    linked = opened.store.checkpoint_folder(full.trajectory, 2) / "model.safetensors"
    assert linked.resolve() == (folder / "out" / "full" / "checkpoint-6" / "model.safetensors").resolve()
    renamed = study.with_name("renamed.yaml")
    renamed.write_text(study.read_text().replace("samples: 12", "samples: 13"))
    (again,) = (cell for cell in open_study(renamed, None).resolved.cells.runs if cell.spec.run == "full")
    assert again.identity == full.identity


def test_what_nobody_says_is_asked_for(folder):
    found = trained_folders(folder / "out")
    with pytest.raises(StudyError, match="says the samples of this run: state it with --samples"):
        study_of_checkpoints(found, Stated("base"), benchmarks=())
    (folder / "out" / "lora" / "checkpoint-6" / "trainer_state.json").rename(folder / "kept.json")
    try:
        with pytest.raises(StudyError, match=r"state it with --batch-size|state it with --learning-rate"):
            study_of_checkpoints(trained_folders(folder / "out" / "lora"), Stated("base", 12), benchmarks=())
    finally:
        (folder / "kept.json").rename(folder / "out" / "lora" / "checkpoint-6" / "trainer_state.json")


def test_folders_without_weights_are_refused(tmp_path, study):
    with pytest.raises(DataError, match="holds no checkpoints"):
        trained_folders(tmp_path)
    with pytest.raises(DataError, match=r"there is no folder .*nowhere"):
        trained_folders(tmp_path / "nowhere")
    (tmp_path / "checkpoint-1").mkdir()
    (tmp_path / "checkpoint-1" / "pytorch_model.bin").write_bytes(b"x")
    broken = study.with_name("broken.yaml")
    text = yaml.safe_load(study.read_text())
    text["trained"]["full"]["folder"] = str(tmp_path)
    broken.write_text(yaml.safe_dump(text))
    with pytest.raises(ModelError, match=r"holds no weights as \.safetensors"):
        open_study(broken, None)
