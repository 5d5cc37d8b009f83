"""All checks on the tables of a study, and what the analyses do about what they find."""

from collections.abc import Sequence

import polars as pl

from sftlab.analyse.audit.checks import CHECKS, EXCLUDING
from sftlab.analyse.audit.finding import KEYS, SEVERITIES, AuditFinding, Tables


def audit(tables: Tables) -> tuple[AuditFinding, ...]:
    """What every check finds in the tables `runs` and `scores`, and in `layers` where it is there; the worst first.

    Checks of texts read the frame `data_checks` (see `DATA_CHECKS`), which is no table of the contract.
    """
    found = [finding for check in CHECKS for finding in check(tables)]
    names = {check.__name__ for check in EXCLUDING}
    assert all(one.excluded.is_empty() or one.check in names for one in found), "a check that excludes is in EXCLUDING"
    return tuple(sorted(found, key=lambda finding: SEVERITIES.index(finding.severity)))


def exclusions(scores: pl.DataFrame) -> tuple[AuditFinding, ...]:
    """What the analyses leave out, from the table `scores` alone: quick, for the rest of the audit is not needed."""
    found = [finding for check in EXCLUDING for finding in check({"scores": scores})]
    return tuple(finding for finding in found if not finding.excluded.is_empty())


def without_excluded(scores: pl.DataFrame, findings: Sequence[AuditFinding]) -> pl.DataFrame:
    """The table `scores` without values that the audit excludes, and without gains over bases that it excludes.

    Such rows stay, with status `excluded` and the check as reason.
    """
    excluded = [one.excluded.with_columns(check=pl.lit(one.check)) for one in findings if not one.excluded.is_empty()]
    if not excluded:
        return scores
    marked = pl.concat(excluded).unique(KEYS, keep="first", maintain_order=True)
    bases = scores.filter(pl.col("dataset") == "none").select("checkpoint", "base").unique()
    of_bases = marked.join(bases, on="checkpoint").select("base", *KEYS[1:], pl.col("check").alias("base_check"))
    joined = scores.join(marked, on=KEYS, how="left", maintain_order="left").join(
        of_bases.unique(["base", *KEYS[1:]]), on=["base", *KEYS[1:]], how="left", maintain_order="left"
    )
    own, by_base = pl.col("check").is_not_null(), pl.col("base_check").is_not_null()
    values = [name for name in ("value", "se", "ci_low", "ci_high") if name in scores.columns]
    gains = [name for name in ("gain", "gain_se", "gain_ci_low", "gain_ci_high") if name in scores.columns]
    return joined.with_columns(
        *(pl.when(own).then(None).otherwise(pl.col(name)).alias(name) for name in values),
        *(pl.when(own | by_base).then(None).otherwise(pl.col(name)).alias(name) for name in gains),
        status=pl.when(own).then(pl.lit("excluded")).otherwise(pl.col("status")),
        reason=pl.when(own)
        .then(pl.lit("audit: ") + pl.col("check"))
        .when(by_base)
        .then(pl.lit("audit: the base has ") + pl.col("base_check"))
        .otherwise(pl.col("reason")),
    ).select(scores.columns)
