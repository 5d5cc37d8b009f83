"""Generated programs run here and nowhere else; see `docs/sandbox.md` for what it keeps apart and what stays possible."""

from sftlab.benchmarks.sandbox.limits import Limits
from sftlab.benchmarks.sandbox.sandbox import (
    Program,
    Sandbox,
    Verdict,
    sandbox_identity,
    tried,
    why_no_sandbox,
)

__all__ = ["Limits", "Program", "Sandbox", "Verdict", "sandbox_identity", "tried", "why_no_sandbox"]
