"""Scores that guessing would beat."""

from collections.abc import Iterator

import polars as pl
from scipy import stats

from sftlab.analyse.audit.finding import AuditFinding, Tables
from sftlab.analyse.known_benchmarks import known_benchmark
from sftlab.analyse.metrics import metric_named
from sftlab.analyse.wording import counted, plain

LEVEL = 0.001
UNKNOWN_ITEMS = 500
"""Items to reckon with where their number is not known."""
UNREAD_WHY = (
    "their answers could not be read, so differences from them show the form of answers as much as knowledge; a base "
    "below chance makes gains of every data set that teaches the form"
)
UNREAD_ADVICE = "score the choices by likelihood as well, or report the share of unread answers beside every gain"
WHY = {
    "likelihood": "nothing had to be read, so wrong choices are likelier to these models for what they are like "
    "(short, frequent, close to the question's words); a base below chance makes gains of every data set that "
    "undoes this"
}
ADVICE = {
    "likelihood": "see whether `accuracy_per_byte`, which takes out the length of choices, is below chance too, and "
    "take a gain that ends at chance for a change of preference, not for knowledge"
}


def below_chance(tables: Tables) -> Iterator[AuditFinding]:
    """Shares of right choices surely below the chance level of their benchmark (binomial, one-sided, p < 0.001).

    A model that knows nothing but answers in the asked form is at chance. One surely below is one whose generated
    answers could not be read, or, by likelihood, one that prefers wrong choices for what they are like (their length,
    their label, words of the question that they repeat).
    """
    scores = tables["scores"].filter(pl.col("value").is_not_null())
    for (benchmark, scorer, metric), rows in scores.group_by("benchmark", "scorer", "metric", maintain_order=True):
        known = known_benchmark(str(benchmark))
        if known is None or known.chance is None or not metric_named(str(metric)).share:
            continue
        items = rows["n"].fill_null(UNKNOWN_ITEMS).to_numpy()
        hits = (rows["value"].to_numpy() * items).round()
        low = rows.filter(pl.Series(stats.binom.cdf(hits, items, known.chance) < LEVEL))
        if low.is_empty():
            continue
        bases = low.filter(pl.col("dataset") == "none").height
        of_bases = f", {counted(bases, 'base')} among them" if bases else ""
        yield AuditFinding(
            check="below_chance",
            severity="warning",
            text=f"{low.height} of {counted(rows.height, f'{scorer} score')} on {benchmark} lie surely below chance "
            f"({plain(100 * known.chance)} %){of_bases}",
            why=WHY.get(str(scorer), UNREAD_WHY),
            advice=ADVICE.get(str(scorer), UNREAD_ADVICE),
            rows=low.select("checkpoint", "base", "dataset", "benchmark", "scorer", "metric", "value", "n"),
        )
