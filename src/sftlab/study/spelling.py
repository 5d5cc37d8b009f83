"""The word somebody probably meant."""

import difflib
from collections.abc import Iterable


def nearest(got: str, legal: Iterable[str]) -> str:
    """A clause to end an error with: the nearest legal word, and all legal ones."""
    words = list(legal)
    close = difflib.get_close_matches(got, words, n=1, cutoff=0.5)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"{hint}; legal: {', '.join(words) or 'none are declared'}"
