"""What a recipe may ask for: weighing of examples, sparing of norms, recomputing, rank-stabilised scale."""

import warnings

import pytest
import torch
from transformers import Trainer, TrainingArguments

from sftlab.errors import TrainingError
from sftlab.study.identity import digest
from sftlab.study.methods import Full, Lora
from sftlab.train.optimizer import make_optimizer
from tests.lm.models import MODELS, load
from tests.train.runs import FULL, data, spec, train


def _full(**changes):
    return Full(learning_rate=3e-3, batch_size=8, **changes)


def _losses(trained):
    return trained.rows["losses"]["loss"].to_list()


def _first_loss_by_hand(base, given, numbers):
    means = []
    for number in numbers:
        span = slice(given.train.offsets[number], given.train.offsets[number + 1])
        ids = torch.tensor(given.train.ids[span].astype("int64"))[None]
        labels = torch.where(torch.tensor(given.train.learned[span])[None], ids, -100)
        with torch.inference_mode():
            means.append(float(base.model(input_ids=ids, labels=labels).loss))
    return sum(means) / len(means)


def test_sequence_reduction_weighs_every_example_alike(bases, tmp_path):
    base = load(bases, "llama")
    given = data(base, tmp_path)
    run = spec(method=_full(reduction="sequence"))
    losses = {}
    for micro in (10_000, 60):
        losses[micro] = _losses(train(base, run, given, tmp_path / str(micro), max_micro_tokens=micro))
    assert losses[60] == pytest.approx(losses[10_000], rel=1e-5)
    assert losses[60] != pytest.approx(_losses(train(base, spec(), given, tmp_path / "tokens")), rel=1e-3)
    base.reset()
    from sftlab.train.order import epoch_batches

    first = epoch_batches(given.train, batch_size=8, seed=0, epoch=1)[0]
    assert len({int(given.train.learned_tokens[number]) for number in first}) > 1
    assert losses[10_000][0] == pytest.approx(_first_loss_by_hand(base, given, first), rel=1e-5)


@pytest.mark.parametrize("kind", MODELS)
def test_decay_of_matrices_spares_what_the_trainer_of_transformers_spares(kind, bases, tmp_path):
    base = load(bases, kind)
    weights = base.weights()
    optimizer = make_optimizer(weights, spec(method=_full(decay="matrices", weight_decay=0.1)))
    name_of = {id(weight): name for name, weight in weights.items()}
    decayed = {
        name_of[id(weight)]
        for group in optimizer.param_groups
        if group["weight_decay"] > 0
        for weight in group["params"]
    }
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to="none", weight_decay=0.1)
    theirs = set(Trainer(model=base.model, args=arguments).get_decay_parameter_names(base.model))
    # Theirs names a head that is tied to the embedding, which is one weight, once more.
    assert decayed == theirs & set(weights)
    assert decayed < set(weights)


def test_decay_of_all_pulls_at_everything(bases):
    weights = load(bases, "llama").weights()
    (group,) = make_optimizer(weights, spec(method=_full(weight_decay=0.1))).param_groups
    assert len(group["params"]) == len(weights)
    assert group["weight_decay"] == 0.1


def test_spared_norms_end_elsewhere_than_decayed_ones(bases, tmp_path):
    base = load(bases, "llama")
    given = data(base, tmp_path)
    norms = {}
    for decay in ("all", "matrices"):
        train(base, spec(method=_full(decay=decay, weight_decay=0.5)), given, tmp_path / decay)
        norms[decay] = float(base.weights()["model.norm.weight"].detach().mean())
    assert norms["matrices"] > norms["all"]


def test_recomputed_activations_are_no_other_recipe(bases, tmp_path):
    base = load(bases, "llama")
    given = data(base, tmp_path)
    again = spec(method=_full(gradient_checkpointing=True))
    assert digest(again.recipe) == digest(spec(method=_full()).recipe)
    usual = _losses(train(base, spec(method=_full()), given, tmp_path / "usual"))
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        losses = _losses(train(base, again, given, tmp_path / "again"))
    assert losses == pytest.approx(usual, rel=1e-6)
    assert not base.model.is_gradient_checkpointing


def test_every_choice_of_a_recipe_is_part_of_its_identity():
    plain = digest(spec(method=_full()).recipe)
    others = [_full(reduction="sequence"), _full(decay="matrices"), _full(weight_decay=0.1), _full(max_grad_norm=None)]
    assert len({plain, *(digest(spec(method=method).recipe) for method in others)}) == 5
    lora = Lora(adapter="lora", learning_rate=1e-3)
    stabilised = Lora(adapter="lora", learning_rate=1e-3, rank_stabilised=True)
    assert digest(spec(method=lora).recipe) != digest(spec(method=stabilised).recipe)


def test_steps_end_the_run_and_set_the_length_of_its_schedule(bases, tmp_path):
    base = load(bases, "llama")
    given = data(base, tmp_path)
    trained = train(base, spec(method=FULL, epochs=2, steps=8, schedule="linear", warmup_steps=0), given, tmp_path)
    rows = trained.rows["losses"]
    assert rows["epoch"].to_list() == [1] * 6 + [2] * 2
    assert rows["learning_rate"].to_list() == pytest.approx([3e-3 * (1 - done / 8) for done in range(8)])
    assert trained.rows["checkpoints"]["epoch"].to_list() == [1, 2]


def test_prompts_that_begin_twice_are_refused(bases, tmp_path):
    base = load(bases, "llama")
    given = data(base, tmp_path)
    assert given.train.ids[0] == base.tokenizer.bos_token_id
    ids = given.train.ids.copy()
    ids[given.train.offsets[3] + 1] = base.tokenizer.bos_token_id
    import dataclasses

    broken = dataclasses.replace(given, train=dataclasses.replace(given.train, ids=ids))
    with pytest.raises(TrainingError, match="1 of 48 prompts begin with two beginning-of-sequence tokens"):
        train(base, spec(), broken, tmp_path)


def test_double_beginning_inside_an_example_is_refused(bases, tmp_path):
    base = load(bases, "llama")
    given = data(base, tmp_path)
    ids = given.train.ids.copy()
    start = given.train.offsets[3]
    ids[start + 4 : start + 6] = base.tokenizer.bos_token_id
    # One that ends an example stands beside the first token of the next.
    ids[given.train.offsets[8] - 1] = base.tokenizer.bos_token_id
    import dataclasses

    broken = dataclasses.replace(given, train=dataclasses.replace(given.train, ids=ids))
    with pytest.raises(TrainingError, match="1 of 48 examples have two beginning-of-sequence tokens"):
        train(base, spec(), broken, tmp_path)
