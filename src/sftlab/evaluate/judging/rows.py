"""From verdicts to rows of the table `items`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sftlab.benchmarks.item import Item
from sftlab.benchmarks.judging.mt_bench import TURNS
from sftlab.benchmarks.judging.protocol import Verdict
from sftlab.evaluate.item_rows import Row, item_row

RATING, WIN_RATE, CONTROLLED = "rating", "win_rate", "length_controlled_win_rate"
TIE = 0.5
BETWEEN_TURNS = "\n\n---\n\n"


@dataclass(frozen=True)
class JudgedItem:
    """An item, the answers to its turns, and by part either a verdict or why the item is left out.

    `unfit` says why a turn could not be asked of the model at all.
    """

    item: Item
    answers: tuple[str, ...]
    verdicts: Mapping[str, Verdict]
    left_out: Mapping[str, str]
    unfit: str | None = None

    @property
    def failure(self) -> str | None:
        """Why a verdict is missing though the model has answered."""
        return next(iter(self.left_out.values()), None)


def rating_rows(items: Sequence[JudgedItem]) -> list[Row]:
    """Ratings of MT-Bench: of each turn, and their mean over an item's turns where all have one.

    Over items that have both turns the mean of `rating` is the authors' score, the mean over all judgements.
    """
    return [row for item in items for row in (_rating(item), *(_turn(item, place) for place in range(len(TURNS))))]


def _rating(one: JudgedItem) -> Row:
    answer = BETWEEN_TURNS.join(one.answers) if one.answers else None
    said = BETWEEN_TURNS.join(verdict.text for verdict in one.verdicts.values()) or None
    if len(one.verdicts) == len(TURNS):
        score = sum(verdict.value for verdict in one.verdicts.values()) / len(TURNS)
        return item_row(one.item, "judge", RATING, score=score, answer=answer, verdict=said, parsed=True)
    return _without(one, RATING, answer=answer, said=said)


def _turn(one: JudgedItem, place: int) -> Row:
    part = TURNS[place]
    metric = f"{RATING}:{part}"
    answer = one.answers[place] if place < len(one.answers) else None
    verdict = one.verdicts.get(part)
    if verdict is not None:
        return item_row(
            one.item, "judge", metric, score=verdict.value, answer=answer, verdict=verdict.text, parsed=True
        )
    reason = one.left_out.get(part)
    status = "failed" if reason is not None else "unfit"
    return item_row(one.item, "judge", metric, status=status, reason=reason or one.unfit, answer=answer)


def preference_rows(items: Sequence[JudgedItem]) -> list[Row]:
    """Preferences of AlpacaEval 2, plain and length-controlled; a mean over orders where both were asked."""
    from sftlab.analyse.length_controlled import NotControlled, length_controlled_win_rate

    preferences = [_preference(one) for one in items]
    judged = [(one, value) for one, value in zip(items, preferences, strict=True) if value is not None]
    difference_N = np.array([float(len(one.answers[0]) - len(one.item.gold[0])) for one, _ in judged])
    found = length_controlled_win_rate(np.array([value for _, value in judged], dtype=np.float64), difference_N)
    controlled = iter([None] * len(judged) if isinstance(found, NotControlled) else found.by_item.tolist())
    rows: list[Row] = []
    for one, value in zip(items, preferences, strict=True):
        answer = one.answers[0] if one.answers else None
        said = "\n".join(verdict.text for verdict in one.verdicts.values()) or None
        if value is None:
            rows += [_without(one, metric, answer=answer, said=said) for metric in (WIN_RATE, CONTROLLED)]
            continue
        common: Row = {"answer": answer, "verdict": said, "parsed": True}
        rows.append(item_row(one.item, "judge", WIN_RATE, score=value, **common))
        if isinstance(found, NotControlled):
            rows.append(item_row(one.item, "judge", CONTROLLED, status="unfit", reason=found.reason, **common))
        else:
            rows.append(item_row(one.item, "judge", CONTROLLED, score=next(controlled), **common))
    return rows


def _preference(one: JudgedItem) -> float | None:
    if one.unfit is not None or one.failure is not None:
        return None
    if not one.verdicts:
        return TIE
    return sum(verdict.value for verdict in one.verdicts.values()) / len(one.verdicts)


def _without(one: JudgedItem, metric: str, *, answer: str | None, said: str | None) -> Row:
    status = "failed" if one.failure is not None else "unfit"
    reason = one.failure or one.unfit
    return item_row(one.item, "judge", metric, status=status, reason=reason, answer=answer, verdict=said)


ROWS: Mapping[str, Callable[[Sequence[JudgedItem]], list[Row]]] = {
    "mt_bench": rating_rows,
    "alpaca_eval": preference_rows,
}
