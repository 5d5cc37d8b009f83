"""What must hold of tokens before time is spent on training with them."""

import numpy as np

from sftlab.errors import TrainingError
from sftlab.lm.base import LoadedBase
from sftlab.lm.encoding import EncodedExamples
from sftlab.lm.templates import resolve_template
from sftlab.lm.tokenizer import BaseTokenizer
from sftlab.study.run import RunSpec


def validate_run(base: LoadedBase, spec: RunSpec, encoded: EncodedExamples) -> None:
    """Raise TrainingError where nothing would be learned, or never how to end, or a prompt begins twice.

    An answer ends with the end-of-sequence token, or with the template's end of turn.
    """
    validate_lengths(base.base_tokenizer, spec, encoded)
    _require_one_beginning(base, encoded)
    if base.special_ids and not np.isin(np.asarray(encoded.ids), base.special_ids).any():
        raise TrainingError(
            f"none of the special tokens of {base.name} ({', '.join(base.ref.special_tokens)}) is in any example: "
            "write them in the `template` as in `special_tokens`, or remove them"
        )


def validate_lengths(tokenizer: BaseTokenizer, spec: RunSpec, encoded: EncodedExamples) -> None:
    """Raise TrainingError where no example fits with an answer to learn, or none with the end of one."""
    advice = "raise `max_tokens`" if spec.max_tokens < tokenizer.context_length else "take shorter examples"
    if len(encoded) == 0:
        first = f": {encoded.dropped[0].reason}; {advice}" if encoded.dropped else ""
        raise TrainingError(
            f"no learned token at all: none of the {encoded.num_given} examples can be trained on under "
            f"{spec.base}{first}"
        )
    learned = np.asarray(encoded.ids)[np.asarray(encoded.learned)]
    end_of_turn = resolve_template(spec.template, tokenizer.tokenizer).end_of_turn
    ends = {tokenizer.eos_id, tokenizer.special_tokens.get(end_of_turn or "", tokenizer.eos_id)}
    if not np.isin(learned, list(ends)).any():
        raise TrainingError(
            f"no example teaches {spec.base} to end its answer: all {len(encoded)} are cut before their end; "
            f"{advice}, or write `overflow: drop`"
        )


def _require_one_beginning(base: LoadedBase, encoded: EncodedExamples) -> None:
    bos = base.tokenizer.bos_token_id
    if bos is None or bos == base.eos_id:
        return
    ids = np.asarray(encoded.ids)
    again = np.flatnonzero((ids[1:] == bos) & (ids[:-1] == bos)) + 1
    of_example = np.searchsorted(encoded.offsets, again, side="right") - 1
    # The first token of an example may follow one of the example before it.
    twice = np.unique(of_example[again > encoded.offsets[of_example]])
    if len(twice) > 0:
        at_start = bool(np.isin(encoded.offsets[twice] + 1, again).all())
        where = "prompts begin with" if at_start else "examples have"
        why = "the tokenizer puts one in front, so take" if at_start else "take one"
        raise TrainingError(
            f"{len(twice)} of {len(encoded)} {where} two beginning-of-sequence tokens under {base.name}: "
            f"{why} {base.tokenizer.bos_token!r} out of the template"
        )
