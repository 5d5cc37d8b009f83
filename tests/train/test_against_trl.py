"""Losses, gradient norms and rates of every step, and the final weights, against TRL's SFTTrainer and PEFT.

The cases of tokenizers, methods, schedules, accumulation, left-over batches and turns cover every pair of values.
"""

import itertools
import random
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
import peft
import pytest
import torch

from sftlab.data.example import Example, Turn
from sftlab.data.reading import read_dataset
from sftlab.lm.adapters import inject_lora
from sftlab.lm.base import LoadedBase, load_base
from sftlab.lm.encoding import EncodedExamples, EncodingRecipe, encode_examples
from sftlab.study.declaration import BaseRef, DatasetRef, Precision
from sftlab.study.methods import Full, Lora
from sftlab.study.run import RunSpec
from sftlab.train import RunData
from tests.lm.models import CHATML, TOKENIZERS, WORDS, byte_level_tokenizer, examples, load, tiny_model
from tests.train.runs import FULL, LORA, data, spec, train
from tests.train.witness import TrlOptions, masked_rows, trl_run

TOKENIZERS_TRAINED = {
    **TOKENIZERS,
    "byte_level": lambda: byte_level_tokenizer(pad_token="<s>"),
    "pad_is_eos": lambda: byte_level_tokenizer(pad_token="</s>"),
}
WITH_TURNS = "{% if bos_token %}{{ bos_token }}{% endif %}" + CHATML.replace(
    "{{ message.content }}<|im_end|>",
    "{% if message.role == 'assistant' %}{% generation %}{{ message.content }}<|im_end|>{% endgeneration %}"
    "{% else %}{{ message.content }}<|im_end|>{% endif %}",
)


@dataclass(frozen=True)
class Case:
    tokenizer: str
    method: str
    schedule: str
    accumulation: int
    left_over: int
    turns: int

    def __str__(self) -> str:
        return "-".join(str(value) for value in astuple(self))


CASES = [
    Case("byte_level", "full", "constant", 1, 0, 1),
    Case("byte_level", "lora", "cosine", 4, 5, 3),
    Case("pad_is_eos", "lora", "constant", 1, 5, 3),
    Case("pad_is_eos", "full", "cosine", 4, 0, 1),
    Case("metaspace", "full", "cosine", 1, 5, 1),
    Case("metaspace", "lora", "constant", 4, 0, 3),
    Case("unigram", "lora", "cosine", 1, 0, 1),
    Case("unigram", "full", "constant", 4, 5, 3),
    Case("character", "full", "constant", 4, 5, 3),
    Case("character", "lora", "cosine", 1, 0, 1),
]
LEGAL = [set(TOKENIZERS_TRAINED), {"full", "lora"}, {"constant", "cosine"}, {1, 4}, {0, 5}, {1, 3}]


def test_cases_cover_every_pair_of_values():
    for one, other in itertools.combinations(range(len(fields(Case))), 2):
        tried = {(astuple(case)[one], astuple(case)[other]) for case in CASES}
        assert tried == set(itertools.product(LEGAL[one], LEGAL[other]))


def conversations(count: int, turns: int, *, seed: int = 0) -> list[Example]:
    """Conversations of one to `turns` questions and answers, every third with a system text if `turns` > 1."""
    generator = random.Random(seed)

    def words(most: int) -> str:
        return " ".join(generator.choices(WORDS, k=generator.randint(1, most)))

    made = []
    for index in range(count):
        said = [Turn("system", words(4) + ".")] if turns > 1 and index % 3 == 0 else []
        for _ in range(generator.randint(1, turns)):
            said += [Turn("user", words(6) + "?"), Turn("assistant", words(6) + ".")]
        made.append(Example(tuple(said), index))
    return made


@pytest.fixture(scope="module")
def base_of(tmp_path_factory):
    """A Llama with one of the tokenizers, read anew from its folder at every call."""
    folder = tmp_path_factory.mktemp("witnessed")

    def read(kind: str, precision: Precision | None = None) -> LoadedBase:
        target = folder / kind
        if not target.is_dir():
            tokenizer = TOKENIZERS_TRAINED[kind]()
            tokenizer.chat_template = WITH_TURNS
            model = tiny_model("llama", vocabulary=len(tokenizer), positions=512)
            model.config.eos_token_id = model.generation_config.eos_token_id = tokenizer.eos_token_id
            model.config.pad_token_id = tokenizer.pad_token_id
            model.save_pretrained(target)
            tokenizer.save_pretrained(target)
        return load_base(BaseRef(name=kind, model=str(target)), device="cpu", precision=precision or Precision())

    return read


