"""How a conversation becomes text: what the template adds, what is learned, where the sequence ends."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from sftlab.data.example import Example, Role
from sftlab.errors import ModelError
from sftlab.lm.tokenizer import Segment
from sftlab.study.declaration import CustomTemplate, Template

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

QUESTION_ANSWER = CustomTemplate(prompt="###Question: {instruction}\n###Answer: ", response="{response}")
"""The template of Harada et al. 2025 (arXiv 2506.14681)."""

ALPACA = CustomTemplate(
    prompt=(
        "Below is an instruction that describes a task. "
        "Write a response that appropriately completes the request.\n\n"
        "### Instruction:\n{instruction}\n\n### Response:"
    ),
    response="{response}",
)
"""The template without input of Stanford Alpaca (Taori et al. 2023); the response follows the colon directly."""

Roles = tuple[Role, ...]
ONE_TURN: Roles = ("user", "assistant")


@dataclass(frozen=True)
class Piece:
    """A part of a template: fixed text, or the place of turn number `turn`.

    `strip_left` and `strip_right` say that the template drops white space at that end of the turn.
    """

    text: str = ""
    turn: int | None = None
    learned: bool = False
    eos_after: bool = False
    strip_left: bool = False
    strip_right: bool = False

    def filled(self, content: str) -> str:
        """The text of this piece where its turn says `content`."""
        if self.turn is None:
            return self.text
        content = content.lstrip() if self.strip_left else content
        return content.rstrip() if self.strip_right else content


class ResolvedTemplate(Protocol):
    """A template that is ready for one tokenizer."""

    @property
    def name(self) -> str:
        """The name a study calls it by."""

    @property
    def source(self) -> str:
        """All of its text: part of the identity of what is rendered with it."""

    @property
    def end_of_turn(self) -> str | None:
        """The special token that ends an assistant turn, or None where the end-of-sequence token does."""

    def pieces(self, roles: Roles) -> tuple[Piece, ...]:
        """The template for a conversation in which these roles speak in turn."""


@dataclass(frozen=True)
class TextTemplate:
    """A prompt and a response format; turns are separated by one newline, a system text is a first line of its own."""

    name: str
    template: CustomTemplate

    @property
    def source(self) -> str:
        """The prompt and response formats."""
        return self.template.model_dump_json()

    @property
    def end_of_turn(self) -> None:
        """The end-of-sequence token ends every response."""
        return

    def pieces(self, roles: Roles) -> tuple[Piece, ...]:
        """The template for these roles; an assistant turn that nothing precedes is plain text."""
        return tuple(piece for piece in self._pieces(roles) if piece.text or piece.turn is not None)

    def _pieces(self, roles: Roles) -> Iterator[Piece]:
        before_prompt, after_prompt = self.template.prompt.split("{instruction}")
        before_response, after_response = self.template.response.split("{response}")
        for turn, role in enumerate(roles):
            if turn > 0:
                yield Piece("\n" if roles[turn - 1] != "user" else "")
            if role == "system":
                yield Piece(turn=turn)
            elif role == "user":
                yield from (Piece(before_prompt), Piece(turn=turn), Piece(after_prompt))
            elif turn > 0 and roles[turn - 1] == "user":
                last = Piece(after_response, learned=True, eos_after=True)
                yield Piece(before_response)
                yield Piece(turn=turn, learned=True, eos_after=not after_response)
                yield last
            else:
                yield Piece(turn=turn, learned=True, eos_after=True)


class ChatTemplate:
    """The chat template that a tokenizer carries, rendered once for each sequence of roles."""

    name = "chat"

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        if not tokenizer.chat_template:
            raise ModelError(
                f"the tokenizer {tokenizer.name_or_path} has no chat template: "
                "write `template: question_answer`, alpaca or one of your own"
            )
        self._tokenizer: Any = tokenizer
        self._known: dict[Roles, tuple[Piece, ...]] = {}
        added = sorted(
            (token.content for token in self._tokenizer.added_tokens_decoder.values()), key=len, reverse=True
        )
        self._token_first = re.compile(rf"\s*(?:{'|'.join(map(re.escape, added)) or '(?!)'})")

    @property
    def source(self) -> str:
        """The Jinja text (or texts) of the tokenizer."""
        return str(self._tokenizer.chat_template)

    @property
    def end_of_turn(self) -> str | None:
        """The token that directly follows what the assistant says."""
        last = self.pieces(ONE_TURN)[-1]
        return last.text.strip() if last.learned and last.turn is None else None

    def pieces(self, roles: Roles) -> tuple[Piece, ...]:
        """The template for these roles; what follows the last end of turn is left out, an assistant alone is text.

        Raises ModelError where the template refuses these roles or leaves a turn out.
        """
        if roles not in self._known:
            self._known[roles] = self._render(roles)
        return self._known[roles]

    def _render(self, roles: Roles) -> tuple[Piece, ...]:
        if roles == ("assistant",):
            return (Piece(turn=0, learned=True, eos_after=True),)
        text = self._rendered_text(roles)
        found = [place for place in (_place(text, turn) for turn in range(len(roles))) if place is not None]
        starts = [place.start() for place in found]
        if len(found) < len(roles) or starts != sorted(starts):
            raise ModelError(
                f"the chat template of {self._tokenizer.name_or_path} does not show every turn of a conversation of "
                f"{', '.join(roles)}: choose another `template`"
            )
        pieces = [Piece(text[: found[0].start()])]
        ends = [*starts[1:], len(text)]
        for turn, (place, end) in enumerate(zip(found, ends, strict=True)):
            pieces.extend(self._turn(place, text[place.end() : end], learned=roles[turn] == "assistant"))
        if roles[-1] == "assistant":
            while not pieces[-1].learned:
                pieces.pop()
        return tuple(piece for piece in pieces if piece.text or piece.turn is not None)

    def _rendered_text(self, roles: Roles) -> str:
        from jinja2 import TemplateError

        messages = [{"role": role, "content": _slot(turn)} for turn, role in enumerate(roles)]
        # Llama 3's template writes today's date unless it is given one: the same text must come out every day.
        options = {"date_string": "26 Jul 2024"}
        try:
            return str(self._tokenizer.apply_chat_template(messages, tokenize=False, **options))
        except TemplateError as error:
            raise ModelError(
                f"the chat template of {self._tokenizer.name_or_path} refuses a conversation of {', '.join(roles)}: "
                f"{error}"
            ) from error

    def _turn(self, place: re.Match[str], tail: str, *, learned: bool) -> Iterator[Piece]:
        end = self._token_first.match(tail) if learned else None
        yield Piece(
            turn=int(place["turn"]),
            learned=learned,
            eos_after=learned and end is None,
            strip_left=not place["left"],
            strip_right=not place["right"],
        )
        if end is not None:
            yield Piece(end.group(), learned=True)
            tail = tail[end.end() :]
        yield Piece(tail)


def _slot(turn: int) -> str:
    """What stands for a turn while the template is rendered; em spaces at its ends show whether it strips."""
    return f"\u2003\ue000{turn}\ue001\u2003"


def _place(text: str, turn: int) -> re.Match[str] | None:
    return re.search(rf"(?P<left>\u2003?)\ue000(?P<turn>{turn})\ue001(?P<right>\u2003?)", text)


def resolve_template(template: Template, tokenizer: "PreTrainedTokenizerBase") -> ResolvedTemplate:
    """The template to use with a (transformers) tokenizer; `auto` is its chat template, else `question_answer`.

    Raises ModelError for `chat` where the tokenizer has no chat template.
    """
    if isinstance(template, CustomTemplate):
        return TextTemplate("custom", template)
    if template == "chat" or (template == "auto" and tokenizer.chat_template):
        return ChatTemplate(tokenizer)
    if template == "alpaca":
        return TextTemplate("alpaca", ALPACA)
    return TextTemplate("question_answer", QUESTION_ANSWER)


def render_example(
    example: Example, template: ResolvedTemplate, *, loss_on: Literal["response", "all"]
) -> tuple[Segment, ...]:
    """The example as segments: every assistant turn and the token that ends it is learned, or all with `loss_on: all`.

    The template's own text may hold special tokens, the example's may not (see `Segment.trusted`).
    """
    roles = tuple(turn.role for turn in example.turns)
    segments = []
    for piece in template.pieces(roles):
        segments.append(
            Segment(
                piece.filled("" if piece.turn is None else example.turns[piece.turn].content),
                learned=piece.learned or loss_on == "all",
                trusted=piece.turn is None,
                response=piece.turn is not None and roles[piece.turn] == "assistant",
                eos_after=piece.eos_after,
            )
        )
    return tuple(segments)


def render_prompt(
    context: str, template: ResolvedTemplate | Literal["plain"], *, system: str | None = None
) -> tuple[Segment, ...]:
    """Exactly what training puts in front of the response to `context`; `plain` is the context itself.

    `system` is what the system says first, which `plain` has no place for.
    White space at its end is kept: `encoding.encode_prompt` and `encoding.encode_continuation` give it to the
    response's first token where the tokenizer does so in training.
    """
    if template == "plain":
        return (Segment(context),)
    said = (context,) if system is None else (system, context)
    pieces = template.pieces(ONE_TURN if system is None else ("system", *ONE_TURN))
    place = next(number for number, piece in enumerate(pieces) if piece.turn == len(said))
    return tuple(
        Segment(piece.filled("" if piece.turn is None else said[piece.turn]), trusted=piece.turn is None)
        for piece in pieces[:place]
    )
