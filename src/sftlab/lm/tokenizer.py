"""A base's tokenizer, with what bears on how text becomes token ids.

Legend: C = characters of the assembled text, T = tokens.
"""

import hashlib
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sftlab.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LENGTH_FIELDS = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "seq_length")
"""Where configurations of models state how many positions they were made for."""


@dataclass(frozen=True)
class Segment:
    """A stretch of text and how it is treated.

    `learned`: its tokens count in the loss. `trusted`: special tokens written in it are special tokens (a template's
    own text); in text that is not trusted they are ordinary characters. `response`: it is what the assistant says.
    `eos_after`: the end-of-sequence token follows, learned.
    """

    text: str
    learned: bool = False
    trusted: bool = False
    response: bool = False
    eos_after: bool = False


@dataclass(frozen=True)
class Tokens:
    """One tokenised text: ids, what is learned, what is response, and the bytes the tokens cover.

    `ids`, `starts`, `ends`, `learned` and `response` have one entry a token, `response_chars` and `char_bytes` one a
    character. `starts` and `ends` are character offsets; the beginning-of-sequence token has the empty span (0, 0).
    Special tokens stand in the text as private characters, of 0 bytes.
    """

    ids: NDArray[np.int32]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    learned: NDArray[np.bool_]
    response: NDArray[np.bool_]
    response_chars: NDArray[np.bool_]
    char_bytes: NDArray[np.int64]

    def covered_bytes(self, num_tokens: int) -> tuple[int, int]:
        """UTF-8 bytes of (other text, response) that the first `num_tokens` tokens stand for.

        Of the response, only what tokens marked as response cover is counted, so that bits per byte have numerator and
        denominator over the same span.
        """
        seen_C = _covered(self.starts[:num_tokens], self.ends[:num_tokens], len(self.char_bytes))
        is_response = self.response[:num_tokens]
        answered_C = _covered(
            self.starts[:num_tokens][is_response], self.ends[:num_tokens][is_response], len(self.char_bytes)
        )
        other = int(self.char_bytes[seen_C & ~self.response_chars].sum())
        return other, int(self.char_bytes[answered_C & self.response_chars].sum())


def _covered(starts: NDArray[np.int64], ends: NDArray[np.int64], length: int) -> NDArray[np.bool_]:
    steps = np.zeros(length + 1, dtype=np.int64)
    np.add.at(steps, starts, 1)
    np.add.at(steps, ends, -1)
    return np.cumsum(steps[:-1]) > 0


