"""`sftlab analyse`: the answer first, then what it rests on."""

from typing import TYPE_CHECKING

from sftlab.cli.options import AsJson, StoreFolder, StudyFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl

    from sftlab.analyse.analysis import Analysis


MOST_GAINS = 200
"""A terminal shows so many gains; more are not read there."""
FEW_GAINS = 20
"""So many are shown where none has an interval."""


def analyse(study: StudyFile, store: StoreFolder = None, as_json: AsJson = False) -> None:
    """Say which data helped which benchmark, how sure that is, and what went with it."""
    from sftlab.cli.printing import print_json, print_line
    from sftlab.cli.texts import SECONDS, audited_results

    results, unread = audited_results(study, store, seconds=SECONDS)
    if as_json:
        print_json({**results.analysis.to_json(), "texts_not_checked": unread})
        return
    print_analysis(results.analysis)
    for line in (*left_out_lines(results.table("scores")), *results.notes):
        print_line(line)
    if unread is not None:
        print_line(f"Not all texts of the data were looked at: {unread} (`sftlab audit {study}` takes its time)")


def left_out_lines(scores: "pl.DataFrame") -> list[str]:
    """For each benchmark, how many items were too long for which base, and so are in no score."""
    import polars as pl

    from sftlab.analyse.wording import listed

    found = scores.filter(pl.col("main") & (pl.col("dataset") == "none") & (pl.col("unfit") > 0))
    told: dict[str, list[str]] = {}
    for row in found.sort("benchmark", "base").iter_rows(named=True):
        items = f"{row['unfit']} of {row['unfit'] + row['n']} items for {row['base']}"
        told.setdefault(row["benchmark"], []).append(items)
    return [f"Left out of every score on {benchmark}, too long: {listed(parts)}." for benchmark, parts in told.items()]


def print_analysis(analysis: "Analysis") -> None:
    """The answers as sentences, and the gains as a table."""
    from sftlab.analyse.answers import answer_lines
    from sftlab.cli.printing import print_line

    for line in answer_lines(analysis):
        print_line(line)
    print_line()
    print_gains(analysis.gains)


def print_gains(gains: "pl.DataFrame") -> None:
    """The gains of main metrics over all methods as a table, and how many are not in it.

    What is sure comes first, benchmark by benchmark, the larger gain before the smaller. Of gains without an interval
    nothing can be told, so that they come last, and only where there are few others.
    """
    import polars as pl

    from sftlab.analyse.verdicts import HIGHER, LOWER
    from sftlab.analyse.wording import cell, interval_cell, unit_shown
    from sftlab.cli.printing import print_columns, print_line

    of_all = gains.filter(pl.col("main") & (pl.col("method") == "all"))
    if of_all.is_empty():
        return
    sure, first = pl.col("verdict").is_in([HIGHER, LOWER]), pl.col("place").min().over("benchmark")
    order = (sure, first, pl.col("gain").abs())
    placed = of_all.drop_nulls("gain").with_row_index("place")
    known = placed.sort(*order, descending=[True, False, True], maintain_order=True).drop("place")
    tested, untested = known.drop_nulls("ci_low"), known.filter(pl.col("ci_low").is_null())
    shown = pl.concat([tested.head(MOST_GAINS), untested.head(max(0, FEW_GAINS - tested.height))])
    rows = [
        (
            *(row[name] for name in ("benchmark", "base", "dataset")),
            cell(row["gain"], row["unit"]),
            interval_cell(row, row["unit"]),
            unit_shown(row["unit"]),
            "surely" if row["verdict"] in {HIGHER, LOWER} else row["verdict"],
            row["n"],
        )
        for row in shown.iter_rows(named=True)
    ]
    if rows:
        print_columns(("benchmark", "base", "dataset", "gain", "95 % interval", "in", "how sure", "runs"), rows)
    for line in _not_shown(of_all, shown):
        print_line(line)
    print_line()


def _not_shown(of_all: "pl.DataFrame", shown: "pl.DataFrame") -> "Iterator[str]":
    """How many gains the table leaves out, and how many cells have none, with the reason."""
    import polars as pl

    from sftlab.analyse.wording import counted

    known = of_all.drop_nulls("gain")
    if known.height > shown.height:
        bare = known.filter(pl.col("ci_low").is_null()).height - shown.filter(pl.col("ci_low").is_null()).height
        without = f" ({bare:,} of them without an interval)" if bare else ""
        yield (
            f"... and {counted(known.height - shown.height, 'more gain')}{without}: the report has them as maps, "
            "--json as numbers"
        )
    missing = of_all.filter(pl.col("gain").is_null())
    if missing.height:
        by_status = missing["status"].value_counts(sort=True)
        parts = ", ".join(f"{row['count']:,} {row['status']}" for row in by_status.iter_rows(named=True))
        yield f"{counted(missing.height, 'cell')} without a gain: {parts}"
