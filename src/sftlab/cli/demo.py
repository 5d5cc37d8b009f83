"""`sftlab demo`: the built-in pocket study, from nothing to a report."""

from pathlib import Path
from typing import Annotated

import typer

from sftlab.cli.options import AsJson


def demo(
    out: Annotated[Path, typer.Option("--out", help="the folder for its files, results and report")] = Path(
        "sftlab-demo"
    ),
    workers: Annotated[int | None, typer.Option(min=1, help="how many workers; one per device if not given")] = None,
    as_json: AsJson = False,
) -> None:
    """Train, evaluate, measure and analyse the built-in pocket study, and write its report; downloads nothing."""
    from sftlab.cli.analyse import print_analysis
    from sftlab.cli.printing import print_json, print_line
    from sftlab.cli.report import study_context, write_page
    from sftlab.cli.working import do_missing, print_outcome
    from sftlab.plan.opening import open_study
    from sftlab.pocket.files import write_pocket_study

    study_file = write_pocket_study(out)
    opened = open_study(study_file, out / ".sftlab")
    cells = opened.resolved.cells
    if not as_json:
        print_line(f"{len(cells.bases)} bases, {len(cells.runs)} runs, {len(cells.scores)} scores: {study_file}")
    outcome = do_missing(opened, on="local", workers=workers)
    results = opened.results
    analysis = results.analysis
    page = write_page(results, study_context(opened), out / "report.html")
    if as_json:
        print_json({"report": str(page), "analysis": analysis.to_json()})
    else:
        print_outcome(opened, outcome, as_json=False)
        print_line()
        print_analysis(analysis)
        print_line(f"the study file, to change and run again: {study_file}")
        print_line(f"the report, to open in a browser: {page.resolve()}")
    if outcome.interrupted:
        raise typer.Exit(130)
    if outcome.failed:
        raise typer.Exit(1)
