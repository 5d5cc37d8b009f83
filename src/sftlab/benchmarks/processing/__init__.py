"""The functions that any task file may name after `!function`: they come with sftlab.

`PROCESSING` brings a published row to the columns that templates name; `RESULTS` makes metrics of an answer, or of the
log-likelihoods of choices.
"""

import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sftlab.benchmarks.processing.choices import headed_options, options_as_choices
from sftlab.benchmarks.processing.dialogues import two_turns
from sftlab.benchmarks.processing.passages import passage_and_question, stem_and_endings
from sftlab.benchmarks.processing.programs import function_to_complete, function_to_write, pass_at_1
from sftlab.benchmarks.processing.truth import bleu_against_truth, mass_on_truth, true_and_false_answers
from sftlab.benchmarks.rows import Row

Results = Callable[[Row, Sequence[Any]], Mapping[str, float]]

PROCESSING: dict[str, Callable[[Row], Row]] = {
    f"processing.{function.__name__}": function
    for function in (
        options_as_choices,
        headed_options,
        passage_and_question,
        stem_and_endings,
        true_and_false_answers,
        two_turns,
        function_to_complete,
        function_to_write,
    )
}
RESULTS: dict[str, Results] = {
    f"processing.{function.__name__}": function for function in (bleu_against_truth, mass_on_truth, pass_at_1)
}


def source_digest(function: Callable[..., object]) -> str:
    """SHA-256 of the file that a shipped function is written in."""
    path = sys.modules[function.__module__].__file__
    assert path is not None
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