def assert_equals_trl(
    bases: tuple[LoadedBase, LoadedBase], given: RunData, run: RunSpec, folder: Path, **options
) -> None:
    """Train the first base here and the second, as it was, with TRL; all that is seen of both must agree."""
    base, reference = bases
    model = _trainable(base, reference, run, folder)
    ours = train(base, run, given, folder, max_micro_tokens=100)
    theirs = trl_run(reference, model, given.train, run, TrlOptions(folder, **options))
    rows = ours.rows["losses"]
    assert rows["loss"].to_list() == pytest.approx(theirs.losses, rel=1e-4)
    assert rows["grad_norm"].to_list() == pytest.approx(theirs.grad_norms, rel=1e-3)
    assert rows["learning_rate"].to_list() == pytest.approx(theirs.rates, rel=1e-9, abs=1e-12)
    if isinstance(run.method, Lora):
        model.merge_and_unload()
    moved = 0.0
    for name, weight in base.weights().items():
        assert torch.allclose(weight, reference.weights()[name], rtol=0.0, atol=1e-5), name
        moved = max(moved, float((weight - base.pristine[name]).abs().max()))
    assert moved > 1e-3


def _trainable(base: LoadedBase, reference: LoadedBase, run: RunSpec, folder: Path) -> torch.nn.Module:
    if isinstance(run.method, Full):
        return reference.model.requires_grad_(True)
    start = inject_lora(base.model, run.method, seed=run.seeds.init, base_model="tiny")
    (folder / "start").mkdir()
    start.save(folder / "start")
    start.unload()
    return peft.PeftModel.from_pretrained(reference.model, folder / "start", is_trainable=True)


def _encoded(base: LoadedBase, made: list[Example], folder: Path, **recipe) -> EncodedExamples:
    return encode_examples(made, base, recipe=EncodingRecipe(**recipe), folder=folder / "tokens")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_run_equals_trl(case, base_of, tmp_path):
    base = base_of(case.tokenizer)
    made = conversations(16 + case.left_over, case.turns)
    given = RunData(*(_encoded(base, part, tmp_path, template="question_answer") for part in (made, [])))
    run = spec(
        method=FULL if case.method == "full" else LORA,
        schedule=case.schedule,
        warmup_steps=2 if case.schedule == "cosine" else 0,
        template="question_answer",
    )
    options = {
        "accumulation": case.accumulation,
        "mask": "assistant_masks" if case.turns > 1 else "completion_mask",
    }
    assert_equals_trl((base, base_of(case.tokenizer)), given, run, tmp_path, **options)


@pytest.mark.parametrize(("kind", "method", "schedule"), [("gpt2", FULL, "linear"), ("neox", LORA, "constant")])
def test_run_of_another_architecture_equals_trl(kind, method, schedule, bases, tmp_path):
    base = load(bases, kind)
    given = data(base, tmp_path, count=20)
    run = spec(method=method, schedule=schedule)
    assert_equals_trl((base, load(bases, kind)), given, run, tmp_path, accumulation=2)


OPTIONS = {
    "decay_of_all": (LORA, {"weight_decay": 0.3}, {}),
    "decay_that_spares_norms": (FULL, {"weight_decay": 0.3, "decay": "matrices"}, {}),
    "clipping": (LORA, {"max_grad_norm": 0.05}, {}),
    "rank_stabilised": (LORA, {"rank_stabilised": True}, {}),
    "warmup_stable_decay": (FULL, {}, {"schedule": "wsd", "warmup_steps": 1, "decay_steps": 3}),
    "moments_in_eight_bits": (FULL, {"optimizer": "adamw_8bit"}, {}),
    "moments": (FULL, {"betas": (0.8, 0.95), "epsilon": 1e-4}, {}),
}


@pytest.mark.parametrize("option", OPTIONS)
def test_option_of_a_recipe_equals_that_of_trl(option, base_of, tmp_path):
    base = base_of("metaspace")
    given = data(base, tmp_path, count=20, template="question_answer")
    method, changes, of_run = OPTIONS[option]
    run = spec(method=type(method)(**{**method.model_dump(), **changes}), template="question_answer", **of_run)
    assert_equals_trl((base, base_of("metaspace")), given, run, tmp_path, accumulation=2)


