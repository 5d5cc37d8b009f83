"""What must hold of tokens before time is spent on training with them."""

import numpy as np

from sftlab.errors import TrainingError
from sftlab.lm.base import LoadedBase
from sftlab.lm.encoding import EncodedExamples
from sftlab.lm.templates import resolve_template
from sftlab.study.run import RunSpec


def validate_run(base: LoadedBase, spec: RunSpec, encoded: EncodedExamples) -> None:
    """Raise TrainingError where nothing would be learned, or never how to end, or a prompt begins twice.

    An answer ends with the end-of-sequence token, or with the template's end of turn.
    """
    if len(encoded) == 0:
        first = f": {encoded.dropped[0].reason}" if encoded.dropped else ""
        raise TrainingError(
            f"no learned token at all: none of the {encoded.num_given} examples can be trained on under "
            f"{base.name}{first}"
        )
    learned = np.asarray(encoded.ids)[np.asarray(encoded.learned)]
    end_of_turn = resolve_template(spec.template, base.tokenizer).end_of_turn
    ends = {base.eos_id, base.base_tokenizer.special_tokens.get(end_of_turn or "", base.eos_id)}
    if not np.isin(learned, list(ends)).any():
        raise TrainingError(
            f"no example teaches {base.name} to end its answer: all {len(encoded)} are cut before their end; "
            "raise `max_tokens`, or write `overflow: drop`"
        )
    _require_one_beginning(base, encoded)


def _require_one_beginning(base: LoadedBase, encoded: EncodedExamples) -> None:
    bos = base.tokenizer.bos_token_id
    if bos is None or bos == base.eos_id:
        return
    first = encoded.offsets[:-1]
    second = np.minimum(first + 1, encoded.offsets[1:] - 1)
    ids = np.asarray(encoded.ids)
    twice = (ids[first] == bos) & (ids[second] == bos) & (encoded.lengths > 1)
    if twice.any():
        raise TrainingError(
            f"{int(twice.sum())} of {len(encoded)} prompts begin with two beginning-of-sequence tokens under "
            f"{base.name}: the tokenizer puts one in front, so take {base.tokenizer.bos_token!r} out of the template"
        )
