"""Outcomes (a benchmark in one metric), and the sentences that belong to each."""

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from sftlab.analyse.analysis import Analysis
from sftlab.analyse.effects import Section as Topic
from sftlab.analyse.effects import told
from sftlab.analyse.wording import SHARES
from sftlab.report.blocks import Prose, Variant
from sftlab.report.figures.drawing import SURE


@dataclass(frozen=True)
class Outcome:
    """What a gain is measured in; `main` is the metric in which the answer for the benchmark is given."""

    benchmark: str
    scorer: str
    metric: str
    main: bool
    unit: str

    @property
    def detail(self) -> str:
        """The metric and the scorer in words."""
        return f"{self.metric.replace('_', ' ')}, {self.scorer}"

    @property
    def facets(self) -> dict[str, str]:
        """What filters choose by."""
        return {"benchmark": self.benchmark, "scorer": self.scorer}

    @property
    def scale(self) -> float:
        """By what values are multiplied to be in the shown unit."""
        return 100.0 if self.unit in SHARES else 1.0

    @property
    def shown_unit(self) -> str:
        """The unit of figures and sentences: shares are shown as points of a hundred."""
        return SHARES.get(self.unit, self.unit)

    def rows(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows of a frame of the analysis that are about this outcome."""
        return frame.filter(
            pl.col("benchmark") == self.benchmark, pl.col("scorer") == self.scorer, pl.col("metric") == self.metric
        )

    def shown(self, frame: pl.DataFrame, *columns: str) -> pl.DataFrame:
        """The rows about this outcome with these columns in the shown unit."""
        return self.rows(frame).with_columns(pl.col(*columns) * self.scale)


def in_shown_units(frame: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """A frame with a column `unit` whose other `columns` are in the shown unit: shares become points of a hundred."""
    scale = pl.when(pl.col("unit").is_in(list(SHARES))).then(100.0).otherwise(1.0)
    return frame.with_columns(*(pl.col(name) * scale for name in columns), pl.col("unit").replace(SHARES))


def sure_first(frame: pl.DataFrame, effect: str) -> pl.DataFrame:
    """Benchmarks in their order; in each what is sure before what is not, and then the larger effect first."""
    benchmarks = frame["benchmark"].unique(maintain_order=True)
    return frame.sort(
        pl.col("benchmark").replace_strict(benchmarks, pl.Series(range(len(benchmarks)))),
        ~pl.col("verdict").is_in(SURE).fill_null(value=False),
        -pl.col(effect).abs(),
        nulls_last=True,
        maintain_order=True,
    )


def outcomes(frame: pl.DataFrame, *, main_only: bool = False) -> tuple[Outcome, ...]:
    """The outcomes that occur in a frame, in its order, main ones first; none for benchmarks nothing was scored on."""
    columns = ["benchmark", "scorer", "metric", "main", "unit"]
    found = [Outcome(*row) for row in frame.select(columns).drop_nulls().unique(maintain_order=True).iter_rows()]
    main = [outcome for outcome in found if outcome.main]
    return tuple(main if main_only else [*main, *(outcome for outcome in found if not outcome.main)])


def found_on(analysis: Analysis, topic: Topic, benchmark: str | None, subject: str | None = None) -> tuple[str, ...]:
    """The sentences of a topic on exactly this benchmark and subject; None stands for all of them."""
    return tuple(
        finding.text
        for finding in analysis.findings
        if (finding.section, finding.benchmark, finding.subject) == (topic, benchmark, subject)
    )


def caveats_on(analysis: Analysis, topic: Topic, benchmark: str, *subjects: str | None) -> tuple[str, ...]:
    """What qualifies the sentences of a topic on this benchmark and these subjects, each once."""
    wanted = subjects or (None,)
    return tuple(
        dict.fromkeys(
            sentence
            for finding in analysis.findings
            if (finding.section, finding.benchmark) == (topic, benchmark) and finding.subject in wanted
            for sentence in finding.caveat_sentences
        )
    )


def general_prose(analysis: Analysis, topic: Topic, variants: Iterable[Variant], otherwise: str) -> Prose:
    """The sentences of a topic that stand under none of its figures; `otherwise` where it has neither.

    What another sentence counts already is left out.
    """
    drawn = tuple(variants)
    under_figures = {sentence for variant in drawn for sentence in variant.found}
    of_topic = [one for one in analysis.findings if one.section == topic and not one.in_overview]
    others = [one for one in of_topic if one.text not in under_figures]
    sentences = tuple(told(others))
    return Prose(sentences if sentences or drawn else (otherwise,))
