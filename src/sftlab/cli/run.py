"""`sftlab run`: do what is missing."""

from typing import Annotated, Literal

import typer

from sftlab.cli.options import AsJson, StoreFolder, StudyFile


def run(  # noqa: PLR0913, PLR0917 - the options of the verb
    study: StudyFile,
    store: StoreFolder = None,
    on: Annotated[
        Literal["local", "inline"], typer.Option(help="where: worker processes here, or this process")
    ] = "local",
    workers: Annotated[int | None, typer.Option(min=1, help="how many workers; one per device if not given")] = None,
    devices_per_run: Annotated[
        int, typer.Option(min=1, help="devices that each run is trained on, for bases too large for one")
    ] = 1,
    smoke: Annotated[bool, typer.Option("--smoke", help="two steps and four items a cell, kept nowhere")] = False,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="deterministic kernels only, on a GPU somewhat slower")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train, evaluate and measure what is missing; safe to stop or kill, and to start again."""
    from sftlab.cli.printing import print_line
    from sftlab.cli.working import do_missing, print_outcome, smoke_study
    from sftlab.execute.workplace import Manner
    from sftlab.plan.opening import open_study

    opened = open_study(study, store)
    if smoke:
        outcome = smoke_study(
            opened, on=on, workers=workers, devices_per_run=devices_per_run, deterministic=deterministic
        )
    else:
        manner = Manner(deterministic=deterministic)
        outcome = do_missing(opened, on=on, workers=workers, devices_per_run=devices_per_run, manner=manner)
    print_outcome(opened, outcome, as_json=as_json)
    if smoke and not as_json:
        print_line("this was a trial: nothing of it was kept")
    if outcome.interrupted:
        raise typer.Exit(130)
    if outcome.failed:
        raise typer.Exit(1)
