"""Random Llama-shaped models of a few sizes and made-up examples for them, in memory."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

    from sftlab.lm.base import LoadedBase
    from sftlab.lm.encoding import EncodedExamples
    from sftlab.study.declaration import Precision

SPECIAL = ("<unk>", "<s>", "</s>")
TEMPLATE_WORDS = ("#", "Question", "Answer", ":")
TEMPLATE_TOKENS = 12
"""The beginning, `###Question:`, `###Answer:` and the end: 1 + 5 + 5 + 1."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a model; its embeddings are tied, its attention heads have 32 channels each."""

    vocabulary: int
    hidden: int
    inner: int
    layers: int

    @property
    def num_weights(self) -> int:
        """Weights, the tied embedding once."""
        layer = 4 * self.hidden**2 + 3 * self.hidden * self.inner + 2 * self.hidden
        return self.vocabulary * self.hidden + self.layers * layer + self.hidden


SHAPES = {
    "0.3M": Shape(512, 96, 256, 2),
    "1M": Shape(1024, 128, 352, 4),
    "4M": Shape(4096, 256, 704, 4),
    "14M": Shape(8192, 384, 1024, 6),
}


def tokenizer(vocabulary: int) -> "PreTrainedTokenizerFast":
    """One token a word; the beginning of the sequence is put in front."""
    from tokenizers import Tokenizer, pre_tokenizers, processors
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    fixed = [*SPECIAL, *TEMPLATE_WORDS]
    words = {word: number for number, word in enumerate([*fixed, *(f"w{n}" for n in range(vocabulary - len(fixed)))])}
    made = Tokenizer(WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("isolated")]
    )
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", pad_token="</s>", unk_token="<unk>"
    )


def model(shape: Shape, *, positions: int) -> "LlamaForCausalLM":
    """The model of this shape with the random weights of seed 0, in float32."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.hidden // 32,
        max_position_embeddings=positions,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    made = LlamaForCausalLM(config)
    assert sum(weight.numel() for weight in made.parameters()) == shape.num_weights
    return made


def loaded_base(name: str, *, positions: int, precision: "Precision") -> "LoadedBase":
    """The model of this name as sftlab's trainer takes it."""
    from sftlab.lm.base import LoadedBase
    from sftlab.lm.tokenizer import BaseTokenizer
    from sftlab.study.declaration import BaseRef

    shape = SHAPES[name]
    words = BaseTokenizer(tokenizer(shape.vocabulary), context_length=positions)
    return LoadedBase(
        BaseRef(name=name, model=name), model(shape, positions=positions), words, device="cpu", precision=precision
    )


def examples(base: "LoadedBase", *, count: int, longest: int, folder: Path) -> "EncodedExamples":
    """Examples of `longest` / 4 to `longest` tokens, uniformly, about half of them labelled.

    Word number n is drawn in proportion to 1 / n.
    """
    from sftlab.data.example import Example, Turn
    from sftlab.lm.encoding import EncodingRecipe, encode_examples

    generator = np.random.default_rng(0)
    num_words = len(base.tokenizer) - len(SPECIAL) - len(TEMPLATE_WORDS)
    frequency = 1 / np.arange(1, num_words + 1)
    frequency /= frequency.sum()
    made = []
    for index in range(count):
        length = int(generator.integers(longest // 4, longest + 1)) - TEMPLATE_TOKENS
        answer = max(1, int(length * generator.uniform(0.4, 0.6)))
        words = [f"w{number}" for number in generator.choice(num_words, size=max(length, answer + 1), p=frequency)]
        turns = Turn("user", " ".join(words[answer:])), Turn("assistant", " ".join(words[:answer]))
        made.append(Example(turns, index))
    recipe = EncodingRecipe(template="question_answer", max_tokens=longest, overflow="drop")
    return encode_examples(made, base, recipe=recipe, folder=folder)
