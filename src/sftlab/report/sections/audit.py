"""What is wrong with the numbers."""

from sftlab.report.blocks import Block, Column, DataTable, Prose, Section
from sftlab.report.sections.material import Material
from sftlab.report.text import counted

COLUMNS = (
    Column("severity", "Severity", facet=True),
    Column("text", "What was found"),
    Column("why", "Why it matters"),
    Column("advice", "What to do"),
    Column("rows", "Rows", "integer"),
    Column("check", "Check", facet=True),
)


def audit(material: Material) -> Section:
    """Every finding of the audit, the worst first."""
    found = material.analysis.audit
    blocks: list[Block] = []
    if not found:
        blocks.append(Prose(("The audit found nothing: no copies, no unread answers, no confounded factors.",)))
    else:
        excluded = sum(finding.excluded.height for finding in found)
        text = f"{counted(len(found), 'finding')}, the worst first."
        if excluded:
            text += f" The answers on this page leave {counted(excluded, 'score')} out for them."
        rows = tuple((one.severity, one.text, one.why, one.advice, one.rows.height, one.check) for one in found)
        blocks += [Prose((text,)), DataTable("audit", "Findings", COLUMNS, rows, "audit.csv", page_rows=15)]
    return Section("audit", "Audit", "What is wrong with these numbers?", tuple(blocks))
