"""Fields of a task rendered on a row: jinja templates in a sandbox, with lm-evaluation-harness' settings."""

import re
from collections.abc import Callable, Set
from typing import Any

from jinja2 import StrictUndefined, TemplateError
from jinja2.environment import Template
from jinja2.sandbox import SandboxedEnvironment

from sftlab.benchmarks.rows import Row
from sftlab.errors import BenchmarkError

MAX_REPEATED = 100_000
RENDERING_ERRORS = (
    TemplateError,
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    MemoryError,
)


def _regex_replace(string: str, pattern: str, repl: str, count: int = 0) -> str:
    return re.sub(pattern, repl, string, count=count)


class _Sandbox(SandboxedEnvironment):
    """No access to Python's insides, and no product or power that fills the memory."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401 - jinja's signature
        sizes = [len(side) if isinstance(side, str | list | tuple | bytes) else abs(side) for side in (left, right)]
        if operator == "**" and max(sizes) > 1000:
            raise ValueError(f"a power of {left} and {right} is too large for a template")
        if (
            not (isinstance(left, int | float) and isinstance(right, int | float))
            and sizes[0] * sizes[1] > MAX_REPEATED
        ):
            raise ValueError(f"a template repeats nothing beyond {MAX_REPEATED} characters")
        return super().call_binop(context, operator, left, right)


_SANDBOX = _Sandbox(undefined=StrictUndefined, keep_trailing_newline=True)
_SANDBOX.filters["regex_replace"] = _regex_replace


def text_renderer(template: str, *, field: str) -> Callable[[Row], str]:
    """A jinja template as a function of a row.

    Raises BenchmarkError for a template that cannot be compiled; the function raises it for a row on which the template
    fails, as where it names a column that is not there or reaches for what the sandbox does not allow.
    """
    try:
        compiled: Template = _SANDBOX.from_string(template)
    except RENDERING_ERRORS as error:
        raise BenchmarkError(f"`{field}` is no jinja template: {error}") from error

    def render(row: Row) -> str:
        try:
            return compiled.render(row)
        except RENDERING_ERRORS as error:
            raise BenchmarkError(f"`{field}` fails: {error} (columns: {', '.join(map(str, row))})") from error

    return render


def value_renderer(template: str, *, field: str, columns: Set[str]) -> Callable[[Row], object]:
    """The column of that name as it is, or else the text that the template renders."""
    if template in columns:
        return lambda row: row[template]
    return text_renderer(template, field=field)
