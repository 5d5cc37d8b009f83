"""What the pocket bases know: bits per byte of unseen text beside two models that know nothing of order."""

import dataclasses
import itertools
import logging
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sftlab.pocket.catalogue import POCKET_BASES
from sftlab.pocket.domains import DOMAINS, Cloze, Domain, Question, draw_questions
from sftlab.pocket.mixtures import MIXTURES, documents
from sftlab.pocket.training import Recipe, document_tokens
from sftlab.pocket.world import World

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

_UNIGRAM_DOCUMENTS = 4000
_HELD_OUT_DOCUMENTS = 100
_KNOWN_QUESTIONS = 150
_log = logging.getLogger(__name__)

_INTRODUCTION = """# The pocket bases

Four language models of about a third of a million parameters each, pretrained from nothing on the pocket world: two
architectures times two mixtures of text. They were made by `python -m sftlab.pocket.pretrain --out DIR`, which makes
the same ones again on the same processor and versions; others round differently and give other last digits.

{steps} steps of {rows} rows of 256 tokens; AdamW at a peak rate of {learning_rate:g} with {warmup_steps} steps of
warm-up and a cosine down to {final_share:.0%} of it, weight decay {weight_decay:g}, betas {betas}; float32, one thread,
five to eight minutes a base on one core. On disk the weights are float16; the configuration asks for float32.
Licence: that of the project; no text or weights of others are in them.

- `llama-*`: Llama architecture, byte-level byte-pair encoding of 512 tokens; the tokenizer puts a beginning-of-sequence
  token `<s>` first.
- `neox-*`: GPT-NeoX architecture, the same kind of encoding with 768 tokens; no beginning-of-sequence token is added.

Both have the end-of-sequence token `</s>` and a padding token apart from it; every digit is one token; the context is
256 tokens. No text of pretraining is in the template of fine-tuning.

Share of each domain in the bytes of the pretraining text:

{shares}

Below, bits per byte of 100 documents of each domain that are in no pretraining text (the facts in them are), beside a
unigram model (token frequencies of the base's own pretraining text) and a uniform one over the vocabulary; and of 150
benchmark questions in the words of pretraining, before any tuning: the share answered by greedy decoding, and the share
whose answer is the likeliest choice (in brackets: what guessing gets). Much of a text cannot be foreseen by any model,
such as which numbers are added: the bits per byte have a floor well above zero.
"""
_TABLE_HEAD = (
    "| domain | bits per byte | unigram | uniform | answered | chosen (chance) |",
    "|---|---|---|---|---|---|",
)


@dataclass(frozen=True)
class CodeLength:
    """Bits per byte of unseen documents of one domain (n documents pooled), ends of documents included.

    `model` is the base; `unigram` knows the token frequencies of the base's own pretraining text and no more;
    `uniform` gives each token of the vocabulary the same probability. All three read the same tokens.
    """

    domain: str
    n: int
    model: float
    unigram: float
    uniform: float


@dataclass(frozen=True)
class Known:
    """What a base knows of a domain before any tuning, from n benchmark questions put as plain text.

    `greedy` is the share whose every answer token is the likeliest one; of the questions with choices, `accuracy` is
    the share whose answer is the likeliest choice, and `chance` what guessing gets.
    """

    domain: str
    n: int
    greedy: float
    accuracy: float | None
    chance: float | None


