"""One self-contained html page: figures, tables and sentences of a study, also of one that is half done."""

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import jinja2
import polars as pl
from markupsafe import Markup

from sftlab.analyse.analysis import Analysis
from sftlab.report.columnar import table_data
from sftlab.report.context import ReportContext
from sftlab.report.figures.files import FORMATS, Format, write_figures
from sftlab.report.overview import overview
from sftlab.report.palette import palette
from sftlab.report.sections import SECTIONS
from sftlab.report.sections.material import Material
from sftlab.report.sections.models import model_data
from sftlab.report.sections.samples import sample_answers
from sftlab.report.text import script_json
from sftlab.store import write_atomically

SCRIPTS = ("base", "filters", "figures", "tables", "statistics", "leaderboard", "board", "explorer", "start")
"""Parts of the page's script, in order; they share one scope."""
FACETS = ("base", "family", "dataset", "method", "benchmark", "scorer")
"""What the reader can narrow everything on the page to."""


def write_report(analysis: Analysis, tables: Mapping[str, pl.DataFrame], context: ReportContext, out: Path) -> Path:
    """Write the page to `out` and return it.

    The file is complete or not there: it is written beside `out` and then renamed. Folders are made as needed.
    """
    write_atomically(out, render(analysis, tables, context).encode())
    return out


def write_report_figures(
    analysis: Analysis,
    tables: Mapping[str, pl.DataFrame],
    context: ReportContext,
    folder: Path,
    *,
    formats: Sequence[Format] = FORMATS,
    on_written: Callable[[int, int], None],
) -> list[Path]:
    """Write every figure of the page into a folder in these formats, each with its data as csv; return the csvs.

    `on_written` hears how many of how many stand. Raises StoreError where the folder cannot be written.
    """
    material = Material(analysis, tables, context, palette(tables))
    sections = [section(material) for section in SECTIONS]
    return write_figures(sections, folder, formats=formats, on_written=on_written)


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
        payloads={name: value for name, value in _payloads(material).items() if value is not None},
        script=Markup("\n".join(_source(environment, f"{name}.js") for name in SCRIPTS)),
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
    environment.filters["table_json"] = lambda block: Markup(script_json(table_data(block)))
    return environment


def _source(environment: jinja2.Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _payloads(material: Material) -> dict[str, object]:
    return {"facets": _facets(material), "models": model_data(material), "samples": sample_answers(material)}


def _facets(material: Material) -> dict[str, object]:
    levels: dict[str, list[str]] = {}
    families: dict[str, str] = {}
    for frame in (material.table("runs"), material.table("scores")):
        for facet in FACETS:
            if facet in frame.columns:
                known = frame[facet].drop_nulls().unique(maintain_order=True).to_list()
                levels[facet] = list(dict.fromkeys([*levels.get(facet, []), *known]))
        if {"base", "family"} <= set(frame.columns):
            families |= dict(frame.select("base", "family").drop_nulls().unique(maintain_order=True).iter_rows())
    levels["dataset"] = [name for name in levels.get("dataset", []) if name != "none"]
    return {"levels": levels, "families": families}
