"""`sftlab run`: do what is missing."""

from typing import Annotated, Literal

import typer

from sftlab.cli.options import AsJson, StoreFolder, StudyFile


def run(
    study: StudyFile,
    store: StoreFolder = None,
    on: Annotated[
        Literal["local", "inline"], typer.Option(help="where: worker processes here, or this process")
    ] = "local",
    workers: Annotated[int | None, typer.Option(min=1, help="how many workers; one per device if not given")] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="two steps and four items a cell, kept nowhere")] = False,
    as_json: AsJson = False,
) -> None:
    """Train, evaluate and measure what is missing; safe to stop or kill, and to start again."""
    from sftlab.cli.opening import open_study
    from sftlab.cli.printing import print_line
    from sftlab.cli.working import do_missing, print_outcome, smoke_study

    opened = open_study(study, store)
    work = smoke_study if smoke else do_missing
    outcome = work(opened, on=on, workers=workers)
    print_outcome(opened, outcome, as_json=as_json)
    if smoke and not as_json:
        print_line("this was a trial: nothing of it was kept")
    if outcome.interrupted:
        raise typer.Exit(130)
    if outcome.failed:
        raise typer.Exit(1)
