"""`sftlab audit`: what is wrong with results."""

from typing import TYPE_CHECKING

from sftlab.cli.options import AsJson, StoreFolder, StudyFile

if TYPE_CHECKING:
    from sftlab.analyse.audit.finding import AuditFinding

AT_MOST = 5
"""Findings of one check that are printed; the rest are counted."""


def audit(study: StudyFile, store: StoreFolder = None, as_json: AsJson = False) -> None:
    """Look for copies, values below chance, unread answers, confounds and whatever else misleads."""
    from sftlab.analyse.wording import counted
    from sftlab.cli.printing import print_json, print_line
    from sftlab.cli.texts import audited_results

    results, unread = audited_results(study, store)
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
        print_line(f"Not all texts of the data were looked at: {unread}")
    excluded = sum(finding.excluded.height for finding in results.audit)
    if not by_check:
        print_line("nothing was found")
    elif excluded:
        print_line(f"The analyses leave {counted(excluded, 'score')} out and say so; the rest is for you to judge.")
