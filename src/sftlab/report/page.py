"""One self-contained html page: figures, tables and sentences of a study, also of one that is half done."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import jinja2
import polars as pl
from markupsafe import Markup

from sftlab.analyse.analysis import Analysis
from sftlab.report.blocks import DataTable
from sftlab.report.context import ReportContext
from sftlab.report.overview import overview
from sftlab.report.palette import palette
from sftlab.report.sections import SECTIONS
from sftlab.report.sections.material import Material
from sftlab.report.text import script_json
from sftlab.store import write_atomically


def write_report(analysis: Analysis, tables: Mapping[str, pl.DataFrame], context: ReportContext, out: Path) -> Path:
    """Write the page to `out` and return it.

    The file is complete or not there: it is written beside `out` and then renamed. Folders are made as needed.
    """
    write_atomically(out, render(analysis, tables, context).encode())
    return out


def render(analysis: Analysis, tables: Mapping[str, pl.DataFrame], context: ReportContext) -> str:
    """The page as text. It opens from disk: style, script, plotly and all numbers are inside, nothing is loaded.

    Names, reasons and answers are untrusted: html is escaped by the template, JSON in script elements holds no `<`,
    labels of figures hold no markup, and the page's own policy forbids every connection.
    """
    from plotly.offline import get_plotlyjs

    material = Material(analysis, tables, context, palette(tables))
    environment = _environment()
    return environment.get_template("report.html.j2").render(
        study=context.study,
        design=context.design,
        overview=overview(tables, context),
        sections=[section(material) for section in SECTIONS],
        created=f"{context.created:%Y-%m-%d %H:%M}",
        version=version("sftlab"),
        css=Markup(_source(environment, "report.css")),
        script=Markup(_source(environment, "report.js")),
        plotly=Markup(get_plotlyjs()),
    )


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sftlab.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["script_json"] = lambda value: Markup(script_json(value))
    environment.filters["table_json"] = lambda block: Markup(script_json(_table(block)))
    return environment


def _source(environment: jinja2.Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _table(block: DataTable) -> dict[str, object]:
    columns = [
        {"name": column.name, "title": column.title, "kind": column.kind, "facet": column.facet}
        for column in block.columns
    ]
    return {"columns": columns, "rows": block.rows, "file": block.file_name, "pageRows": block.page_rows}
