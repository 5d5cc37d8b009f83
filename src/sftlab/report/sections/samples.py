"""Sample answers of every tuned model beside its base's, few enough for a page."""

import polars as pl

from sftlab.analyse.gain_sets import last_epochs
from sftlab.analyse.schemas import CONTRACT, conformed
from sftlab.report.columnar import coded, shortened
from sftlab.report.sections.material import Material

PER_CELL = 6
"""Items of a model and benchmark at most: those that changed most, half of them for the better."""
MOST_CHARACTERS, FEWEST_CHARACTERS = 600, 80
"""Of an answer, by how many are shown."""
BUDGET_ROWS, BUDGET_CHARACTERS = 12_000, 3_000_000
"""Of all models together: where there are more models, each has fewer and shorter answers."""
KEYS = ("benchmark", "scorer", "metric")
TEXTS = ("run", "benchmark", "item", "prompt", "gold", "base_answer", "base_read", "answer", "read")


def sample_answers(material: Material) -> dict[str, object] | None:
    """Items whose score changed most from base to tuned; None where no items are known.

    `rows` are columns: run, benchmark, item, the end of its prompt and the gold answer, what the two models wrote
    (`answer`), what was read out of it where that is less (`read`), whether it could be read, and the two scores.
    `tallies` says for every run and benchmark how many items scored higher, lower and the same, of all that both
    answered.
    """
    items, scores = material.table("items"), material.table("scores")
    if items.is_empty() or scores.is_empty():
        return None
    pairs = _pairs(conformed(items, CONTRACT["items"]), conformed(scores, CONTRACT["scores"]))
    if pairs.is_empty():
        return None
    cells = pairs.select("run", "benchmark").unique().height
    each = max(2, min(PER_CELL, BUDGET_ROWS // cells))
    kept = _changed_most(pairs, each)
    characters = max(FEWEST_CHARACTERS, min(MOST_CHARACTERS, BUDGET_CHARACTERS // kept.height))
    kept = _with_questions(_shown(kept), material.table("questions")).with_columns(
        pl.col("answer", "base_answer", "read", "base_read", "gold").str.slice(0, characters),
        pl.col("prompt").str.tail(characters),
    )
    return {
        "most": each,
        "characters": characters,
        "rows": {
            **{name: coded(kept[name]) for name in TEXTS},
            **{name: kept[name].to_list() for name in ("base_parsed", "parsed")},
            **{name: [shortened(value, 4) for value in kept[name]] for name in ("base_score", "score")},
        },
        "tallies": _tallies(pairs),
    }


def _pairs(items: pl.DataFrame, scores: pl.DataFrame) -> pl.DataFrame:
    """Every item of every tuned model beside the base's; `change` is positive where better.

    In one metric a benchmark: one with answers to read before one without, then the main one.
    """
    answered = items.group_by(KEYS).agg(written=pl.col("answer").is_not_null().any())
    of_keys = scores.group_by(KEYS).agg(pl.col("main").fill_null(value=False).any())
    best = answered.join(of_keys, on=KEYS).sort("written", "scorer", "main", descending=[True, False, True])
    main = scores.join(best.unique("benchmark", keep="first", maintain_order=True).select(KEYS), on=KEYS)
    last = last_epochs(main).select("checkpoint", "run", "base", *KEYS, "higher_is_better").unique()
    bases = main.filter(pl.col("run").is_null()).select("checkpoint", "base", *KEYS).unique()
    shown = items.filter(pl.col("score").is_not_null())
    columns = ("checkpoint", *KEYS, "item", "answer", "written", "parsed", "score", "stratum")
    tuned = shown.select(columns).join(last, on=["checkpoint", *KEYS])
    base = shown.select(columns).join(bases, on=["checkpoint", *KEYS]).drop("checkpoint")
    base = base.rename({name: f"base_{name}" for name in ("answer", "written", "parsed", "score")})
    paired = tuned.join(base, on=["base", *KEYS, "item", "stratum"], nulls_equal=True, maintain_order="left")
    better = pl.when(pl.col("higher_is_better").fill_null(value=True)).then(1.0).otherwise(-1.0)
    return paired.with_columns(change=(pl.col("score") - pl.col("base_score")) * better)


def _shown(pairs: pl.DataFrame) -> pl.DataFrame:
    """What was written in place of what was read, which stands beside it where it is less."""
    columns = []
    for side in ("", "base_"):
        answer, written = pl.col(f"{side}answer"), pl.col(f"{side}written")
        columns.append(pl.coalesce(written, answer).alias(f"{side}answer"))
        columns.append(pl.when(written.str.strip_chars() != answer.str.strip_chars()).then(answer).alias(f"{side}read"))
    return pairs.with_columns(columns)


def _with_questions(pairs: pl.DataFrame, questions: pl.DataFrame) -> pl.DataFrame:
    known = conformed(questions, CONTRACT["questions"])
    return pairs.join(known, on=["benchmark", "item", "stratum"], how="left", nulls_equal=True, maintain_order="left")


def _changed_most(pairs: pl.DataFrame, each: int) -> pl.DataFrame:
    half = each // 2
    cell = ("run", "benchmark")
    best = pl.col("change").rank("ordinal", descending=True).over(*cell)
    worst = pl.col("change").rank("ordinal").over(*cell)
    return pairs.filter((best <= half) | (worst <= each - half)).sort(*cell, "change", descending=[False, False, True])


def _tallies(pairs: pl.DataFrame) -> dict[str, object]:
    change = pl.col("change")
    counts = pairs.group_by("run", "benchmark", maintain_order=True).agg(
        higher=(change > 0).sum(), lower=(change < 0).sum(), both=pl.len()
    )
    named = {name: coded(counts[name]) for name in ("run", "benchmark")}
    return {**named, **{name: counts[name].to_list() for name in ("higher", "lower", "both")}}