def test_run_that_learns_all_text_equals_trl(base_of, tmp_path):
    base = base_of("byte_level")
    given = RunData(
        *(_encoded(base, part, tmp_path, template="question_answer", loss_on="all") for part in (examples(21), []))
    )
    run = spec(template="question_answer", loss_on="all")
    assert_equals_trl((base, base_of("byte_level")), given, run, tmp_path, mask=None, accumulation=4)


def test_run_that_computes_in_bfloat16_is_as_close_to_trl_as_rounding_allows(base_of, tmp_path):
    precision = Precision(weights="float32", compute="bfloat16")
    base, exact = base_of("metaspace", precision), base_of("metaspace")
    given = data(base, tmp_path, count=21, template="question_answer")
    run = spec(precision=precision, template="question_answer")
    ours = train(base, run, given, tmp_path / "mixed").rows["losses"]["loss"].to_numpy()
    single = (
        train(exact, spec(template="question_answer"), given, tmp_path / "single").rows["losses"]["loss"].to_numpy()
    )
    reference = base_of("metaspace")
    options = TrlOptions(tmp_path, accumulation=2, bf16=True)
    theirs = trl_run(reference, reference.model.requires_grad_(True), given.train, run, options)
    rounding = np.abs(np.array(theirs.losses) - single).max()
    assert 0 < np.abs(ours - single).max() <= 3 * rounding
    assert np.abs(ours - np.array(theirs.losses)).max() <= 3 * rounding
    for weight in base.weights().values():
        assert weight.dtype == torch.float32


def test_run_of_a_pretrained_model_on_real_data_equals_trl(shared, tmp_path):
    folder = shared / "weights" / "stories260K"
    made = list(
        read_dataset(DatasetRef(path=str(shared / "data" / "sft" / "alpaca.json")), name="alpaca").examples[:21]
    )
    base, reference = (
        load_base(BaseRef(name="stories", model=str(folder)), device="cpu", precision=Precision()) for _ in range(2)
    )
    recipe = {"template": "question_answer", "max_tokens": 128}
    given = RunData(*(_encoded(base, part, tmp_path, **recipe) for part in (made, [])))
    run = spec(method=FULL.model_copy(update={"learning_rate": (1e-3,)}), **recipe)
    assert_equals_trl((base, reference), given, run, tmp_path, accumulation=4)


def _prepared_by_trl(base: LoadedBase, rows: list[dict], folder: Path, **options) -> list[dict[str, list[int]]]:
    import datasets
    import trl

    arguments = trl.SFTConfig(
        output_dir=str(folder), use_cpu=True, bf16=False, report_to="none", max_length=None, **options
    )
    trainer = trl.SFTTrainer(
        model=base.model,
        args=arguments,
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=base.tokenizer,
    )
    return [{"input_ids": row["input_ids"], "labels": row["labels"]} for row in trainer.train_dataset]


def _prepared_here(encoded: EncodedExamples) -> list[dict[str, list[int]]]:
    rows = masked_rows(encoded, "learned")
    return [
        {
            "input_ids": row["input_ids"],
            "labels": [
                token if learned else -100 for token, learned in zip(row["input_ids"], row["learned"], strict=True)
            ],
        }
        for row in rows
    ]


@pytest.mark.parametrize("kind", TOKENIZERS_TRAINED)
def test_tokens_and_labels_of_prompt_and_completion_are_those_of_trl(kind, base_of, tmp_path):
    base = base_of(kind)
    made = examples(8)
    rows = [
        {"prompt": f"###Question: {question.content}\n###Answer: ", "completion": answer.content}
        for question, answer in (example.turns for example in made)
    ]
    ours = _prepared_here(_encoded(base, made, tmp_path, template="question_answer"))
    assert ours == _prepared_by_trl(base, rows, tmp_path)


@pytest.mark.parametrize("kind", TOKENIZERS_TRAINED)
def test_tokens_and_labels_of_conversations_are_those_of_trl(kind, base_of, tmp_path):
    base = base_of(kind)
    made = conversations(8, 3)
    rows = [{"messages": [{"role": turn.role, "content": turn.content} for turn in example.turns]} for example in made]
    ours = _prepared_here(_encoded(base, made, tmp_path, template="chat"))
    theirs = _prepared_by_trl(base, rows, tmp_path, assistant_only_loss=True)
    assert ours == theirs
