"""The results of a study, from its own store or made elsewhere: tables, audit and answers, built when asked for."""

from collections.abc import Callable, Mapping
from functools import cached_property

import polars as pl

from sftlab.analyse.analysis import Analysis
from sftlab.analyse.answers import NEEDED, analysis_of_tables
from sftlab.analyse.audit.auditing import audit
from sftlab.analyse.audit.finding import AuditFinding
from sftlab.analyse.gain_sets import Influence, MetricKey, item_influences
from sftlab.analyse.properties import Sources, sources_of
from sftlab.analyse.schemas import CONTRACT, conformed, empty
from sftlab.analyse.tables import TABLES, table
from sftlab.errors import StudyError
from sftlab.store import Store
from sftlab.store.imported import ImportedStudy
from sftlab.study.cells import Cells


class Results:
    """The contract tables of one study and what follows from them.

    `notes` are sentences on what an import could not take over. Tables have the columns of the contract, also where
    they are empty.
    """

    def __init__(
        self,
        study: str,
        build: Callable[[str], pl.DataFrame],
        influences: Callable[[], Mapping[MetricKey, Influence]],
        *,
        sources: Sources,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.study = study
        self.notes = notes
        self._build = build
        self._influences = influences
        self._sources = sources
        self._known: dict[str, pl.DataFrame] = {}

    def table(self, name: str) -> pl.DataFrame:
        """One contract table. Raises StudyError for a name that is none, with those that are."""
        if name not in TABLES:
            raise StudyError(f"there is no table {name!r}; the tables are {', '.join(TABLES)}")
        if name not in self._known:
            self._known[name] = self._build(name)
        return self._known[name]

    def runs(self) -> pl.DataFrame:
        """The table `runs`: every run with its recipe, status and cost."""
        return self.table("runs")

    def checkpoints(self) -> pl.DataFrame:
        """The table `checkpoints`: what is kept of every run."""
        return self.table("checkpoints")

    def scores(self) -> pl.DataFrame:
        """The table `scores`: every checkpoint and base on every benchmark, with gains and intervals."""
        return self.table("scores")

    def items(self) -> pl.DataFrame:
        """The table `items`: every item's score and answer."""
        return self.table("items")

    def losses(self) -> pl.DataFrame:
        """The table `losses`: loss and learning rate by step."""
        return self.table("losses")

    def validation(self) -> pl.DataFrame:
        """The table `validation`: held-out loss by epoch."""
        return self.table("validation")

    def data(self) -> pl.DataFrame:
        """The table `data`: properties of every dataset under every base."""
        return self.table("data")

    def layers(self) -> pl.DataFrame:
        """The table `layers`: weight change by layer and part."""
        return self.table("layers")

    def tables(self) -> dict[str, pl.DataFrame]:
        """All contract tables by name."""
        return {name: self.table(name) for name in TABLES}

    @cached_property
    def audit(self) -> tuple[AuditFinding, ...]:
        """What is wrong with these results, the worst first."""
        return audit({name: self.table(name) for name in NEEDED})

    @cached_property
    def analysis(self) -> Analysis:
        """The answers, without what the audit excludes."""
        built = {name: self.table(name) for name in NEEDED}
        return analysis_of_tables(self.study, built, self._influences(), sources=self._sources)


def stored_results(cells: Cells, store: Store) -> Results:
    """The results that a store holds of a study, as far as it has come."""
    return Results(
        cells.study,
        lambda name: table(name, cells, store),
        lambda: item_influences(cells, store),
        sources=sources_of(cells),
    )


def imported_results(imported: ImportedStudy) -> Results:
    """Results made elsewhere. Without items, intervals speak of families and datasets alone."""

    def build(name: str) -> pl.DataFrame:
        known = imported.tables.get(name)
        return empty(CONTRACT[name]) if known is None else conformed(known, CONTRACT[name])

    return Results(imported.name, build, dict, sources=imported.sources, notes=imported.notes)
