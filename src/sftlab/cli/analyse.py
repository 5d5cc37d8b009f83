"""`sftlab analyse`: the answer first, then what it rests on."""

from typing import TYPE_CHECKING

from sftlab.cli.options import AsJson, StoreFolder, StudyFile

if TYPE_CHECKING:
    import polars as pl

    from sftlab.analyse.analysis import Analysis


MOST_GAINS = 200
"""A terminal shows so many gains; more are not read there."""


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
    """The gains of main metrics over all methods as a table, and how many are not in it."""
    import polars as pl

    from sftlab.cli.printing import print_columns, print_line

    frame = gains.filter(pl.col("main") & (pl.col("method") == "all"))
    if frame.is_empty():
        return
    rows = []
    for row in frame.sort("benchmark", "base", "dataset").head(MOST_GAINS).iter_rows(named=True):
        known = row["gain"] is not None
        interval = f"[{row['ci_low']:+.3f}, {row['ci_high']:+.3f}]" if row["ci_low"] is not None else "unknown"
        gain = f"{row['gain']:+.3f}" if known else row["status"]
        rows.append(
            (row["benchmark"], row["base"], row["dataset"], gain, interval if known else row["reason"], row["n"])
        )
    print_columns(("benchmark", "base", "dataset", "gain", "95 % interval", "runs"), rows)
    if len(frame) > len(rows):
        print_line(f"... and {len(frame) - len(rows):,} more gains: the report has them as maps, --json as numbers")
    print_line()