class BaseTokenizer:
    """Turns segments into ids, whole text at once, special tokens only where the text is trusted.

    Special tokens of trusted text are replaced by private markers that a copy of the tokenizer knows as added tokens;
    the copy reads all else as ordinary text. Ids are therefore those of the tokenizer itself wherever no untrusted
    text spells a special token.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", *, context_length: int, eos_id: int | None = None) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise ModelError(
                f"the tokenizer {tokenizer.name_or_path} has no character offsets: "
                "a fast one (a tokenizer.json) is needed"
            )
        eos = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else eos_id
        if eos is None:
            raise ModelError(
                f"the tokenizer {tokenizer.name_or_path} has no end-of-sequence token: set `eos_token` in it"
            )
        self.tokenizer: Any = tokenizer
        self.context_length = context_length
        self.eos_id = int(eos)
        self.pad_id = int(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else eos)
        self.special_tokens = _special_tokens(tokenizer)
        self._backend_text = tokenizer.backend_tokenizer.to_str()
        self._start_backend()
        self.bos_id = self._find_bos()

    def _start_backend(self) -> None:
        from tokenizers import AddedToken, Tokenizer

        content = json.loads(self._backend_text)
        content.update(post_processor=None, truncation=None, padding=None)
        nonce = secrets.token_hex(8)
        self._hidden = _special_pieces(content["model"], self.special_tokens)
        _hide_pieces(content, self._hidden, nonce)
        self._backend = Tokenizer.from_str(json.dumps(content))
        self._backend.encode_special_tokens = True
        self._eos_marker = f"\ue000{nonce}e\ue001"
        self._markers = {text: f"\ue000{nonce}{number}\ue001" for number, text in enumerate(self.special_tokens)}
        flags = {token.content: token for token in self.tokenizer.added_tokens_decoder.values()}
        added = [
            AddedToken(
                marker,
                normalized=False,
                special=False,
                lstrip=flags[text].lstrip,
                rstrip=flags[text].rstrip,
                single_word=False,
            )
            for text, marker in self._markers.items()
        ]
        self._backend.add_tokens([*added, AddedToken(self._eos_marker, normalized=False, special=False)])
        self._real_ids = {self._backend.token_to_id(self._eos_marker): self.eos_id}
        for text, marker in self._markers.items():
            self._real_ids[self._backend.token_to_id(marker)] = self.special_tokens[text]
        longest_first = sorted(self.special_tokens, key=len, reverse=True)
        self._special_pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self._marker_pattern = re.compile(f"\ue000{nonce}[0-9e]+\ue001")

    def _find_bos(self) -> int | None:
        with_special = self.tokenizer("a").input_ids
        without = self.tokenizer("a", add_special_tokens=False).input_ids
        return int(with_special[0]) if with_special[:1] != without[:1] else None

    @property
    def digest(self) -> str:
        """SHA-256 of everything that decides which ids a text becomes."""
        parts: list[object] = [self._backend_text, self.eos_id, self.bos_id, self.tokenizer.chat_template]
        if self._hidden:
            parts.append(self._hidden)
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def encode(self, rendered: Sequence[Sequence[Segment]]) -> list[Tokens]:
        """Token ids of each sequence of segments, with exactly one beginning-of-sequence id where the base wants one.

        A token is learned (or response) if its characters overlap a learned (or response) segment. The first token of
        a text is never learned: nothing comes before it.
        """
        assembled = [self._assemble(segments) for segments in rendered]
        encodings = self._backend.encode_batch(["".join(text for text, _ in parts) for parts in assembled])
        return [
            self._tokens(encoding.ids, encoding.offsets, parts)
            for encoding, parts in zip(encodings, assembled, strict=True)
        ]

    def encode_text(self, text: str) -> list[int]:
        """Token ids of untrusted text alone, with the beginning-of-sequence id where the base wants one."""
        return [int(token) for token in self.encode([[Segment(text)]])[0].ids]

    def _assemble(self, segments: Sequence[Segment]) -> list[tuple[str, Segment]]:
        parts: list[tuple[str, Segment]] = []
        for segment in segments:
            text = segment.text
            if segment.trusted:
                text = self._special_pattern.sub(lambda found: self._markers[found.group()], text)
            if text:
                parts.append((text, segment))
            if segment.eos_after:
                parts.append((self._eos_marker, Segment("", learned=True)))
        return parts

    def _tokens(self, ids: list[int], offsets: list[tuple[int, int]], parts: Sequence[tuple[str, Segment]]) -> Tokens:
        lengths = [len(text) for text, _ in parts]
        learned_C = np.repeat([segment.learned for _, segment in parts], lengths).astype(np.bool_)
        response_C = np.repeat([segment.response for _, segment in parts], lengths).astype(np.bool_)
        char_bytes_C = self._char_bytes("".join(text for text, _ in parts))
        real = [self._real_ids.get(token, token) for token in ids]
        spans = np.array(offsets, dtype=np.int64).reshape(-1, 2)
        if self.bos_id is not None and real[:1] != [self.bos_id]:
            real.insert(0, self.bos_id)
            spans = np.concatenate([np.zeros((1, 2), dtype=np.int64), spans])
        learned_T = _overlaps(spans, learned_C)
        response_T = _overlaps(spans, response_C)
        learned_T[:1] = False
        response_T[:1] = False
        return Tokens(
            np.array(real, dtype=np.int32), spans[:, 0], spans[:, 1], learned_T, response_T, response_C, char_bytes_C
        )

    def _char_bytes(self, text: str) -> NDArray[np.int64]:
        points = np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), dtype=np.uint32)
        char_bytes = 1 + (points >= 0x80).astype(np.int64) + (points >= 0x800) + (points >= 0x10000)
        for found in self._marker_pattern.finditer(text):
            char_bytes[found.start() : found.end()] = 0
        return char_bytes


class TokenizedModel(Protocol):
    """A model as those see it who ask it questions: in memory here, or held by a server, with its tokenizer here.

    `holding` is a label of its weights, None for an untouched base.
    """

    @property
    def name(self) -> str:
        """The base's name."""
        ...

    @property
    def holding(self) -> str | None:
        """Which weights are asked now."""
        ...

    @property
    def base_tokenizer(self) -> BaseTokenizer:
        """How text becomes its ids."""
        ...

    @property
    def context_length(self) -> int:
        """How many ids fit."""
        ...


def _overlaps(spans: NDArray[np.int64], flags_C: NDArray[np.bool_]) -> NDArray[np.bool_]:
    counts = np.concatenate([[0], np.cumsum(flags_C)])
    overlapping: NDArray[np.bool_] = counts[spans[:, 1]] > counts[spans[:, 0]]
    return overlapping


def _special_pieces(model: dict[str, Any], special_tokens: dict[str, int]) -> list[str]:
    """Special tokens that the model itself would find in ordinary text, because it looks whole pieces up."""
    if model.get("type") == "BPE" and not model.get("ignore_merges"):
        return []
    vocabulary = model["vocab"]
    pieces = set(vocabulary) if isinstance(vocabulary, dict) else {piece for piece, _ in vocabulary}
    return sorted(pieces & set(special_tokens) - {model.get("unk_token")})


def _hide_pieces(content: dict[str, Any], pieces: list[str], nonce: str) -> None:
    """Give pieces of a serialised tokenizer's model names that no text holds; their ids stay taken."""
    names = {piece: f"\ue000{nonce}h{number}\ue001" for number, piece in enumerate(pieces)}
    model = content["model"]
    if isinstance(model["vocab"], dict):
        model["vocab"] = {names.get(piece, piece): number for piece, number in model["vocab"].items()}
    else:
        model["vocab"] = [[names.get(piece, piece), score] for piece, score in model["vocab"]]
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] not in names]


def _special_tokens(tokenizer: "PreTrainedTokenizerBase") -> dict[str, int]:
    return {token.content: number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
