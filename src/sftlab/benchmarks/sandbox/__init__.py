"""Generated programs run here and nowhere else; `docs/sandbox.md` says what is kept apart and what stays possible."""

from sftlab.benchmarks.sandbox.limits import Limits
from sftlab.benchmarks.sandbox.sandbox import (
    Program,
    Sandbox,
    Verdict,
    keep_verdicts,
    sandbox_identity,
    tried,
    why_no_sandbox,
)

__all__ = ["Limits", "Program", "Sandbox", "Verdict", "keep_verdicts", "sandbox_identity", "tried", "why_no_sandbox"]
