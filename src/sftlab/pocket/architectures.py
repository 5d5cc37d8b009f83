"""The two architectures of the pocket bases, each with a tokenizer of its own kind."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedConfig, PreTrainedTokenizerFast

CONTEXT_LENGTH = 256
_INITIAL_SPREAD = 0.08
_BOS, _EOS, _PAD, _UNKNOWN = "<s>", "</s>", "<pad>", "<unk>"
_SPECIAL = [_PAD, _BOS, _EOS]


@dataclass(frozen=True)
class Architecture:
    """How a base is built: `tokenizer` is trained on texts, `config` is made for the vocabulary that came out."""

    name: str
    tokenizer: Callable[[Iterable[str]], "PreTrainedTokenizerFast"]
    config: Callable[[int], "PreTrainedConfig"]


def _byte_level_bpe(texts: Iterable[str], *, vocabulary: int) -> "Tokenizer":
    """Byte-pair encoding over bytes, every digit a token of its own; nothing is unknown to it."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=_SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _fast(tokenizer: "Tokenizer") -> "PreTrainedTokenizerFast":
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        bos_token=_BOS,
        eos_token=_EOS,
        pad_token=_PAD,
        model_max_length=CONTEXT_LENGTH,
        clean_up_tokenization_spaces=False,
    )


def _with_bos(texts: Iterable[str]) -> "PreTrainedTokenizerFast":
    from tokenizers import processors

    tokenizer = _byte_level_bpe(texts, vocabulary=512)
    bos = tokenizer.token_to_id(_BOS)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{_BOS} $A", pair=f"{_BOS} $A $B", special_tokens=[(_BOS, bos)]
    )
    return _fast(tokenizer)


def _without_bos(texts: Iterable[str]) -> "PreTrainedTokenizerFast":
    return _fast(_byte_level_bpe(texts, vocabulary=768))


def _llama(vocabulary: int) -> "PreTrainedConfig":
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=80,
        intermediate_size=208,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=CONTEXT_LENGTH,
        tie_word_embeddings=True,
        initializer_range=_INITIAL_SPREAD,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )


def _neox(vocabulary: int) -> "PreTrainedConfig":
    from transformers import GPTNeoXConfig

    return GPTNeoXConfig(
        vocab_size=vocabulary,
        hidden_size=80,
        intermediate_size=320,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT_LENGTH,
        use_parallel_residual=True,
        tie_word_embeddings=True,
        initializer_range=_INITIAL_SPREAD,
        attention_dropout=0.0,
        hidden_dropout=0.0,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )


ARCHITECTURES: Mapping[str, Architecture] = {
    each.name: each for each in (Architecture("llama", _with_bos, _llama), Architecture("neox", _without_bos, _neox))
}
