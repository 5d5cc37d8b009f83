"""AlpacaEval 2: the answer against a reference model's, weighted by how sure the judge is (Dubois et al. 2024)."""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence

from sftlab.benchmarks.item import Item
from sftlab.benchmarks.judging.protocol import JudgeAnswer, JudgeQuestion, Verdict, prompt_words, prompts
from sftlab.study.judge import Judge

VERSION = 2
REFERENCE_FIRST, REFERENCE_SECOND = "reference_first", "reference_second"
FIRST, SECOND = "m", "M"
"""What the prompt calls the two outputs."""
TOP_LOGPROBS = 5
TOKENS_PER_CALL = (900, 1)
PROMPT = "alpaca-eval-clf"


class AlpacaEval:
    """Which of two outputs is better: the model's, or that of the reference file (`item.gold`), named m and M.

    A preference is P(token of the model's output) / (P(m) + P(M)) from the log-probabilities of the single token that
    the judge writes, as in `weighted_alpaca_eval_gpt4_turbo`; where an endpoint gives none, it is the plain verdict,
    0 or 1. Which output comes first is drawn from the seed and the instruction, or both orders are asked and averaged.
    The authors' temperature of 1 makes no difference to log-probabilities; plain verdicts are asked for at the study's
    `temperature`, 0 unless stated. Equal outputs count one half and are not asked about.
    """

    name = "alpaca_eval"

    @property
    def identity(self) -> object:
        """Version and words of the prompt."""
        return {"version": VERSION, "prompts": prompt_words(self.name)}

    def parameters(self, judge: Judge) -> Mapping[str, object]:
        """Model, temperature, the order of outputs and whether preferences are weighted."""
        used = judge.model_dump(include={"model", "temperature", "order", "logprobs"})
        return {**used, "seed": judge.seed if judge.order == "random" else None}

    def calls_per_item(self, judge: Judge) -> int:
        """One, or one for each order."""
        return 2 if judge.order == "both" else 1

    def tokens_per_call(self, judge: Judge) -> tuple[int, int]:  # noqa: ARG002 - the same for every judge
        """Prompt with two whole outputs, and the verdict's token."""
        return TOKENS_PER_CALL

    def questions(self, item: Item, answers: Sequence[str], judge: Judge) -> tuple[JudgeQuestion, ...]:
        """One question, or one for each order; none where the outputs are equal or there is no answer."""
        if not answers or answers[0] == item.gold[0]:
            return ()
        texts = {REFERENCE_FIRST: (item.gold[0], answers[0]), REFERENCE_SECOND: (answers[0], item.gold[0])}
        parts = tuple(texts) if judge.order == "both" else (_drawn(item.context, judge.seed),)
        return tuple(
            JudgeQuestion(
                part,
                judge.model,
                prompts(self.name)[PROMPT].messages(
                    instruction=item.context, output_1=texts[part][0], output_2=texts[part][1]
                ),
                judge.temperature,
                max_tokens=1,
                top_logprobs=TOP_LOGPROBS if judge.logprobs else 0,
            )
            for part in parts
        )

    def verdict(self, question: JudgeQuestion, answer: JudgeAnswer) -> Verdict | None:
        """The probability that the model's output is the better one."""
        own = SECOND if question.part == REFERENCE_FIRST else FIRST
        alternatives = answer.first_token if question.top_logprobs else None
        known = {token: (alternatives or {})[token] for token in (FIRST, SECOND) if token in (alternatives or {})}
        if known:
            most = max(known.values())
            weights = {token: math.exp(value - most) for token, value in known.items()}
            preference = weights.get(own, 0.0) / sum(weights.values())
            return Verdict(preference, f"{answer.text} (the model's output is {own}: {preference:.4f})")
        said = re.fullmatch(r"\W*([mM])\b\W*", answer.text)
        if said is None:
            return None
        return Verdict(float(said[1] == own), f"{answer.text} (the model's output is {own})")


def _drawn(instruction: str, seed: int) -> str:
    drawn = hashlib.sha256(f"{seed}\n{instruction}".encode()).digest()[0] % 2
    return REFERENCE_SECOND if drawn else REFERENCE_FIRST
