"""The results of a study, from its own store or made elsewhere: tables, audit and answers, built when asked for."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import cached_property

import polars as pl

from sftlab.analyse.analysis import Analysis
from sftlab.analyse.answers import NEEDED, analysis_of_tables
from sftlab.analyse.audit.auditing import audit, without_excluded
from sftlab.analyse.audit.finding import AuditFinding
from sftlab.analyse.gain_sets import GainSet, Influence, MetricKey, gain_sets, item_influences
from sftlab.analyse.item_tables import influences_of_items
from sftlab.analyse.properties import Sources, sources_of
from sftlab.analyse.schemas import CONTRACT, conformed, empty
from sftlab.analyse.superseded import superseded_notes
from sftlab.analyse.tables import TABLES, table
from sftlab.errors import StudyError
from sftlab.store import Store
from sftlab.store.imported import ImportedStudy
from sftlab.study.cells import Cells
from sftlab.study.spelling import nearest


class Results:
    """The contract tables of one study and what follows from them.

    `notes` are sentences on what an import could not take over, or a store holds uncounted. Tables have the columns of
    the contract, also where they are empty.
    """

    def __init__(
        self,
        study: str,
        build: Callable[[str], pl.DataFrame],
        influences: Callable[[], Mapping[MetricKey, Influence]],
        *,
        sources: Sources,
        notes: tuple[str, ...] = (),
        stored: "_Stored | None" = None,
    ) -> None:
        self.study = study
        self.notes = notes
        self.sources = sources
        self._build = build
        self._build_influences = influences
        self._stored = stored
        self._known: dict[str, pl.DataFrame] = {}
        self._of_texts: dict[str, pl.DataFrame] = {}

    def table(self, name: str) -> pl.DataFrame:
        """One contract table. Raises StudyError for a name that is none, with those that are."""
        if name not in TABLES:
            raise StudyError(f"there is no table {name!r}{nearest(name, TABLES)}")
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

    def questions(self) -> pl.DataFrame:
        """The table `questions`: every item's prompt and gold answer."""
        return self.table("questions")

    def items_of(self, checkpoints: Collection[str]) -> pl.DataFrame:
        """The rows of the table `items` of these checkpoints alone, without reading all others from a store."""
        if self._stored is not None and "items" not in self._known:
            return self._stored.items_of(checkpoints)
        return self.items().filter(pl.col("checkpoint").is_in(list(checkpoints)))

    def recipe(self, run: str) -> Mapping[str, object]:
        """What is declared of a run beyond the columns of the table `runs`; nothing of results made elsewhere."""
        return {} if self._stored is None else self._stored.recipe(run)

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

    def dimensions(self) -> pl.DataFrame:
        """The table `dimensions`: intrinsic dimension of hidden states by layer."""
        return self.table("dimensions")

    def logliks(self) -> pl.DataFrame:
        """The table `logliks`: log-likelihood of every fixed text under every model."""
        return self.table("logliks")

    def tables(self) -> dict[str, pl.DataFrame]:
        """All contract tables by name."""
        return {name: self.table(name) for name in TABLES}

    def with_data_checks(self, found: pl.DataFrame) -> "Results":
        """The same results, audited with what was found in the texts of their datasets (`DATA_CHECKS`) as well."""
        audited = Results(
            self.study,
            self.table,
            self._build_influences,
            sources=self.sources,
            notes=self.notes,
            stored=self._stored,
        )
        audited._of_texts = {"data_checks": found}
        return audited

    @cached_property
    def audit(self) -> tuple[AuditFinding, ...]:
        """What is wrong with these results, the worst first."""
        return audit({**{name: self.table(name) for name in NEEDED}, **self._of_texts})

    @cached_property
    def analysis(self) -> Analysis:
        """The answers, without what the audit excludes."""
        built = {**{name: self.table(name) for name in NEEDED}, **self._of_texts}
        return analysis_of_tables(self.study, built, self.influences, sources=self.sources)

    @cached_property
    def gain_sets(self) -> list[GainSet]:
        """The gains that every analysis rests on: see `gain_sets.gain_sets`."""
        return gain_sets(self.audited_scores, self.influences)

    @cached_property
    def audited_scores(self) -> pl.DataFrame:
        """The table `scores` without the values that the audit excludes, which no analysis rests on."""
        return without_excluded(self.scores(), self.audit)

    @cached_property
    def influences(self) -> Mapping[MetricKey, Influence]:
        """How much each item pulls on each run's gain; empty where no items are known."""
        return self._build_influences()


class _Stored:
    """What only the store of a study can say."""

    def __init__(self, cells: Cells, store: Store) -> None:
        self._cells = cells
        self._store = store

    def items_of(self, checkpoints: Collection[str]) -> pl.DataFrame:
        wanted = frozenset(checkpoints)
        of_these = tuple(cell for cell in self._cells.scores if cell.checkpoint in wanted)
        return table("items", replace(self._cells, scores=of_these), self._store)

    def recipe(self, run: str) -> Mapping[str, object]:
        return next(cell.spec.recipe for cell in self._cells.runs if cell.spec.run == run)


def stored_results(cells: Cells, store: Store) -> Results:
    """The results that a store holds of a study, as far as it has come."""
    return Results(
        cells.study,
        lambda name: table(name, cells, store),
        lambda: item_influences(cells, store),
        sources=sources_of(cells),
        notes=superseded_notes(cells, store),
        stored=_Stored(cells, store),
    )


def imported_results(imported: ImportedStudy) -> Results:
    """Results made elsewhere. Where they have no items, intervals speak of families and datasets alone."""

    def build(name: str) -> pl.DataFrame:
        known = imported.tables.get(name)
        return empty(CONTRACT[name]) if known is None else conformed(known, CONTRACT[name])

    def influences() -> Mapping[MetricKey, Influence]:
        return influences_of_items(build("scores"), build("items"))

    return Results(imported.name, build, influences, sources=imported.sources, notes=imported.notes)
