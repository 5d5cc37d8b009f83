"""One model on a judged benchmark: its answers, a judge's verdicts on them, and the rows that they make."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from sftlab.benchmarks.item import Benchmark
from sftlab.benchmarks.judging import PROTOCOLS
from sftlab.benchmarks.judging.protocol import JudgeProtocol, JudgeQuestion, Verdict
from sftlab.evaluate.engines.engine import Engine
from sftlab.evaluate.item_rows import Row
from sftlab.evaluate.judging.client import WORDS, Answered, Unanswered
from sftlab.evaluate.judging.dialogues import Dialogue, DialogueForm, Dialogues, held_dialogues
from sftlab.evaluate.judging.rows import ROWS, JudgedItem
from sftlab.evaluate.judging.session import Desk, JudgeSession
from sftlab.evaluate.questions import Question

ATTEMPTS = 2
"""How often a judge is asked whose answer holds no verdict."""
SHARE_OF_GENERATION = 0.5
UNREAD = "no verdict can be read in the judge's answer"
CUT = "the judge's answer was cut before its verdict"


@dataclass(frozen=True)
class Judged:
    """Rows, what could not be asked of the model, and what was asked of it and of the judge.

    `left_out` counts items that have an answer and no verdict, by reason; `judge` is for the record's result.
    """

    rows: list[Row]
    obstacles: Mapping[str, str]
    left_out: Mapping[str, int]
    held: Dialogues
    judge: Mapping[str, object]


def judged_items(
    engine: Engine,
    benchmark: Benchmark,
    asked_items: Sequence[Question],
    *,
    form: DialogueForm,
    desk: Desk,
    on_progress: Callable[[float], None],
) -> Judged:
    """Have the model answer, and the judge say what the answers are worth.

    Raises JudgeError where questions to the judge stay open (see `JudgeSession.answers`).
    """
    assert benchmark.judge is not None
    protocol = PROTOCOLS[benchmark.judge]
    held = held_dialogues(
        engine,
        asked_items,
        form,
        max_new_tokens=benchmark.max_new_tokens,
        on_progress=lambda share: on_progress(share * SHARE_OF_GENERATION),
    )
    asked = [protocol.questions(one.item, one.answers, desk.judge) for one in held.dialogues]
    found = _Verdicts(protocol, desk)
    found.ask([question for of_item in asked for question in of_item], on_progress)
    items = [_judged(one, questions, found) for one, questions in zip(held.dialogues, asked, strict=True)]
    return Judged(
        ROWS[protocol.name](items),
        {one.item.item: one.obstacle for one in held.dialogues if one.obstacle is not None},
        Counter(one.failure for one in items if one.failure is not None),
        held,
        {
            **protocol.parameters(desk.judge),
            "endpoint": desk.judge.endpoint,
            "questions": len({question.key for of_item in asked for question in of_item}),
            "asked_now": found.asked,
            "asked_again": found.asked_again,
            "weighted": found.weighted,
        },
    )


class _Verdicts:
    """Verdicts on questions, or why there are none; a judge whose answer holds none is asked once more."""

    def __init__(self, protocol: JudgeProtocol, desk: Desk) -> None:
        self._protocol = protocol
        self._session = JudgeSession(desk)
        self._verdicts: dict[str, Verdict] = {}
        self._reasons: dict[str, str] = {}
        self.asked = self.asked_again = self.weighted = 0

    def ask(self, questions: Sequence[JudgeQuestion], on_progress: Callable[[float], None]) -> None:
        """Ask all of them; they are looked up by what they are at the first attempt."""
        waiting = {question.key: question for question in questions}
        for attempt in range(1, ATTEMPTS + 1):
            asked_now = [replace(question, attempt=attempt) for question in waiting.values()]

            def progress(share: float, attempt: int = attempt) -> None:
                share_of_judging = (attempt - 1 + share) / ATTEMPTS
                on_progress(SHARE_OF_GENERATION + (1 - SHARE_OF_GENERATION) * share_of_judging)

            answers = self._session.answers(asked_now, progress)
            self.asked += answers.asked
            self.asked_again += len(asked_now) if attempt > 1 else 0
            for (key, question), now in zip(list(waiting.items()), asked_now, strict=True):
                outcome = answers.outcomes[now.key]
                if self._take(key, question, outcome):
                    del waiting[key]

    def _take(self, key: str, question: JudgeQuestion, outcome: Answered | Unanswered) -> bool:
        """Keep what came of a question; False where asking again may give a verdict."""
        if not isinstance(outcome, Answered):
            self._reasons[key] = WORDS[outcome.kind]
            return True
        verdict = self._protocol.verdict(question, outcome.answer)
        if verdict is None:
            self._reasons[key] = UNREAD if outcome.answer.ended else CUT
            return False
        self._reasons.pop(key, None)
        self._verdicts[key] = verdict
        self.weighted += bool(question.top_logprobs and outcome.answer.first_token)
        return True

    def of(self, question: JudgeQuestion) -> Verdict | str:
        """The verdict, or why there is none."""
        return self._verdicts.get(question.key) or self._reasons[question.key]


def _judged(dialogue: Dialogue, questions: Sequence[JudgeQuestion], found: _Verdicts) -> JudgedItem:
    outcomes = {question.part: found.of(question) for question in questions}
    return JudgedItem(
        dialogue.item,
        tuple(dialogue.answers),
        {part: one for part, one in outcomes.items() if isinstance(one, Verdict)},
        {part: one for part, one in outcomes.items() if isinstance(one, str)},
        dialogue.obstacle,
    )
