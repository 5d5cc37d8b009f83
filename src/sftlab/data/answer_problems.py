"""Answers that refuse, answers that stop in the middle, and texts in another script than most: by rules, not by models.

Rules miss cases and hit others: their counts say where to look.
"""

import re
import unicodedata
from collections import Counter
from functools import lru_cache

REFUSAL = re.compile(
    r"\b(?:I(?:'m| am) (?:sorry|afraid|unable)\b[^.\n]{0,60}\b(?:can(?:'t|not)|unable|not able|don't)|"
    r"I (?:can(?:'t|not| not)|won't|am unable to|am not able to|will not) "
    r"(?:help|assist|provide|answer|fulfil|fulfill|comply|complete|do that|generate|create|engage|discuss|write)|"
    r"(?:it is|it's|that would be) (?:not appropriate|inappropriate|unethical|against)[^.\n]{0,40}\b(?:me|my)\b)|"
    r"申し訳(?:ありません|ございません)が|(?:抱歉|对不起)[,\uff0c]\s*(?:但)?我(?:不能|无法)",
    re.IGNORECASE,
)
REFUSED_WITHIN = 200
"""Characters of an answer among which a refusal begins."""
CUT_FROM = 120
"""Characters from which an answer is expected to end like one."""
CUT_LINE_WORDS = 6
CODE = re.compile(
    r"```|^\s*(?:def |class |import |#include|function |return |\}|\)|SELECT )|[;{}]\s*$|</\w+>", re.MULTILINE
)
ENDS_INSIDE = re.compile(r"[\w,(\-]$")


def refuses(answer: str) -> bool:
    """Whether an answer begins by declining to give one."""
    return REFUSAL.search(answer[:REFUSED_WITHIN].replace("\u2019", "'")) is not None


def stops_inside(answer: str) -> bool:
    """Whether a longer answer in prose ends in the middle of a sentence: its last line has no end, but many words."""
    text = answer.rstrip()
    if len(text) < CUT_FROM or CODE.search(text):
        return False
    last = text.rsplit("\n", 1)[-1]
    words = last.split()
    has_end = ENDS_INSIDE.search(last) is None or words[-1].startswith("#")
    return not has_end and len(words) >= CUT_LINE_WORDS and "." in text[:-1]


def main_script(text: str) -> str | None:
    """The script that most letters of a text are of (latin, cjk, cyrillic, ...); None for a text without letters.

    Kana stand for Japanese also among Chinese characters: a text with one kana in ten letters counts as kana.
    """
    counts: Counter[str] = Counter()
    for letter, count in Counter(text).items():
        script = _script(letter)
        if script is not None:
            counts[script] += count
    if not counts:
        return None
    if counts["kana"] * 10 >= counts.total() and counts["kana"] + counts["cjk"] > counts["latin"]:
        return "kana"
    return counts.most_common(1)[0][0]


@lru_cache(maxsize=1 << 16)
def _script(letter: str) -> str | None:
    if not letter.isalpha():
        return None
    name = unicodedata.name(letter, "").split(" ")[0].lower()
    return {"hiragana": "kana", "katakana": "kana", "": None}.get(name, name)
