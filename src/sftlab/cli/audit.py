"""`sftlab audit`: what is wrong with results."""

from typing import TYPE_CHECKING

from sftlab.cli.options import AsJson, StoreFolder, StudyFile

if TYPE_CHECKING:
    from pathlib import Path

    from sftlab.analyse.audit.finding import AuditFinding
    from sftlab.analyse.results import Results

AT_MOST = 5
"""Findings of one check that are printed; the rest are counted."""


def audit(study: StudyFile, store: StoreFolder = None, as_json: AsJson = False) -> None:
    """Look for copies, values below chance, unread answers, confounds and whatever else misleads."""
    from sftlab.analyse.wording import counted
    from sftlab.cli.printing import print_json, print_line

    results, unread = _audited(study, store)
    if as_json:
        found = [finding.to_json() for finding in results.audit]
        print_json({"study": results.study, "findings": found, "texts_not_checked": unread})
        return
    by_check: dict[str, list[AuditFinding]] = {}
    for finding in results.audit:
        by_check.setdefault(finding.check, []).append(finding)
    for findings in by_check.values():
        first = findings[0]
        for finding in findings[:AT_MOST]:
            print_line(f"{finding.severity}: {finding.text}")
        if len(findings) > AT_MOST:
            print_line(f"  and {len(findings) - AT_MOST} more like this (--json lists them all)")
        print_line(f"  why it matters: {first.why}")
        print_line(f"  what to do: {first.advice}")
    if unread is not None:
        print_line(f"The texts of the data were not looked at: {unread}")
    excluded = sum(finding.excluded.height for finding in results.audit)
    if not by_check:
        print_line("nothing was found")
    elif excluded:
        print_line(f"The analyses leave {counted(excluded, 'score')} out and say so; the rest is for you to judge.")


def _audited(study: "Path", store: "Path | None") -> "tuple[Results, str | None]":
    """Results with what is wrong with the texts of their data, or why these could not be read."""
    from sftlab.errors import BenchmarkError, DataError
    from sftlab.plan.data_checks import data_checks
    from sftlab.plan.opening import open_results, open_study
    from sftlab.store.imported import is_imported

    if is_imported(study):
        return open_results(study, store), None
    opened = open_study(study, store)
    try:
        return opened.results.with_data_checks(data_checks(opened)), None
    except (BenchmarkError, DataError) as error:
        return opened.results, str(error)
