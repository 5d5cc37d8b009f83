"""`sftlab import`: results made elsewhere as a study."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sftlab.cli.options import AsJson

if TYPE_CHECKING:
    from sftlab.store.imported import ImportedStudy

imports = typer.Typer(
    name="import", help="Turn results made elsewhere into a study that the other verbs read.", no_args_is_help=True
)
Target = Annotated[
    Path | None, typer.Option("--to", help="a folder for the study; named after the source if not given")
]


@imports.command("massive-sft")
def massive_sft(
    source: Annotated[str, typer.Argument(metavar="FILE", help="evaluation_result.csv, or its url")],
    to: Target = None,
    sha256: Annotated[str | None, typer.Option(help="the digest that the file must have")] = None,
    as_json: AsJson = False,
) -> None:
    """The released results of 'Massive Supervised Fine-tuning Experiments' (arXiv 2506.14681)."""
    from sftlab.release.imports.fetching import fetched
    from sftlab.release.imports.massive_sft import massive_sft as read

    with fetched(source, sha256) as file:
        _write(read(file.path, file.origin), to or Path("massive-sft"), as_json)


def _write(study: "ImportedStudy", folder: Path, as_json: bool) -> None:
    from sftlab.cli.printing import print_json, print_line
    from sftlab.store.imported import write_imported_study

    write_imported_study(study, folder)
    sizes = {name: table.height for name, table in study.tables.items() if table.height}
    if as_json:
        print_json({"study": str(folder), "rows": sizes, "notes": list(study.notes), "origin": dict(study.origin)})
        return
    print_line(f"{folder}: {', '.join(f'{count:,} {name}' for name, count in sizes.items())}")
    for note in study.notes:
        print_line(f"note: {note}")
    print_line(f"now for example: sftlab audit {folder}, sftlab analyse {folder}, sftlab report {folder}")
