"""The script that a user would write: every run with transformers, TRL and PEFT, scored with lm-evaluation-harness.

    python perf/peer_study.py PLAN.json OUT.json

One process from the first run to the last. It is told the runs, their examples in order and the adapters to start from
(by `study_speed.py`), and does the rest: loads the base, tokenises, trains with validation and a checkpoint per epoch,
scores what was trained where it is in memory, and computes weight change, and perplexity once for each dataset sample
and base. Bases are scored once.
"""

import time

STARTED = time.perf_counter()

import json  # noqa: E402 - imports are a part of what a script costs
import logging  # noqa: E402
import math  # noqa: E402
import os  # noqa: E402
import statistics  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import warnings  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from contextlib import contextmanager  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import datasets  # noqa: E402
import lm_eval  # noqa: E402
import peft  # noqa: E402
import torch  # noqa: E402
import trl  # noqa: E402
from lm_eval.models.huggingface import HFLM  # noqa: E402
from lm_eval.tasks import TaskManager  # noqa: E402
from torch.utils.data import SequentialSampler  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback  # noqa: E402

IMPORT_SECONDS = time.perf_counter() - STARTED
EVAL_BATCH = 32
"""Rows of a batch in validation, perplexity and scoring."""
Json = dict[str, Any]


class Clock:
    """Wall and CPU seconds by stage."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = {}
        self.cpu: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what happens inside under a name."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall[name] = self.wall.get(name, 0.0) + time.perf_counter() - wall
        self.cpu[name] = self.cpu.get(name, 0.0) + time.process_time() - cpu


class Recorded(trl.SFTTrainer):
    """In the order it is given, and remembering the loss of every step."""

    def _get_train_sampler(self, dataset: Any = None) -> SequentialSampler:  # noqa: ANN401 - TRL's own signature
        return SequentialSampler(self.train_dataset if dataset is None else dataset)

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:  # noqa: ANN401 - TRL's own signature
        """One step's loss and gradients."""
        loss: torch.Tensor = super().training_step(*args, **kwargs)
        self.__dict__.setdefault("step_losses", []).append(float(loss))
        return loss


def tokenised(examples: list[list[str]], words: Any, template: Json) -> list[Json]:  # noqa: ANN401 - any tokenizer
    """Prompt and response as one text, then the end; what overlaps the response is learned, and the end."""
    rows = []
    for question, answer in examples:
        start = template["prompt"].replace("{instruction}", question)
        encoded = words(start + answer, return_offsets_mapping=True)
        learned = [end > len(start) for _, end in encoded["offset_mapping"]]
        ids = [*encoded["input_ids"], words.eos_token_id]
        labels = [token if counts else -100 for token, counts in zip(ids, [*learned, True], strict=True)]
        rows.append({"input_ids": ids, "labels": labels})
    return rows


def train(plan: Json, run: Json, clock: Clock) -> tuple[Any, Any, Json]:
    """One run: the tuned model, its tokenizer, and losses of steps and of validation."""
    with clock.stage("load"):
        words = AutoTokenizer.from_pretrained(run["base"])
        model: Any = AutoModelForCausalLM.from_pretrained(run["base"], dtype=torch.float32)
        if run["adapter"] is not None:
            model = peft.PeftModel.from_pretrained(model, run["adapter"], is_trainable=True)
    with clock.stage("tokens"):
        given = tokenised(run["examples"], words, plan["template"])
        ordered = datasets.Dataset.from_list([given[number] for number in run["order"]])
        held_out = datasets.Dataset.from_list(tokenised(run["held_out"], words, plan["template"]))
    with clock.stage("train"):
        trainer = Recorded(
            model=model,
            args=_settings(run),
            train_dataset=ordered,
            eval_dataset=held_out,
            processing_class=words,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    validation = [row["eval_loss"] for row in trainer.state.log_history if "eval_loss" in row]
    return model, words, {"losses": trainer.step_losses, "validation": validation}


def _settings(run: Json) -> trl.SFTConfig:
    """Plain settings; epochs follow one another in the data, so `eval_steps` is an epoch."""
    return trl.SFTConfig(
        output_dir=run["out"], use_cpu=True, bf16=False, report_to="none", logging_steps=1, disable_tqdm=True,
        num_train_epochs=1, per_device_train_batch_size=run["batch_size"], per_device_eval_batch_size=EVAL_BATCH,
        eval_strategy="steps", eval_steps=run["steps_per_epoch"], save_strategy="steps",
        save_steps=run["steps_per_epoch"], save_total_limit=1, save_only_model=True,
        learning_rate=run["learning_rate"], lr_scheduler_type="constant", weight_decay=0.0,
        max_grad_norm=run["max_grad_norm"], loss_type="nll", gradient_checkpointing=False, max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
    )  # fmt: skip


def scores(plan: Json, model: Any, words: Any, manager: TaskManager) -> Json:  # noqa: ANN401 - any model
    """Scores of all benchmarks by name and metric, from lm-evaluation-harness and its samples."""
    harness = HFLM(pretrained=model, tokenizer=words, batch_size=EVAL_BATCH, max_length=plan["context_length"])
    found = lm_eval.simple_evaluate(
        model=harness, tasks=list(plan["tasks"]), task_manager=manager, bootstrap_iters=0, verbosity="ERROR"
    )
    assert found is not None
    out: Json = {}
    for task, (benchmark, kind) in plan["tasks"].items():
        samples = found["samples"][task]
        if kind == "generative":
            out[f"{benchmark} exact_match"] = _mean([sample["exact_match"] for sample in samples])
            continue
        if kind == "choices":
            out[f"{benchmark} accuracy"] = _mean([sample["acc"] for sample in samples])
            out[f"{benchmark} accuracy_per_byte"] = _mean([sample["acc_norm"] for sample in samples])
        out[f"{benchmark} bits_per_byte"] = _bits_per_byte(samples, choices=kind == "choices")
    return out


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _bits_per_byte(samples: list[Json], *, choices: bool) -> float:
    """Code length of all gold answers over their bytes."""
    nats, num_bytes = 0.0, 0
    for sample in samples:
        gold = int(sample["target"]) if choices else 0
        nats -= float(sample["filtered_resps"][gold][0])
        num_bytes += len((sample["doc"]["choices"][gold] if choices else sample["doc"]["answer"]).encode())
    return nats / num_bytes / math.log(2)


def perplexity(rows: list[Json], model: Any) -> float:  # noqa: ANN401 - any model
    """Perplexity of the learned tokens, in batches of rows of like length."""
    nats, count = 0.0, 0
    ordered = sorted(rows, key=lambda row: len(row["input_ids"]))
    for start in range(0, len(ordered), EVAL_BATCH):
        batch = ordered[start : start + EVAL_BATCH]
        width = len(batch[-1]["input_ids"])
        ids = torch.tensor([row["input_ids"] + [0] * (width - len(row["input_ids"])) for row in batch])
        labels = torch.tensor([row["labels"] + [-100] * (width - len(row["labels"])) for row in batch])
        with torch.inference_mode():
            logits = model(input_ids=ids).logits[:, :-1].flatten(0, 1)
        nats += float(torch.nn.functional.cross_entropy(logits, labels[:, 1:].flatten(), reduction="sum"))
        count += int((labels[:, 1:] != -100).sum())
    return math.exp(nats / count)


def weight_change(base: str, tuned: Any) -> float:  # noqa: ANN401 - any model
    """Relative Frobenius norm of the change of all weights."""
    before = dict(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).named_parameters())
    changed = total = 0.0
    for name, weight in tuned.named_parameters():
        changed += float((weight.detach().double() - before[name].detach().double()).square().sum())
        total += float(before[name].detach().double().square().sum())
    return math.sqrt(changed / total)


