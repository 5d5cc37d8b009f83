"""The command line: one thin verb a file. Exit 0 = done, 1 = ran but some cells failed, 2 = the input was wrong."""

import sys

import typer

from sftlab.cli.analyse import analyse
from sftlab.cli.audit import audit
from sftlab.cli.compare import compare
from sftlab.cli.data import data
from sftlab.cli.demo import demo
from sftlab.cli.diff import diff
from sftlab.cli.doctor import doctor
from sftlab.cli.export import export
from sftlab.cli.importing import imports
from sftlab.cli.init import init
from sftlab.cli.plan import plan
from sftlab.cli.predict import predict
from sftlab.cli.quick import quick
from sftlab.cli.report import report
from sftlab.cli.run import run
from sftlab.cli.sql import sql
from sftlab.cli.status import status
from sftlab.cli.table import table
from sftlab.cli.track import track
from sftlab.errors import SftlabError

VERBS = (
    demo,
    quick,
    init,
    plan,
    run,
    status,
    table,
    sql,
    analyse,
    compare,
    predict,
    audit,
    report,
    export,
    track,
    data,
    diff,
    doctor,
)

app = typer.Typer(
    name="sftlab",
    help="A laboratory for supervised fine-tuning: declare a study, train and evaluate every model, read what helped.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in VERBS:
    app.command()(verb)
app.add_typer(imports)

# typer carries a click of its own and shows only some of its errors, of which this is the root
CommandLineError: type[Exception] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)
WORDING = {"Input should be": "it should be", ", unable to parse string as an integer": ""}


def main() -> None:
    """Entry point: a user's mistake is one sentence on standard error and exit code 2."""
    try:
        raise SystemExit(_run())
    except SftlabError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(2) from None
    except CommandLineError as error:
        sys.stderr.write(f"error: {_said(error)}\n")
        raise SystemExit(2) from None
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("stopped\n")
        raise SystemExit(130) from None
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(0) from None


def _run() -> int:
    """Run the verb that the words name, and return the exit code."""
    code = app(sys.argv[1:] or ["--help"], prog_name="sftlab", standalone_mode=False)
    return code if isinstance(code, int) else 0


def _said(error: Exception) -> str:
    """What is wrong with the words of a command, in one line, and which help to read."""
    wrong = str(getattr(error, "format_message", error.__str__)())
    for phrase, plain in WORDING.items():
        wrong = wrong.replace(phrase, plain)
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "sftlab"
    return f"{' '.join(wrong.split()).rstrip('.')}; `{command} --help` lists what is legal"
