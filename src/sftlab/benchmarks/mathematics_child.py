"""The process that compares answers as mathematics: pairs in as json lines, `equal` or `different` out.

Run as a module by `mathematics`; a pair that takes too long or too much memory ends it.
"""

import json
import logging
import resource
import signal
import sys
from collections.abc import Callable

CPU_SECONDS = 3.0
WALL_SECONDS = 60.0
MAX_BYTES = 3 << 30


def main() -> None:
    """Answer pairs until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF, signal.SIGALRM})
    compare = _comparison()
    resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        answer, gold = json.loads(line)
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS)
        try:
            equal = compare(answer, gold)
        except Exception:  # noqa: BLE001 - whatever fails in a solver, the answers are not shown to be equal
            equal = False
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        sys.stdout.write("equal\n" if equal else "different\n")
        sys.stdout.flush()


def _comparison() -> Callable[[str, str], bool]:
    """Warmed up, so that no pair pays for imports."""
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

    logging.disable(logging.CRITICAL)
    forms = [LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig()]

    def parsed(text: str) -> list[object]:
        boxed = f"\\boxed{{{text}}}"
        return list(parse(boxed, extraction_config=forms, fallback_mode="no_fallback", parsing_timeout=None))

    def compare(answer: str, gold: str) -> bool:
        sides = parsed(answer), parsed(gold)
        if not all(sides):
            return False
        return bool(verify(sides[1], sides[0], timeout_seconds=None))

    assert compare("\\frac{1}{2}", "0.5")
    return compare


if __name__ == "__main__":
    main()
