"""What a run keeps and reports, and that how it is carried out does not bear on its result."""

import json
import math

import numpy as np
import pytest
import torch

from sftlab.errors import ModelError, TrainingError
from sftlab.lm import example_loss
from sftlab.lm.encoding import EncodingRecipe, encode_examples
from sftlab.lm.ranks import Ranks
from sftlab.study.declaration import Precision
from sftlab.study.methods import Full, Lora
from sftlab.study.run import RunSeeds
from sftlab.train import RunData, RunFiles, TrainControl, optimizer_step, train_run, validate_run
from sftlab.train.optimizer_step import GradientAccumulator
from sftlab.train.validation import held_out_loss
from tests.lm.models import MODELS, load
from tests.train.runs import FULL, LORA, data, spec, train


def _losses(trained) -> list[float]:
    return trained.rows["losses"]["loss"].to_list()


@pytest.mark.parametrize("method", [FULL, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("kind", MODELS)
def test_accumulation_changes_nothing(method, kind, bases, tmp_path):
    base = load(bases, kind)
    given = data(base, tmp_path)
    run = spec(method=method)
    at_once = train(base, run, given, tmp_path / "one")
    weights = {name: weight.clone() for name, weight in base.weights().items()}
    in_parts = train(base, run, given, tmp_path / "many", max_micro_tokens=1)
    assert _losses(in_parts) == pytest.approx(_losses(at_once), rel=1e-5)
    for name, weight in base.weights().items():
        assert torch.allclose(weight, weights[name], atol=1e-5), name


def test_loss_is_per_learned_token_of_the_whole_step(bases, tmp_path):
    base = load(bases, "gpt2")
    given = data(base, tmp_path, count=8)
    trained = train(base, spec(epochs=1), given, tmp_path, max_micro_tokens=60)
    base.reset()
    total = 0.0
    for start, end in zip(given.train.offsets[:-1], given.train.offsets[1:], strict=True):
        ids = torch.tensor(given.train.ids[start:end].astype(np.int64))[None]
        labels = torch.where(torch.tensor(given.train.learned[start:end]), ids[0], -100)[None]
        learned = int(given.train.learned[start:end].sum())
        total += float(base.model(input_ids=ids, labels=labels).loss) * learned
    assert _losses(trained)[0] == pytest.approx(total / given.train.learned.sum(), rel=1e-5)


def test_result_counts_what_was_trained(bases, tmp_path):
    base = load(bases, "neox")
    given = data(base, tmp_path, count=21, max_tokens=70, overflow="drop")
    assert len(given.train.dropped) > 0
    trained = train(base, spec(epochs=3), given, tmp_path)
    kept = len(given.train)
    assert trained.result["examples"] == kept
    assert trained.result["dropped"] == 21 - kept
    assert trained.result["steps"] == 3 * math.ceil(kept / 8)
    assert trained.result["tokens"] == 3 * len(given.train.ids)
    assert trained.result["learned_tokens"] == 3 * given.train.learned.sum()
    assert trained.rows["losses"]["step"].to_list() == list(range(1, trained.result["steps"] + 1))
    assert trained.rows["losses"].group_by("epoch").sum()["tokens"].to_list() == [len(given.train.ids)] * 3


@pytest.mark.parametrize("method", [FULL, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("kind", MODELS)
def test_checkpoint_is_what_the_base_holds_after_the_run(method, kind, bases, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = load(bases, kind)
    trained = train(base, spec(method=method), data(base, tmp_path), tmp_path)
    held = {name: weight.clone() for name, weight in base.weights().items()}
    last = tmp_path / "checkpoints" / "epoch-2"
    size = sum(path.stat().st_size for path in last.iterdir())
    assert trained.rows["checkpoints"].row(1) == (2, size)
    assert not any(weight.requires_grad for weight in base.weights().values())
    assert not any(module._forward_hooks for module in base.model.modules())
    base.load_checkpoint(last)
    for name, weight in base.weights().items():
        assert torch.equal(weight, held[name]), name
    assert json.loads((last / "sft_template.json").read_text())["name"] == "question_answer"
    if method is FULL:
        elsewhere = AutoModelForCausalLM.from_pretrained(last)
        assert all(torch.equal(weight, held[name]) for name, weight in elsewhere.named_parameters())
        assert AutoTokenizer.from_pretrained(last)("the cat").input_ids == base.tokenizer("the cat").input_ids


def test_base_says_that_it_holds_tuned_weights(bases, tmp_path):
    base = load(bases, "llama")
    train(base, spec(), data(base, tmp_path), tmp_path)
    assert base.holding == "tiny after epoch 2"
    base.load_checkpoint(tmp_path / "checkpoints" / "epoch-1")
    assert base.holding == str(tmp_path / "checkpoints" / "epoch-1")
    base.reset()
    assert base.holding is None


def test_checkpoint_that_is_not_wanted_is_not_written(bases, tmp_path):
    base = load(bases, "llama")
    given = data(base, tmp_path)
    wanted = RunFiles(tmp_path / "working", lambda epoch: tmp_path / "last" if epoch == 2 else None)
    trained = train_run(base, spec(), given, files=wanted, control=TrainControl())
    assert trained.rows["checkpoints"]["epoch"].to_list() == [2]
    assert (tmp_path / "last" / "model.safetensors").is_file()


def test_validation_is_that_of_transformers_before_and_after(bases, tmp_path):
    base = load(bases, "neox")
    given = data(base, tmp_path)
    validation = train(base, spec(), given, tmp_path).rows["validation"]
    assert validation["epoch"].to_list() == [0, 1, 2]
    assert validation["loss"].is_sorted(descending=True)
    held_out = given.held_out
    for place, epoch in ((0, None), (2, "epoch-2")):
        base.reset()
        if epoch is not None:
            base.load_checkpoint(tmp_path / "checkpoints" / epoch)
        nats, in_response, num_bytes = [], [], held_out.response_bytes
        for start, end in zip(held_out.offsets[:-1], held_out.offsets[1:], strict=True):
            ids = torch.tensor(held_out.ids[start:end].astype(np.int64))
            with torch.inference_mode():
                log_probabilities = base.model(input_ids=ids[None]).logits[0, :-1].log_softmax(-1)
            losses = -log_probabilities.gather(1, ids[1:, None])[:, 0].double().numpy()
            nats.append(losses[held_out.learned[start + 1 : end]].sum())
            in_response.append(losses[held_out.response[start + 1 : end]].sum())
        row = validation.row(place, named=True)
        assert row["loss"] == pytest.approx(sum(nats) / held_out.learned.sum(), rel=1e-5)
        assert row["bits_per_byte"] == pytest.approx(sum(in_response) / num_bytes.sum() / math.log(2), rel=1e-5)
        assert (row["n"], row["num_tokens"]) == (8, held_out.learned.sum())
        jackknife = np.array(
            [(sum(in_response) - in_response[n]) / (num_bytes.sum() - num_bytes[n]) / math.log(2) for n in range(8)]
        )
        assert row["se"] == pytest.approx(math.sqrt(7 / 8 * ((jackknife - jackknife.mean()) ** 2).sum()), rel=0.2)


def test_run_without_held_out_examples_has_no_validation(bases, tmp_path):
    base = load(bases, "llama")
    trained = train(base, spec(validation=0.0), data(base, tmp_path, held_out=0), tmp_path)
    assert trained.rows["validation"].is_empty()


def test_band_of_layers_changes_only_its_layers(bases, tmp_path):
    base = load(bases, "llama")
    run = spec(method=Full(learning_rate=1e-2, batch_size=8, layers=(0.4, 1.0)))
    rows = train(base, run, data(base, tmp_path), tmp_path).rows["layers"]
    last = rows.filter(rows["epoch"] == 2)
    changed = {(row["layer"], row["part"]) for row in last.iter_rows(named=True) if row["change_norm"] > 0}
    assert {layer for layer, _ in changed} == {None, 1, 2}
    assert {part for layer, part in changed if layer is None} == {"all"}


def test_band_without_layers_is_refused(bases, tmp_path):
    base = load(bases, "llama")
    run = spec(method=Full(batch_size=8, layers=(0.6, 0.9)))
    with pytest.raises(TrainingError, match=r"no layer has a depth in \[0.6, 0.9\]: the model has 3 layers"):
        train(base, run, data(base, tmp_path), tmp_path)


def test_lora_target_that_is_missing_is_refused(bases, tmp_path):
    base = load(bases, "gpt2")
    run = spec(method=Lora(adapter="lora", targets=("q_proj",)))
    with pytest.raises(ModelError, match="q_proj"):
        train(base, run, data(base, tmp_path), tmp_path)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [((0, 0), (0, 0), True), ((0, 0), (1, 0), False), ((0, 0), (0, 1), False)],
    ids=["same", "order", "init"],
)
def test_seeds_of_order_and_start_are_apart(one, other, same, bases, tmp_path):
    base = load(bases, "llama")
    given = data(base, tmp_path)
    found = []
    for number, (order, init) in enumerate((one, other)):
        torch.manual_seed(number)
        run = spec(method=LORA, seeds=RunSeeds(sample=0, order=order, init=init))
        found.append(_losses(train(base, run, given, tmp_path / str(number))))
    assert (found[0] == found[1]) is same
    if other[0] == 0:
        assert found[0][0] == found[1][0]


def test_dropout_of_the_base_follows_the_order_seed(bases, tmp_path):
    base = load(bases, "gpt2")
    for module in base.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.2
    given = data(base, tmp_path)
    first, second = (_losses(train(base, spec(), given, tmp_path / name)) for name in "ab")
    state = torch.get_rng_state()
    train(base, spec(), given, tmp_path / "c")
    assert first == second
    assert torch.equal(torch.get_rng_state(), state)
    for module in base.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    assert _losses(train(base, spec(), given, tmp_path / "d")) != first


def test_trial_stops_early_and_sees_the_longest_examples_first(bases, tmp_path):
    base = load(bases, "llama")
    given = data(base, tmp_path)
    trained = train(base, spec(), given, tmp_path, max_steps=2)
    longest = np.sort(given.train.lengths)[::-1]
    assert trained.rows["losses"]["tokens"].to_list() == [longest[:8].sum(), longest[8:16].sum()]


def test_progress_counts_to_the_end(bases, tmp_path):
    base = load(bases, "llama")
    seen = []
    train(base, spec(), data(base, tmp_path), tmp_path, on_progress=seen.append)
    assert [progress.step for progress in seen] == list(range(1, 13))
    assert {(progress.epochs, progress.steps) for progress in seen} == {(2, 12)}
    assert all(math.isfinite(progress.loss) for progress in seen)


def _short_of_memory_above(limit: int, monkeypatch, place=optimizer_step) -> list[int]:
    """Let passes of more padded tokens than `limit` run out of memory; returns the sizes tried."""
    tried: list[int] = []
    whole = place.token_losses

    def limited(base, batch, *, plain_head):
        tried.append(batch.ids.numel())
        if batch.ids.numel() > limit:
            raise torch.OutOfMemoryError("out of memory")
        return whole(base, batch, plain_head=plain_head)

    monkeypatch.setattr(place, "token_losses", limited)
    return tried


def test_validation_that_runs_out_of_memory_is_done_in_parts(bases, tmp_path, monkeypatch):
    given = data(load(bases, "llama"), tmp_path, count=16, held_out=40)
    usual = held_out_loss(load(bases, "llama"), given.held_out, max_tokens=9999)
    tried = _short_of_memory_above(200, monkeypatch, example_loss)
    found = held_out_loss(load(bases, "llama"), given.held_out, max_tokens=9999)
    assert max(tried) > 200
    assert (found.loss, found.bits_per_byte, found.se) == pytest.approx(
        (usual.loss, usual.bits_per_byte, usual.se), rel=1e-5
    )


@pytest.mark.parametrize("method", [FULL, LORA], ids=["full", "lora"])
def test_recomputed_activations_give_the_same_gradients(method, bases, tmp_path, monkeypatch):
    base = load(bases, "llama")
    given = data(base, tmp_path)
    usual = _losses(train(base, spec(method=method), given, tmp_path / "usual"))
    start = GradientAccumulator.__init__

    def recomputing(self, *args, **kwargs):
        start(self, *args, **kwargs)
        self.recompute_activations()

    monkeypatch.setattr(GradientAccumulator, "__init__", recomputing)
    assert _losses(train(base, spec(method=method), given, tmp_path / "again")) == pytest.approx(usual, rel=1e-6)


def test_mixed_precision_is_close_to_float32_and_not_equal(bases, tmp_path):
    exact = load(bases, "llama")
    mixed = load(bases, "llama", weights="float32", compute="bfloat16")
    given = data(exact, tmp_path)
    one = _losses(train(exact, spec(), given, tmp_path / "one"))
    run = spec(precision=Precision(weights="float32", compute="bfloat16"))
    other = _losses(train(mixed, run, given, tmp_path / "two"))
    assert other == pytest.approx(one, rel=0.02)
    assert other != one


@pytest.mark.parametrize("method", [FULL, LORA], ids=["full", "lora"])
def test_pure_bfloat16_trains(method, bases, tmp_path):
    base = load(bases, "llama", weights="bfloat16", compute="bfloat16")
    run = spec(method=method, precision=Precision(weights="bfloat16", compute="bfloat16"))
    trained = train(base, run, data(base, tmp_path), tmp_path)
    assert trained.result["loss_last"] < trained.result["loss_first"]


def test_nothing_to_learn_is_refused_with_the_reason(bases, tmp_path):
    base = load(bases, "llama")
    given = data(base, tmp_path, max_tokens=4)
    with pytest.raises(TrainingError, match=r"none of the 48 examples.*none of its first 4 tokens is learned"):
        validate_run(base, spec(), given.train)


def test_end_that_is_never_learned_is_refused(bases, tmp_path):
    from sftlab.data.example import Example, Turn

    base = load(bases, "neox")
    long = [Example((Turn("user", "a?"), Turn("assistant", "cat " * 30)), n) for n in range(4)]
    encoded = encode_examples(long, base, recipe=EncodingRecipe(max_tokens=60), folder=tmp_path)
    with pytest.raises(TrainingError, match="end its answer"):
        train(base, spec(), RunData(encoded, encoded), tmp_path)


class _OneOfTwo(Ranks):
    """A rank whose partner goes in the first step, when its weights are whole and can no longer be parted."""

    count = 2
    alone = False

    def total(self, value: torch.Tensor) -> torch.Tensor:
        del value
        self.alone = True
        raise RuntimeError("[gloo] connection closed by peer")

    def own(self, weight: torch.Tensor) -> torch.Tensor:
        return weight.detach()[: len(weight) // 2] if self.alone else weight.detach()


def test_rank_that_misses_another_says_so_and_nothing_else(bases, tmp_path):
    base = load(bases, "llama")
    base.ranks = _OneOfTwo()
    with pytest.raises(RuntimeError, match="closed by peer"):
        train(base, spec(method=FULL), data(base, tmp_path), tmp_path)
