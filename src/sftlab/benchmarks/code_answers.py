"""What is read out of an answer that is to be a program.

1. An answer that goes on as code, before any fence, is code: the part before the first fence, or all of it.
2. Otherwise the answer is prose around fenced blocks: the first block with a definition in it, else the first block; a
   block that is not closed goes to the end.
3. Without a fence the whole answer is code.
"""

import re

EXTRACTION_VERSION = 1
FENCE = re.compile(r"```[ \t]*[\w+#.-]*[ \t]*\r?\n?")
STARTS_CODE = re.compile(r"(?:[ \t]+\S|(?:def|class|import|from|return|for|while|if|async def)\b.*\S|@\w)")
DEFINES = re.compile(r"^\s*(?:async\s+)?(?:def|class)\s+\w+", re.MULTILINE)


def extracted_code(text: str) -> str | None:
    """The code in an answer, with line feeds at the ends of lines, or None where there is nothing to run."""
    text = text.replace("\r\n", "\n")
    parts = FENCE.split(text)
    code = parts[0] if len(parts) == 1 or _starts_as_code(parts[0]) else _fenced(parts)
    code = code.rstrip()
    return f"{code}\n" if code.strip() else None


def defines(code: str, name: str) -> bool:
    """Whether code defines a function of that name at its top level."""
    return re.search(rf"^(?:async\s+)?def\s+{re.escape(name)}\b", code, re.MULTILINE) is not None


def whole_program(prompt: str, code: str, name: str) -> str:
    """A program out of a function's head and an answer: the answer goes on from the head, or defines the function anew.

    Where it does, what the head imports and defines stands before it all the same.
    """
    if defines(code, name):
        return f"{prompt.rstrip()}\n\n\n{code}"
    return prompt + code


def _starts_as_code(text: str) -> bool:
    first = next((line for line in text.splitlines() if line.strip()), "")
    return STARTS_CODE.match(first) is not None


def _fenced(parts: list[str]) -> str:
    blocks = parts[1::2]
    return next((block for block in blocks if DEFINES.search(block)), blocks[0])
