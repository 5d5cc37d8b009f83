"""The shapes that datasets are recognised by, the more telling columns first; a new shape is a file and a line here."""

from collections import Counter
from collections.abc import Sequence

from sftlab.data.record import Record
from sftlab.data.shapes import context_answer, conversations, instruction, prompt_completion, question_answer, text
from sftlab.data.shapes.shape import Shape

SHAPES: tuple[Shape, ...] = (
    conversations.MESSAGES,
    conversations.SHAREGPT,
    instruction.SHAPE,
    question_answer.SHAPE,
    prompt_completion.SHAPE,
    context_answer.SHAPE,
    conversations.ULTRACHAT,
    text.SHAPE,
)
DECIDING_ROWS = 20


def recognise(records: Sequence[Record]) -> Shape | None:
    """The shape of most of the first rows, or None where none of them has a known one."""
    found = [next((shape for shape in SHAPES if shape.fits(record)), None) for record in records[:DECIDING_ROWS]]
    votes = Counter(shape.name for shape in found if shape is not None)
    if not votes:
        return None
    winner = votes.most_common(1)[0][0]
    return next(shape for shape in SHAPES if shape.name == winner)
