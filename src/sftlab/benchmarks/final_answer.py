"""The final answer in a worked solution: the forms in which MATH and GSM8K, and models that imitate them, end."""

import re

FINAL_ANSWER_VERSION = 1
"""Part of the identity of every score that rests on such readings."""
SENTENCE_END = r"(?:\.?\s*(?:\n|$)|\.\s+(?=[A-Z]))"
ENDINGS = (
    re.compile(r"####[ \t]*(?P<answer>[^\n]+)"),
    re.compile(rf"(?i:final answer is):?(?P<answer>.+?)(?:\.?\s*(?i:I hope it is correct)|{SENTENCE_END})"),
    re.compile(rf"(?i:(?:the|my|our|correct) answer is):?(?P<answer>.+?){SENTENCE_END}"),
)
BOX = re.compile(r"\\(?:boxed|fbox)\s*(?=\{)")
UNBRACED_BOX = re.compile(r"\\(?:boxed|fbox)\s+(?P<answer>[^\s${}]+)")


def final_answer(text: str) -> str | None:
    """The last boxed answer; else what follows the last `####`, `final answer is` or `the answer is`; else None.

    Of a text that breaks off inside the last box, an earlier whole one counts. The forms are those of Hendrycks et al.
    2021 (arXiv 2103.03874), Cobbe et al. 2021 (arXiv 2110.14168) and Lewkowycz et al. 2022 (arXiv 2206.14858).
    """
    boxed = _last_box(text)
    if boxed is not None:
        return _bare(boxed)
    for ending in ENDINGS:
        found = [match["answer"] for match in ending.finditer(text)]
        if found and _bare(found[-1]):
            return _bare(found[-1])
    return None


def _last_box(text: str) -> str | None:
    for match in reversed(list(BOX.finditer(text))):
        inside = _braced(text, match.end())
        if inside is not None and inside.strip():
            return inside
    unbraced = [match["answer"] for match in UNBRACED_BOX.finditer(text)]
    return unbraced[-1] if unbraced else None


def _braced(text: str, start: int) -> str | None:
    depth = 0
    for place in range(start, len(text)):
        escaped = text[place - 1] == "\\" and text[place - 2 : place] != "\\\\"
        if text[place] == "{" and not escaped:
            depth += 1
        elif text[place] == "}" and not escaped:
            depth -= 1
            if depth == 0:
                return text[start + 1 : place]
    return None


def _bare(answer: str) -> str:
    """Without the dollar signs and spaces around it, and the full stop after it."""
    bare = answer.strip().rstrip(".").strip().strip("*").strip()
    if len(bare) > 1 and bare[0] == bare[-1] == "$":
        bare = bare.strip("$").strip()
    if bare.startswith("\\(") and bare.endswith("\\)"):
        bare = bare[2:-2].strip()
    return bare
