"""The evaluated model's side of a judged benchmark: its answer to every turn of every item."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from sftlab.benchmarks.item import Item
from sftlab.evaluate.engines.engine import Engine
from sftlab.evaluate.questions import Question
from sftlab.lm.likelihood import prefix_id
from sftlab.lm.request_tree import Ids
from sftlab.lm.templates import ONE_TURN, Roles, resolve_template
from sftlab.lm.tokenizer import Segment, TokenizedModel
from sftlab.study.declaration import Template

PLAIN_SEPARATOR = "\n\n"


@dataclass(frozen=True)
class DialogueForm:
    """In what template a dialogue is held, the texts that end an answer, and what the system says first."""

    template: Literal["plain"] | Template
    stops: tuple[str, ...] = ()
    system: str | None = None


@dataclass
class Dialogue:
    """An item and the answers to its turns so far; `obstacle` says why no further turn could be answered."""

    item: Item
    prompt_ids: Ids
    answers: list[str] = field(default_factory=list)
    obstacle: str | None = None

    @property
    def turns(self) -> tuple[str, ...]:
        """What the user says, turn by turn."""
        return (self.item.context, *self.item.follow_ups)

    @property
    def said(self) -> tuple[str, ...]:
        """Everything said up to the user's next turn, that one included."""
        spoken = [text for pair in zip(self.turns, self.answers, strict=False) for text in pair]
        return (*spoken, self.turns[len(self.answers)])


@dataclass(frozen=True)
class Dialogues:
    """All dialogues; answers that the context's end cut short, prompts, their tokens, and how often memory ran out."""

    dialogues: tuple[Dialogue, ...]
    capped: int
    requests: int
    tokens: int
    out_of_memory: int


def held_dialogues(
    engine: Engine,
    asked_items: Sequence[Question],
    form: DialogueForm,
    *,
    max_new_tokens: int,
    on_progress: Callable[[float], None],
) -> Dialogues:
    """Have every item's turns answered greedily, all first turns, then all second ones, which see the first answers.

    Answers lose white space at both ends, as in the benchmarks' own code. A turn whose prompt leaves no room ends its
    dialogue there. Under `plain` the turns of a dialogue are parted by an empty line.
    """
    dialogues = tuple(Dialogue(question.item, question.prompt_ids) for question in asked_items)
    rounds = max((len(dialogue.turns) for dialogue in dialogues), default=0)
    capped = requests = tokens = out_of_memory = 0
    room = engine.model.context_length
    for turn in range(rounds):
        active = [one for one in dialogues if one.obstacle is None and len(one.turns) > turn]
        for dialogue in active:
            if turn:
                dialogue.prompt_ids = _prompt(engine.model, dialogue.said, form)
            question = Question(dialogue.item, (), (), dialogue.prompt_ids)
            dialogue.obstacle = question.generation_obstacle(room, max_new_tokens)
        fitting = [dialogue for dialogue in active if dialogue.obstacle is None]
        prompts = [dialogue.prompt_ids for dialogue in fitting]

        def progress(share: float, turn: int = turn) -> None:
            on_progress((turn + share) / rounds)

        written = engine.generate(prompts, max_new_tokens=max_new_tokens, stops=form.stops, on_progress=progress)
        for place, (dialogue, text) in enumerate(zip(fitting, written.texts, strict=True)):
            dialogue.obstacle = written.unfit.get(place)
            if dialogue.obstacle is None:
                dialogue.answers.append(text.strip())
        capped += sum(len(prompt) + max_new_tokens > room for prompt in prompts)
        requests += len(prompts)
        tokens += sum(map(len, prompts))
        out_of_memory += written.out_of_memory
    return Dialogues(dialogues, capped, requests, tokens, out_of_memory)


def _prompt(model: TokenizedModel, said: Sequence[str], form: DialogueForm) -> Ids:
    """What training puts in front of the response to the last of these turns, the user's and the model's in turn."""
    if form.template == "plain":
        ids = model.base_tokenizer.encode_text(PLAIN_SEPARATOR.join(said))
        return np.array(ids or [prefix_id(model)], dtype=np.int32)
    resolved = resolve_template(form.template, model.base_tokenizer.tokenizer)
    first: Roles = () if form.system is None else ("system",)
    said = said if form.system is None else (form.system, *said)
    pieces = resolved.pieces((*first, *ONE_TURN * ((len(said) + 1) // 2)))
    end = next(place for place, piece in enumerate(pieces) if piece.turn == len(said))
    segments = [
        Segment(
            piece.filled("" if piece.turn is None else said[piece.turn]),
            trusted=piece.turn is None,
            eos_after=piece.eos_after,
        )
        for piece in pieces[:end]
    ]
    # The end-of-sequence tokens of earlier answers are learned ones, so only the next answer is marked as a response.
    tokens = model.base_tokenizer.encode([[*segments, Segment("a", response=True)]])[0]
    before = tokens.ids[: int(np.flatnonzero(tokens.response)[0])]
    return before if len(before) else np.array([prefix_id(model)], dtype=np.int32)