def do_run(plan: Json, run: Json, manager: TaskManager, known: dict[str, float]) -> Json:
    """All of one run, with the seconds of every stage."""
    clock = Clock()
    tuned, words, found = train(plan, run, clock)
    if run["adapter"] is not None:
        with clock.stage("measure"):
            tuned = tuned.merge_and_unload()
    with clock.stage("score"):
        found["scores"] = scores(plan, tuned.eval(), words, manager)
    with clock.stage("measure"):
        found["weight_change"] = weight_change(run["base"], tuned)
        if run["sample"] not in known:
            base = AutoModelForCausalLM.from_pretrained(run["base"], dtype=torch.float32).eval()
            known[run["sample"]] = perplexity(tokenised(run["examples"], words, plan["template"]), base)
        found["perplexity"] = known[run["sample"]]
    return {"run": run["run"], "method": run["method"], "wall": clock.wall, "cpu": clock.cpu, **found}


def do_base(plan: Json, base: str, manager: TaskManager) -> Json:
    """Scores of a base itself."""
    clock = Clock()
    with clock.stage("load"):
        words = AutoTokenizer.from_pretrained(base)
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    with clock.stage("score"):
        found = scores(plan, model, words, manager)
    return {"base": base, "wall": clock.wall, "cpu": clock.cpu, "scores": found}


def best_threads(plan: Json) -> dict[str, float]:
    """Seconds of one training with one thread and with one a core: medians of three in turn, after one for warmth."""
    choices = sorted({1, os.cpu_count() or 1})
    seconds: dict[int, list[float]] = {threads: [] for threads in choices}
    train(plan, plan["runs"][0], Clock())
    for _ in range(3):
        for threads in choices:
            torch.set_num_threads(threads)
            clock = Clock()
            train(plan, plan["runs"][0], clock)
            seconds[threads].append(clock.wall["train"])
    return {str(threads): statistics.median(values) for threads, values in seconds.items()}


def main() -> None:
    """Do the plan, and write what came out."""
    plan = json.loads(Path(sys.argv[1]).read_text())
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    datasets.disable_progress_bars()
    if plan["threads"] is None:
        tried = best_threads(plan)
        Path(sys.argv[2]).write_text(json.dumps({"threads_tried": tried}))
        return
    torch.set_num_threads(plan["threads"])
    clock, known = Clock(), dict[str, float]()
    with clock.stage("tasks"):
        manager = TaskManager(include_path=plan["tasks_folder"], include_defaults=False)
    bases, runs = [], []
    for base in plan["bases"]:
        bases.append(do_base(plan, base, manager))
    for run in plan["runs"]:
        runs.append(do_run(plan, {**run, "out": tempfile.mkdtemp(prefix="sftlab-peer-")}, manager, known))
        sys.stdout.write(f"  peer {len(runs)}/{len(plan['runs'])} {run['run']}\n")
        sys.stdout.flush()
    whole = time.perf_counter() - STARTED
    out = {"imports": IMPORT_SECONDS, "tasks": clock.wall["tasks"], "whole": whole, "bases": bases, "runs": runs}
    Path(sys.argv[2]).write_text(json.dumps(out))


if __name__ == "__main__":
    main()
