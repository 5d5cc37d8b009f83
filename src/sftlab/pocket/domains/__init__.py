"""The domains of the pocket world: one file each, found through `DOMAINS` by name."""

from sftlab.pocket.domains.arithmetic import ARITHMETIC
from sftlab.pocket.domains.domain import Cloze, Domain, Question, draw_questions, exchange
from sftlab.pocket.domains.facts import FACTS
from sftlab.pocket.domains.reading import READING
from sftlab.pocket.domains.strings import STRINGS

DOMAINS: dict[str, Domain] = {domain.name: domain for domain in (FACTS, ARITHMETIC, STRINGS, READING)}

__all__ = ["DOMAINS", "Cloze", "Domain", "Question", "draw_questions", "exchange"]