def load(folder: Path) -> tuple["PreTrainedModel", "PreTrainedTokenizerFast"]:
    """A pocket base and its tokenizer in float32."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    return model.train(mode=False), tokenizer


def held_out_documents(world: World, domain: str, count: int = _HELD_OUT_DOCUMENTS) -> list[str]:
    """Documents of one domain drawn apart from all pretraining text; facts are the same facts in another order."""
    return list(itertools.islice(documents(world, {domain: 1.0}, purpose="held_out"), count))


def unigram_nats(world: World, mixture: str, tokenizer: "PreTrainedTokenizerFast") -> list[float]:
    """Negative log-probability of each token, from its frequency in pretraining text (one added to every count)."""
    texts = list(itertools.islice(documents(world, MIXTURES[mixture], purpose="pretraining"), _UNIGRAM_DOCUMENTS))
    counts = Counter(itertools.chain.from_iterable(document_tokens(texts, tokenizer)))
    total = counts.total() + len(tokenizer)
    return [math.log(total / (counts[token] + 1)) for token in range(len(tokenizer))]


def token_nats(model: "PreTrainedModel", ids: Sequence[int]) -> list[float]:
    """Negative log-probability of each token but the first."""
    import torch

    row = torch.tensor([list(ids)])
    with torch.inference_mode():
        log_probability = model(input_ids=row).logits[0, :-1].log_softmax(-1)
    return [-nats for nats in log_probability.gather(1, row[0, 1:, None])[:, 0].tolist()]


def _start(tokenizer: "PreTrainedTokenizerFast", ids: list[int]) -> list[int]:
    """A text is read after a beginning of sequence, or after the end of the one before where there is no such token."""
    return ids if ids[0] == tokenizer.bos_token_id else [tokenizer.eos_token_id, *ids]


def code_length(folder: Path, domain: str, *, world: World, mixture: str) -> CodeLength:
    """Measure one base on one domain."""
    model, tokenizer = load(folder)
    frequency = unigram_nats(world, mixture, tokenizer)
    texts = held_out_documents(world, domain)
    nats, unigram, tokens = 0.0, 0.0, 0
    for ids in document_tokens(texts, tokenizer):
        read = _start(tokenizer, ids)
        nats += sum(token_nats(model, read))
        unigram += sum(frequency[token] for token in read[1:])
        tokens += len(read) - 1
    bits = math.log(2) * sum(len(text.encode()) for text in texts)
    return CodeLength(domain, len(texts), nats / bits, unigram / bits, tokens * math.log(len(tokenizer)) / bits)


def known(folder: Path, domain: Domain, *, world: World, count: int = _KNOWN_QUESTIONS) -> Known:
    """Ask a base the benchmark's questions in the words of its pretraining text."""
    model, tokenizer = load(folder)
    questions = draw_questions(domain, world, held_out=True, count=count)
    greedy = sum(_is_greedy(model, tokenizer, question.cloze) for question in questions)
    with_choices = [question for question in questions if question.cloze.end in question.choices]
    if not with_choices:
        return Known(domain.name, count, greedy / count, None, None)
    right = sum(_likeliest_choice(model, tokenizer, question) == question.answer for question in with_choices)
    chance = sum(1 / len(question.choices) for question in with_choices)
    return Known(domain.name, count, greedy / count, right / len(with_choices), chance / len(with_choices))


def _is_greedy(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerFast", cloze: Cloze) -> bool:
    import torch

    whole = tokenizer(f"{cloze.start} {cloze.end}")["input_ids"]
    start = len(tokenizer(cloze.start)["input_ids"])
    with torch.inference_mode():
        best = model(input_ids=torch.tensor([whole])).logits[0, :-1].argmax(-1).tolist()
    return bool(best[start - 1 :] == whole[start:])


def _likeliest_choice(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerFast", question: Question) -> str:
    start = len(tokenizer(question.cloze.start)["input_ids"])

    def nats(choice: str) -> float:
        return sum(token_nats(model, tokenizer(f"{question.cloze.start} {choice}")["input_ids"])[start - 1 :])

    return min(question.choices, key=nats)


def write_readme(out: Path, *, world: World, recipe: Recipe) -> Path:
    """Measure every base and write how they were made and what came out as `README.md` beside them."""
    lines = [_INTRODUCTION.format(shares=_shares_table(), **dataclasses.asdict(recipe))]
    for base in POCKET_BASES.values():
        _log.info("measuring %s", base.name)
        folder = out / base.name
        num_parameters = sum(weights.numel() for weights in load(folder)[0].parameters())
        lines += [f"## {base.name}", "", f"{num_parameters:,} parameters.", "", *_TABLE_HEAD]
        for domain in DOMAINS.values():
            length = code_length(folder, domain.name, world=world, mixture=base.mixture)
            lines.append(_table_row(length, known(folder, domain, world=world)))
        lines.append("")
    readme = out / "README.md"
    readme.write_text("\n".join(lines).rstrip() + "\n")
    return readme


def _shares_table() -> str:
    head = f"| mixture | {' | '.join(DOMAINS)} |\n|---|{'---|' * len(DOMAINS)}"
    rows = (
        f"| {name} | {' | '.join(f'{shares[each]:.0%}' for each in DOMAINS)} |" for name, shares in MIXTURES.items()
    )
    return "\n".join((head, *rows))


def _table_row(length: CodeLength, knows: Known) -> str:
    choice = "-" if knows.accuracy is None or knows.chance is None else f"{knows.accuracy:.0%} ({knows.chance:.0%})"
    return (
        f"| {length.domain} | {length.model:.2f} | {length.unigram:.2f} | {length.uniform:.2f} "
        f"| {knows.greedy:.0%} | {choice} |"
    )
