"""`sftlab track`: training curves for another tracker."""

from pathlib import Path
from typing import Annotated

import typer

from sftlab.cli.options import AsJson, StoreFolder, StudyFile


def track(
    study: StudyFile,
    to: Annotated[str, typer.Option("--to", help="tensorboard, wandb (offline) or mlflow (local)", show_default=False)],
    folder: Annotated[
        Path | None, typer.Option("--dir", help="where to write; STUDY's name with -TRACKER if not given")
    ] = None,
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> None:
    """Write loss, learning rate, gradient norm and validation of every run by step, for TensorBoard, W&B or MLflow."""
    from sftlab.cli.printing import print_json, print_line
    from sftlab.plan.opening import open_study
    from sftlab.release.curves import study_curves
    from sftlab.release.trackers import write_curves

    opened = open_study(study, store)
    target = (folder or study.resolve().with_name(f"{study.stem}-{to}")).resolve()
    curves = study_curves(opened.resolved.cells, opened.store)
    count = write_curves(to, opened.study.study, curves, target)
    if as_json:
        print_json({"tracker": to, "runs": count, "folder": str(target)})
    else:
        print_line(f"{count} run{'s' * (count != 1)} for {to} in {target}")
