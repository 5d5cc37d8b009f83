"""The checks, one file each; this table is the registry."""

from collections.abc import Callable, Iterator

from sftlab.analyse.audit.checks.below_chance import below_chance
from sftlab.analyse.audit.checks.confounded_factors import confounded_factors, missing_seeds
from sftlab.analyse.audit.checks.copied_scores import copied_scores
from sftlab.analyse.audit.checks.data_texts import baked_template, contaminated_benchmarks, shared_examples
from sftlab.analyse.audit.checks.impossible_values import constant_values, impossible_values
from sftlab.analyse.audit.checks.outliers import outliers
from sftlab.analyse.audit.checks.unequal_items import unequal_examples, unequal_items, unfinished
from sftlab.analyse.audit.checks.unread_answers import unread_answers
from sftlab.analyse.audit.checks.untrained_models import missing_bases, untrained_models
from sftlab.analyse.audit.finding import AuditFinding, Tables

CHECKS: tuple[Callable[[Tables], Iterator[AuditFinding]], ...] = (
    copied_scores,
    impossible_values,
    untrained_models,
    constant_values,
    below_chance,
    unread_answers,
    unequal_items,
    unequal_examples,
    confounded_factors,
    missing_bases,
    unfinished,
    missing_seeds,
    outliers,
    contaminated_benchmarks,
    baked_template,
    shared_examples,
)
EXCLUDING = (copied_scores, impossible_values)
"""The checks that exclude scores from the analyses; they read the table `scores` alone."""
