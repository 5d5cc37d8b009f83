"""Arguments and options that several verbs share."""

from pathlib import Path
from typing import Annotated

import typer

StudyFile = Annotated[
    Path,
    typer.Argument(
        metavar="STUDY",
        help="the study file (YAML); where results are read, the folder of an import too",
        show_default=False,
    ),
]
StoreFolder = Annotated[
    Path | None,
    typer.Option(
        "--store",
        envvar="SFTLAB_STORE",
        help="the folder that holds results; .sftlab beside the study file if not given",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="print one JSON value on standard output, for programs")]
