"""MT-Bench: each turn of a dialogue rated from 1 to 10 by itself (Zheng et al. 2023, arXiv 2306.05685)."""

import re
from collections.abc import Mapping, Sequence

from sftlab.benchmarks.item import Item
from sftlab.benchmarks.judging.protocol import JudgeAnswer, JudgeQuestion, Verdict, prompt_words, prompts
from sftlab.study.judge import Judge

VERSION = 1
TURNS = ("turn_1", "turn_2")
RATINGS = (re.compile(r"\[\[(\d+\.?\d*)\]\]"), re.compile(r"\[(\d+\.?\d*)\]"))
"""In this order: the second form is what judges write by mistake."""
TOKENS_PER_CALL = (900, 250)


class MtBench:
    """Single-answer grading with the authors' prompts, with a reference answer where the item has one.

    The authors sample the evaluated model's answers at a temperature of each category's own (0.7 for writing and
    roleplay, 0.1 for stem and humanities, 0 for the rest) and judge at 0; here answers are greedy in every category, so
    that a score has no noise of sampling. A rating outside of 1 to 10 is no verdict.
    """

    name = "mt_bench"

    @property
    def identity(self) -> object:
        """Version and words of the prompts."""
        return {"version": VERSION, "prompts": prompt_words(self.name)}

    def parameters(self, judge: Judge) -> Mapping[str, object]:
        """Model, temperature and the limit of tokens."""
        return judge.model_dump(include={"model", "temperature", "max_tokens"})

    def calls_per_item(self, judge: Judge) -> int:  # noqa: ARG002 - the same for every judge
        """One for each turn."""
        return len(TURNS)

    def tokens_per_call(self, judge: Judge) -> tuple[int, int]:
        """Prompt with a whole answer, and an explanation of a few sentences."""
        tokens, answer = TOKENS_PER_CALL
        return tokens, min(answer, judge.max_tokens)

    def questions(self, item: Item, answers: Sequence[str], judge: Judge) -> tuple[JudgeQuestion, ...]:
        """A question for each turn that was answered; `item.gold` holds a reference answer a turn, empty for none."""
        known = prompts(self.name)
        turns = (item.context, *item.follow_ups)
        references = item.gold if all(item.gold) and len(item.gold) == len(turns) else ()
        kind = "single-math-v1" if references else "single-v1"
        values = {f"ref_answer_{place}": text for place, text in enumerate(references, start=1)}
        values |= {f"question_{place}": text for place, text in enumerate(turns, start=1)}
        values |= {f"answer_{place}": text for place, text in enumerate(answers, start=1)}
        filled = [known[kind].messages(question=turns[0], answer=answers[0], **values)] if answers else []
        if len(answers) == len(TURNS):
            filled.append(known[f"{kind}-multi-turn"].messages(**values))
        return tuple(
            JudgeQuestion(turn, judge.model, messages, judge.temperature, judge.max_tokens)
            for turn, messages in zip(TURNS, filled, strict=False)
        )

    def verdict(self, question: JudgeQuestion, answer: JudgeAnswer) -> Verdict | None:  # noqa: ARG002 - alike for all
        """The first rating in double brackets, else the first in single ones, as the authors read it."""
        for form in RATINGS:
            found = form.search(answer.text)
            if found:
                rating = float(found[1])
                return Verdict(rating, answer.text) if 1 <= rating <= 10 else None
        return None
