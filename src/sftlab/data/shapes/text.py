"""Plain text without a question: all of it is learned."""

from sftlab.data.example import Turn
from sftlab.data.record import Record, UnusableError
from sftlab.data.shapes.shape import Shape, prompt_text


def text_shape(column: str) -> Shape:
    """A shape whose one column is the text."""

    def turns(record: Record) -> list[Turn]:
        text = prompt_text(record, column)
        if not text.strip():
            raise UnusableError("empty text")
        return [Turn("assistant", text)]

    return Shape("text", column, lambda record: column in record, turns, plain=True)


SHAPE = text_shape("text")
