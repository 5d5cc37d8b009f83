"""Tiny random models of three architectures with real tokenizers of three kinds, written as transformers folders."""

import json
import random
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE, Unigram, WordLevel
from tokenizers.trainers import BpeTrainer, UnigramTrainer
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from sftlab.data.example import Example, Turn
from sftlab.lm.base import LoadedBase, load_base
from sftlab.study.declaration import BaseRef, Precision

WORDS = (
    *("the", "a", "cat", "dog", "sees", "likes", "blue", "red", "small", "house", "tree", "runs"),
    *("and", "not", "where", "what", "is", "who", "sleeps", "in", "on", "near"),
)
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]


def corpus() -> list[str]:
    generator = random.Random(0)
    return [" ".join(generator.choices(WORDS, k=12)) + "." for _ in range(300)] + ["###Question: a?\n###Answer: b"] * 5


def byte_level_tokenizer(**options) -> PreTrainedTokenizerFast:
    """GPT-2's kind: byte-level BPE, no beginning-of-sequence token put in front."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=360, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(corpus(), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", **options)


def metaspace_tokenizer() -> PreTrainedTokenizerFast:
    """Llama 2's kind: spaces become a visible mark, one is put in front of the text, bytes as a fallback, <s> first."""
    tokenizer = Tokenizer(BPE(unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    specials = ["<unk>", *SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = BpeTrainer(vocab_size=420, special_tokens=specials, show_progress=False, max_token_length=8)
    tokenizer.train_from_iterator([word for text in corpus() for word in text.split(" ")], trainer)
    # The trainer takes the bytes for special tokens, which in such tokenizers they are not.
    content = json.loads(tokenizer.to_str())
    content["added_tokens"] = [token for token in content["added_tokens"] if not token["content"].startswith("<0x")]
    tokenizer = Tokenizer.from_str(json.dumps(content))
    _put_in_front(tokenizer, "<s>")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def character_tokenizer() -> PreTrainedTokenizerFast:
    """One token a character; <s> first, and padding with the end-of-sequence token."""
    characters = sorted({character for text in corpus() for character in text} | set("</s>|_im"))
    vocabulary = {token: number for number, token in enumerate(["<unk>", *SPECIAL, *characters])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.add_special_tokens(["<unk>", *SPECIAL])
    _put_in_front(tokenizer, "<s>")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>", unk_token="<unk>"
    )


def unigram_tokenizer() -> PreTrainedTokenizerFast:
    """SentencePiece's kind: pieces chosen by likelihood, spaces a visible mark, a padding token of its own."""
    tokenizer = Tokenizer(Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    specials = ["<unk>", "<pad>", *SPECIAL]
    alphabet = sorted({character for text in corpus() for character in text})
    trainer = UnigramTrainer(
        vocab_size=150, special_tokens=specials, unk_token="<unk>", initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    _put_in_front(tokenizer, "<s>")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )


def _put_in_front(tokenizer: Tokenizer, token: str) -> None:
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{token} $A", special_tokens=[(token, tokenizer.token_to_id(token))]
    )


TOKENIZERS = {
    "byte_level": byte_level_tokenizer,
    "metaspace": metaspace_tokenizer,
    "unigram": unigram_tokenizer,
    "character": character_tokenizer,
}


def tiny_model(kind: str, *, vocabulary: int, positions: int = 256) -> torch.nn.Module:
    torch.manual_seed(0)
    if kind == "gpt2":
        dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
        return GPT2LMHeadModel(
            GPT2Config(vocab_size=vocabulary, n_positions=positions, n_embd=32, n_layer=3, n_head=4, **dropout)
        )
    sizes = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": positions,
    }
    if kind == "neox":
        return GPTNeoXForCausalLM(GPTNeoXConfig(**sizes))
    return LlamaForCausalLM(LlamaConfig(**sizes, num_key_value_heads=2, tie_word_embeddings=False))


MODELS = {"llama": "metaspace", "gpt2": "byte_level", "neox": "character"}


def write_model(folder: Path, kind: str, *, chat: bool = False) -> Path:
    """A tiny model of this kind with its tokenizer in a folder that transformers loads."""
    tokenizer = TOKENIZERS[MODELS[kind]]()
    if chat:
        tokenizer.chat_template = CHATML
    model = tiny_model(kind, vocabulary=len(tokenizer))
    for config in (model.config, model.generation_config):
        config.bos_token_id, config.eos_token_id = tokenizer.bos_token_id, tokenizer.eos_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def examples(count: int, *, seed: int = 0) -> list[Example]:
    """Questions and answers of varied length."""
    generator = random.Random(seed)
    made = []
    for index in range(count):
        question = " ".join(generator.choices(WORDS, k=generator.randint(2, 9))) + "?"
        answer = " ".join(generator.choices(WORDS, k=generator.randint(1, 9))) + "."
        made.append(Example((Turn("user", question), Turn("assistant", answer)), index))
    return made


def load(folder: Path, kind: str, **precision: str) -> LoadedBase:
    """The tiny model of this kind, written to `folder` where it is not there yet."""
    target = folder / kind
    if not target.is_dir():
        write_model(target, kind)
    return load_base(BaseRef(name=kind, model=str(target)), device="cpu", precision=Precision(**precision))
