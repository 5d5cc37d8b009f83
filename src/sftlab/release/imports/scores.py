"""Any tidy table of scores as a study: one row a score, or one row a model with a column a benchmark."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import polars as pl

from sftlab.analyse.intervals import proportion
from sftlab.analyse.metrics import METRICS, is_metric, metric_named
from sftlab.analyse.schemas import RUNS, SCORES, conformed
from sftlab.errors import DataError
from sftlab.store.imported import ImportedStudy
from sftlab.study.spelling import nearest

NEEDED = ("base", "dataset")
RECIPE = ("samples", "method", "schedule", "epochs", "seed", "learning_rate", "batch_size")
OPTIONAL = ("family", *RECIPE, "epoch", "scorer", "metric", "n", "se", "ci_low", "ci_high", "unparsed")
UNSTATED = "unstated"
BASE_ROWS = ("none", "base", "pretrain", "pretrained", "")
MODEL = ("base", "dataset", *RECIPE, "epoch")
SCORE = (*MODEL, "benchmark", "scorer", "metric")
UNNAMED_METRIC = "score"


@dataclass(frozen=True)
class ScoreColumns:
    """Which column of a file is which of ours (ours that the file calls alike need not be named).

    With `benchmarks`, those columns hold scores and are benchmarks; without, `benchmark` and `value` are columns.
    `percent`: shares are given as percentages. `base_rows`: what the column of datasets says of a base itself.
    """

    named: Mapping[str, str]
    benchmarks: tuple[str, ...] = ()
    percent: bool = False
    base_rows: tuple[str, ...] = BASE_ROWS


def read_frame(path: Path) -> pl.DataFrame:
    """A csv, tsv or parquet file. Raises DataError where it cannot be read or two of its columns are called alike."""
    separator = "\t" if path.suffix == ".tsv" else ","
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path)
        refuse_repeated_columns(path, separator)
        return pl.read_csv(path, separator=separator, infer_schema_length=None)
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as csv, tsv or parquet: {str(error).splitlines()[0]}") from error


def refuse_repeated_columns(path: Path, separator: str = ",") -> None:
    """Raise DataError where a header line names two columns alike, of which either could be meant."""
    line = pl.read_csv(path, separator=separator, has_header=False, n_rows=1, infer_schema=False).row(0)
    names = [name.strip() for name in line if name]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{path} has {names.count(twice)} columns called {twice!r}: give each a name of its own")


def tidy_scores(frame: pl.DataFrame, columns: ScoreColumns, *, name: str, origin: Mapping[str, str]) -> ImportedStudy:
    """The tables `runs` and `scores` of a frame, with gains over the rows of the bases themselves.

    A run is a base, dataset and recipe; its checkpoints are told apart by `epoch`. Raises DataError for a column that
    is missing or of the wrong kind, and for two rows of one score.
    """
    named = _long(_renamed(frame, columns), columns)
    filled = _filled(named, columns)
    twice = filled.filter(filled.select(SCORE).is_duplicated())
    if twice.height:
        row = twice.row(0, named=True)
        raise DataError(
            f"{name}: two rows are the score of {row['base']} after {row['dataset']} on {row['benchmark']}; "
            f"{_what_parts(filled, frame, columns)}"
        )
    scores = conformed(_with_gains(filled), SCORES)
    bases = set(scores["base"]) - set(scores.filter(pl.col("dataset") == "none")["base"])
    notes = ["the file has no items: intervals of gains are over families and datasets alone"]
    if bases:
        notes.append(f"no row of the base itself for {', '.join(sorted(bases))}: no gains there")
    notes += _doubts(scores, columns)
    return ImportedStudy(name, {"runs": _runs(scores), "scores": scores}, {}, origin, tuple(notes))


def _what_parts(filled: pl.DataFrame, frame: pl.DataFrame, columns: ScoreColumns) -> str:
    """How to say what two rows of one score differ in: columns of ours that are not known, and theirs not taken."""
    unknown = [name for name in MODEL[2:] if filled[name].null_count()]
    used = {
        *(columns.named.get(name, name) for name in (*NEEDED, "benchmark", "value", *OPTIONAL)),
        *columns.benchmarks,
    }
    left = [name for name in frame.columns if name not in used]
    if not unknown:
        return "nothing tells them apart: leave one out"
    among = f", where THEIRS is one of {', '.join(left[:10])}" if left else ", THEIRS a column to be added"
    others = f" (or {', '.join(unknown[1:])})" if len(unknown) > 1 else ""
    return f"name the column that tells them apart with `--column {unknown[0]}=THEIRS`{others}{among}"


def _doubts(scores: pl.DataFrame, columns: ScoreColumns) -> list[str]:
    """What was assumed of values and metrics, and how many values are missing."""
    notes = unknown_metrics(scores["metric"].unique().sort().to_list())
    missing, most = scores["value"].null_count(), scores["value"].max()
    if missing:
        notes.append(f"{missing} score{'s are' if missing != 1 else ' is'} missing in the file")
    if columns.percent and isinstance(most, float) and 0 < most <= 0.01:
        notes.append(f"no value exceeds 1 (the largest is {100 * most:g}), and all were read as percentages: are they?")
    return notes


def unknown_metrics(names: Sequence[str]) -> list[str]:
    """A sentence for each metric that is not known by name: what was assumed of it, and which it resembles."""
    notes = []
    for name in names:
        if name == UNNAMED_METRIC:
            notes.append("no metric is named: more is taken as better (column `metric`)")
        elif not is_metric(name):
            close = get_close_matches(name, METRICS, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            notes.append(f"the metric {name!r} is not known{hint}: it is taken as a score of which more is better")
    return notes


def _renamed(frame: pl.DataFrame, columns: ScoreColumns) -> pl.DataFrame:
    if not isinstance(frame, pl.DataFrame):
        raise DataError(f"a table of scores is a frame of polars, got {type(frame)}; `polars.from_pandas` makes one")
    known = (*NEEDED, "benchmark", "value", *OPTIONAL)
    for ours, theirs in columns.named.items():
        if ours not in known:
            raise DataError(f"there is no column {ours!r} of scores{nearest(ours, known)}")
        if theirs not in frame.columns:
            raise DataError(f"the file has no column {theirs!r}{nearest(theirs, frame.columns)}")
    for benchmark in columns.benchmarks:
        if benchmark not in frame.columns:
            raise DataError(f"the file has no column {benchmark!r}{nearest(benchmark, frame.columns)}")
    wanted = NEEDED if columns.benchmarks else (*NEEDED, "benchmark", "value")
    found = {ours: columns.named.get(ours, ours) for ours in known if columns.named.get(ours, ours) in frame.columns}
    missing = [name for name in wanted if name not in found]
    if missing:
        raise DataError(
            f"which column is the {missing[0]}? The file has {', '.join(frame.columns[:20])}; say it with "
            f"`--column {missing[0]}=NAME`, in Python columns={{'{missing[0]}': NAME}}"
        )
    taken = [name for name in found if name not in columns.benchmarks]
    return frame.select(
        *(pl.col(found[name]).alias(name) for name in taken), *(pl.col(name) for name in columns.benchmarks)
    )


def _long(frame: pl.DataFrame, columns: ScoreColumns) -> pl.DataFrame:
    if not columns.benchmarks:
        return frame
    kept = [name for name in frame.columns if name not in columns.benchmarks]
    return frame.unpivot(columns.benchmarks, index=kept, variable_name="benchmark", value_name="value")


def _filled(frame: pl.DataFrame, columns: ScoreColumns) -> pl.DataFrame:
    """All columns there, bases told by their dataset, values as shares."""
    if frame.is_empty():
        raise DataError("there is no score: the file has columns and no rows")
    _refuse_unreadable(frame)
    typed = conformed(frame.with_columns(epoch=_or_null(frame, "epoch")), SCORES)
    _refuse_impossible(typed)
    is_base = pl.col("dataset").fill_null("").str.to_lowercase().is_in(columns.base_rows)
    if columns.base_rows != BASE_ROWS and not typed.select(is_base.any()).item():
        found = ", ".join(sorted(typed["dataset"].drop_nulls().unique())[:20])
        raise DataError(f"no row of a base itself: no dataset is called {columns.base_rows[0]!r}; the file has {found}")
    metric = pl.col("metric").fill_null("accuracy" if columns.percent else UNNAMED_METRIC)
    scale = 100.0 if columns.percent else 1.0
    shown = typed.with_columns(
        dataset=pl.when(is_base).then(pl.lit("none")).otherwise(pl.col("dataset")),
        family=pl.col("family").fill_null(pl.col("base")),
        metric=metric,
        scorer=pl.col("scorer").fill_null("generative"),
        epoch=pl.when(is_base).then(0).otherwise(pl.col("epoch").fill_null(pl.col("epochs")).fill_null(1)),
        main=pl.lit(value=True),
        status=pl.when(pl.col("value").is_null()).then(pl.lit("failed")).otherwise(pl.lit("done")),
        reason=pl.when(pl.col("value").is_null()).then(pl.lit("the file has no value here")),
        **{name: pl.col(name) / scale for name in ("value", "se", "ci_low", "ci_high")},
        **{name: pl.when(~is_base).then(pl.col(name)) for name in RECIPE if name != "method"},
        method=pl.when(~is_base).then(pl.col("method").fill_null(UNSTATED)),
    )
    run = pl.concat_str(
        ["base", "dataset", *(pl.col(name).cast(pl.String) for name in RECIPE)], separator="-", ignore_nulls=True
    )
    with_run = shown.with_columns(run=pl.when(pl.col("dataset") != "none").then(run))
    checkpoint = pl.col("run") + pl.lit("-epoch") + pl.col("epoch").cast(pl.String)
    named = with_run.with_columns(checkpoint=checkpoint.fill_null(pl.col("base")))
    identity = pl.concat_str(["checkpoint", "benchmark", "scorer", "metric"], separator="/")
    better = {name: metric_named(name).higher_is_better for name in named["metric"].unique()}
    return _with_intervals(
        named.with_columns(identity=identity, higher_is_better=pl.col("metric").replace_strict(better))
    )


def _refuse_unreadable(frame: pl.DataFrame) -> None:
    """A score without the name of its base or benchmark, and a text where a number belongs."""
    for name in ("base", "benchmark"):
        if frame[name].null_count():
            raise DataError(f"every score has a {name}: {_row(frame, frame[name].is_null())} has none")
    for name in frame.columns:
        kind = SCORES[name]
        if not kind.is_numeric():
            continue
        unread = frame[name].is_not_null() & frame[name].cast(kind, strict=False).is_null()
        if unread.any():
            what = "scores are numbers" if name == "value" else f"the column {name!r} holds numbers"
            raise DataError(
                f"{what}: {_row(frame, unread)} has {frame.filter(unread)[name][0]!r}; leave empty what is not known"
            )


def _refuse_impossible(scores: pl.DataFrame) -> None:
    """Numbers that no score, standard error or count of items can be, and a base of two families."""
    impossible = {
        "value": (pl.col("value").is_infinite(), "finite"),
        "n": (pl.col("n") < 1, "1 or more"),
        "se": ((pl.col("se") < 0) | pl.col("se").is_infinite(), "0 or more, and finite"),
    }
    for name, (condition, legal) in impossible.items():
        wrong = scores.select(condition.fill_null(value=False)).to_series()
        if wrong.any():
            got = scores.filter(wrong)[name][0]
            raise DataError(f"{name} is {legal}, or empty where it is not known: {_row(scores, wrong)} has {got}")
    families = scores.drop_nulls("family").group_by("base").agg(pl.col("family").unique().sort())
    several = families.filter(pl.col("family").list.len() > 1).sort("base")
    if several.height:
        base, names = several.row(0)
        raise DataError(f"a base is of one family, and {base} is of {' and '.join(names)}")


def _row(frame: pl.DataFrame, wrong: pl.Series) -> str:
    """The first of these rows, told by what it is of."""
    first = frame.filter(wrong).row(0, named=True)
    return "the row of " + ", ".join(f"{name} {first[name] or 'nothing'}" for name in ("base", "dataset", "benchmark"))


def _or_null(frame: pl.DataFrame, name: str) -> pl.Expr:
    return pl.col(name) if name in frame.columns else pl.lit(None, dtype=pl.Int64)


def _with_intervals(scores: pl.DataFrame) -> pl.DataFrame:
    """Wilson's interval where items are counted and the metric is a share, but the file has none."""
    rows: list[dict[str, object]] = []
    for row in scores.select("value", "n", "metric", "ci_low", "se", "ci_high").to_dicts():
        ends = {name: row[name] for name in ("se", "ci_low", "ci_high")}
        is_share = metric_named(row["metric"]).share and row["n"] and row["value"] is not None
        if is_share and row["ci_low"] is None and 0 <= row["value"] <= 1:
            estimate = proportion(round(row["value"] * row["n"]), row["n"])
            ends = {"se": estimate.se, "ci_low": estimate.ci_low, "ci_high": estimate.ci_high}
        rows.append(ends)
    columns: Mapping[str, Sequence[object]] = {
        name: [row[name] for row in rows] for name in ("se", "ci_low", "ci_high")
    }
    return scores.with_columns(pl.Series(name, values, dtype=pl.Float64) for name, values in columns.items())


def _with_gains(scores: pl.DataFrame) -> pl.DataFrame:
    keys = ["base", "benchmark", "scorer", "metric"]
    bases = scores.filter(pl.col("dataset") == "none").select(*keys, pl.col("value").alias("of_base"))
    joined = scores.join(bases, on=keys, how="left", maintain_order="left")
    sign = pl.when(pl.col("higher_is_better")).then(1.0).otherwise(-1.0)
    gain = pl.when(pl.col("dataset") != "none").then(sign * (pl.col("value") - pl.col("of_base")))
    return joined.with_columns(gain=gain)


def _runs(scores: pl.DataFrame) -> pl.DataFrame:
    of_runs = scores.filter(pl.col("run").is_not_null()).sort("epoch", maintain_order=True)
    last = of_runs.unique("run", keep="last", maintain_order=True)
    adapter = pl.when(pl.col("method").str.contains("(?i)lora")).then(pl.lit("lora")).otherwise(pl.lit("none"))
    return conformed(
        last.with_columns(
            adapter=adapter, status=pl.lit("done"), reason=None, scored_epoch=pl.col("epoch"), identity=pl.col("run")
        ),
        RUNS,
    )
