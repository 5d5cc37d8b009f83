"""Sentences on gains, data properties, layers and training choices."""

from collections.abc import Iterator, Sequence

import polars as pl

from sftlab.analyse.effects import Effect, Finding, Section
from sftlab.analyse.power import MANY
from sftlab.analyse.properties import WITHIN
from sftlab.analyse.ranking import ALL_METHODS
from sftlab.analyse.verdicts import CANNOT_TELL, HIGHER, LOWER, TOO_SMALL, Row
from sftlab.analyse.wording import SHARES, amount, counted, interval, listed, plain, signed, spans_zero, spoken

FEWEST_DATASETS = 4
"""A correlation over fewer has no interval (see `intervals.correlation`)."""
SURELY = "what is sure of a cell speaks of these very bases, and is corrected for all cells and benchmarks"
UNTESTED = "no gain of a single base has an interval, as neither items nor repeated seeds are known"
PICKED = "the largest of several gains is likely too high, as it was picked for that"
FOUND_FROM = "found from tells the smallest difference that such a design finds in 4 of 5 studies, after correction"
COUPLED = ("response_perplexity", "response_bits_per_byte", "mean_response_perplexity", "text_perplexity")


def rows_of(frame: pl.DataFrame, **wanted: object) -> list[Row]:
    """Rows whose columns have these values."""
    return frame.filter(*(pl.col(name) == value for name, value in wanted.items())).to_dicts()


def gains_findings(gains: pl.DataFrame) -> Iterator[Finding]:
    """How many base x dataset cells moved, benchmark by benchmark, and the largest gain, if there was any."""
    for benchmark, rows in _by_benchmark(rows_of(gains, main=True, method=ALL_METHODS)):
        done = [row for row in rows if row["gain"] is not None]
        missing = [row["status"] for row in rows if row["gain"] is None]
        if not done:
            continue
        best = max(done, key=lambda row: row["gain"])
        caveats = [SURELY if any(row["p"] is not None for row in done) else UNTESTED]
        if best["gain"] > 0:
            largest = f"the largest gain is {best['dataset']} on {best['base']}: {_largest(best)}"
            caveats += [PICKED] if len(done) > 1 else []
        else:
            largest = "none gained"
        caveats += [_without_gain(missing)] if missing else []
        name = f"gain of {best['base']} from {best['dataset']} on {benchmark}"
        effect = _effect(best, name, "gain", n=best["items"])
        text = f"On {benchmark}, {_moved(done)}; {largest}."
        yield Finding("gains", text, benchmark, effect=effect, caveats=tuple(caveats))


def _moved(done: Sequence[Row]) -> str:
    """How many cells surely gained or lost; only how many there are where none can be tested."""
    cells = counted(len(done), "base x dataset cell")
    if all(row["p"] is None for row in done):
        return f"{cells} {'has' if len(done) == 1 else 'have'} a gain"
    up, down = (sum(row["verdict"] == name for row in done) for name in (HIGHER, LOWER))
    return f"of {cells} {up} surely gained, {down} surely lost and {len(done) - up - down} cannot be told"


def _largest(best: Row) -> str:
    ends = "" if best["ci_low"] is None else f" {interval(best, best['unit'])}"
    items = f", n = {counted(best['items'], 'item')}" if best["items"] else ""
    return f"{amount(best['gain'], best['unit'])}{ends}{items}"


def _without_gain(statuses: Sequence[str]) -> str:
    """How many cells have no gain, and why: pending ones may have one yet, unfit and failed ones will not."""
    have = "has" if len(statuses) == 1 else "have"
    parts = [f"{statuses.count(status)} {status}" for status in dict.fromkeys(sorted(statuses))]
    return f"{counted(len(statuses), 'cell')} {have} no gain ({', '.join(parts)})"


def property_findings(properties: pl.DataFrame) -> Iterator[Finding]:
    """Per benchmark the strongest property, then one sentence for each; within bases, Pearson, main metrics."""
    wanted = rows_of(properties, main=True, scope=WITHIN, kind="pearson")
    coupled = any(
        row["metric"] == "bits_per_byte" and row["property"] in COUPLED and row["correlation"] is not None
        for row in wanted
        if row["n"] > 2
    )
    for benchmark, rows in _by_benchmark(wanted):
        known = [row for row in rows if row["correlation"] is not None]
        most = max(row["n"] for row in rows)
        if most < 3:
            yield Finding(
                "properties",
                f"On {benchmark}, too small to tell: {counted(most, 'dataset')} cannot show which property goes with "
                f"gain ({FEWEST_DATASETS} or more are needed).",
                benchmark,
            )
            continue
        if not known:
            yield Finding(
                "properties",
                f"On {benchmark}, too small to tell: no data property varies, or the gain does not.",
                benchmark,
            )
            continue
        sure = [row for row in known if row["verdict"] in {HIGHER, LOWER}]
        best = max(sure or known, key=lambda row: abs(row["correlation"]))
        largest = f"{spoken(best['property'])} goes with gain, with the largest correlation"
        verdict = largest if sure else _unsure(best, "data property")
        text = f"On {benchmark}, {verdict}: {_correlation(best)}."
        effect, caveats = (
            _effect(best, best["property"], "correlation"),
            _before_correction(best, counted(len(known), "property", "properties")),
        )
        yield Finding("properties", text, benchmark, effect=effect, caveats=() if sure else caveats)
        for row in rows:
            yield Finding("properties", _property(row), benchmark, row["property"])
    if coupled:
        yield Finding(
            "properties",
            "Bits per byte and perplexity under the same base are coupled by construction: where gain is measured in "
            "bits per byte, look at another metric before believing that perplexity predicts it.",
        )


def _before_correction(row: Row, tried: str) -> tuple[str, ...]:
    """Why an interval without 0 is no finding."""
    if spans_zero(row):
        return ()
    return (f"an interval without 0 is no finding here, for it is not corrected for {tried} on every benchmark",)


def _property(row: Row) -> str:
    if row["correlation"] is None:
        return f"On {row['benchmark']}, {spoken(row['property'])} or the gain does not vary within bases: cannot tell."
    return f"On {row['benchmark']}, {spoken(row['property'])} and gain: {_correlation(row)}, {_sure(row)}."


def _unsure(row: Row, what: str) -> str:
    if row["verdict"] == TOO_SMALL:
        return f"the study is too small to tell which {what} goes with gain; the largest correlation is " + _named(row)
    return f"no {what} can be told to go with gain; the largest correlation is {_named(row)}"


def _named(row: Row) -> str:
    return spoken(row["property"]) if "property" in row else f"at depth {plain(row['depth'])}"


def _correlation(row: Row) -> str:
    return (
        f"r = {signed(row['correlation'])} {interval(row)} within bases (n = {counted(row['n'], 'dataset')}, "
        f"{counted(row['cells'], 'cell')})"
    )


def _sure(row: Row) -> str:
    return row["verdict"] if row["verdict"] in {TOO_SMALL, CANNOT_TELL} else "surely not zero"


def layer_findings(change: pl.DataFrame, correlations: pl.DataFrame, units: tuple[str, str]) -> Iterator[Finding]:
    """Per method where weights move most, then per benchmark at which depth that goes with gain.

    `units` says what `n` counts, as one and as several.
    """
    deep = change.filter((pl.col("part") == "all") & pl.col("depth").is_not_null())
    for part, rows in deep.partition_by("method", as_dict=True, maintain_order=True).items():
        yield _peak(str(part[0]), rows.to_dicts(), units)
    for divided in (False, True):
        wanted = correlations.filter(pl.col("correlation").is_not_null() & (pl.col("divided_by_total") == divided))
        for part, rows in wanted.partition_by("benchmark", "method", as_dict=True, maintain_order=True).items():
            yield _peak_correlation(str(part[0]), str(part[1]), rows.to_dicts(), divided)


def _units_and_cells(row: Row, units: tuple[str, str]) -> str:
    """What the interval of a mean over cells counts; of a single base or family it is over datasets alone."""
    if row["n"] == 1:
        over = "" if row["cells"] == 1 else "interval over "
        return f"n = 1 {units[0]}, {over}{counted(row['cells'], 'dataset')}{' alone' if over else ''}"
    return f"n = {counted(row['n'], *units)}, {counted(row['cells'], f'{units[0].split()[-1]} x dataset cell')}"


def _peak(method: str, rows: list[Row], units: tuple[str, str]) -> Finding:
    peak = max(rows, key=lambda row: row["relative_change"])
    near = [row["depth"] for row in rows if row["near_peak"] and row["depth"] != peak["depth"]]
    n = _units_and_cells(peak, units)
    bounds = f"{interval(peak).replace('+', '')}, {n}"
    text = (
        f"With {method}, weights moved most at depth {plain(peak['depth'])}: relative change "
        f"{plain(peak['relative_change'])} {bounds}"
    )
    if len(near) == len(rows) - 1 > 0:
        text += f"; it cannot be told from {'the other depth' if len(near) == 1 else f'any of the {len(near)} others'}"
    elif near:
        depths = listed([plain(depth) for depth in near]) if len(near) < 5 else f"{plain(near[0])} to {plain(near[-1])}"
        text += f"; {len(near)} of the {len(rows) - 1} other depths cannot be told from it ({depths})"
    if all(row["near_peak"] is None for row in rows):
        text += "; too small to tell it from other depths"
    return Finding("layers", f"{text}.", None, method, _effect(peak, f"weight change with {method}", "relative_change"))


def _peak_correlation(benchmark: str, method: str, rows: list[Row], divided: bool) -> Finding:
    sure = [row for row in rows if row["verdict"] in {HIGHER, LOWER}]
    best = max(sure or rows, key=lambda row: abs(row["correlation"]))
    control = " divided by the run's total change" if divided else ""
    if sure:
        lead = f"weight change{control} at depth {plain(best['depth'])} goes most with gain"
    else:
        lead = _unsure(best, f"depth of weight change{control}")
    name = f"weight change{control} at depth {plain(best['depth'])} and gain on {benchmark}"
    text = f"On {benchmark} with {method}, {lead}: {_correlation(best)}."
    caveats = () if sure else _before_correction(best, counted(len(rows), "depth"))
    return Finding("layers", text, benchmark, method, _effect(best, name, "correlation"), caveats)


def training_findings(training: pl.DataFrame, noise: pl.DataFrame, units: tuple[str, str]) -> Iterator[Finding]:
    """Every factor's levels compared, benchmark by benchmark, then the noise between seeds.

    `units` says what `n` counts, as one and as several.
    """
    asked: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows_of(training, main=True):
        asked.setdefault((row["factor"], row["level"], row["other"]), []).append(row)
    many = {choice for choice, rows in asked.items() if len(rows) > MANY}
    for choice in sorted(many, key=list(asked).index):
        yield Finding("training", _overview(asked[choice], units), subject=choice[0])
    for row in rows_of(training, main=True):
        name = f"{row['level']} minus {row['other']} on {row['benchmark']}"
        yield Finding(
            "training",
            _choice(row, units),
            row["benchmark"],
            row["factor"],
            _effect(row, name, "difference", p=row["p_adjusted"]),
            caveats=() if row["smallest_effect"] is None else (FOUND_FROM,),
            in_overview=(row["factor"], row["level"], row["other"]) in many,
        )
    yield from _noise_findings([row for row in rows_of(noise, main=True) if row["sd"] is not None])


def _noise_findings(rows: Sequence[Row]) -> Iterator[Finding]:
    """How much gains vary between seeds: of several benchmarks in one sentence, and of each."""
    spreads = [amount(row["sd"], row["unit"]).lstrip("+") for row in rows]
    if len(rows) > 1:
        each = [f"{spread} on {row['benchmark']} ({row['df']} df)" for spread, row in zip(spreads, rows, strict=True)]
        text = f"Between seeds, gains vary by a standard deviation of {listed(each)}."
        yield Finding("training", text, subject="seeds")
    for spread, row in zip(spreads, rows, strict=True):
        text = f"Between seeds, the gain on {row['benchmark']} varies by {spread} (standard deviation, {row['df']} df)."
        yield Finding("training", text, row["benchmark"], "seed", in_overview=len(rows) > 1)


def _overview(rows: Sequence[Row], units: tuple[str, str]) -> str:
    """On which of many benchmarks a choice surely makes a difference, and where the clearest is."""
    better, worse = ([row["benchmark"] for row in rows if row["verdict"] == sign] for sign in (HIGHER, LOWER))
    untested = sum(row["verdict"] == TOO_SMALL for row in rows)
    told = [f"surely higher on {listed(better)}"] if better else []
    told += [f"surely lower on {listed(worse)}"] if worse else []
    open_ones = len(rows) - len(better) - len(worse) - untested
    told += [f"cannot be told on {'any' if open_ones == len(rows) else f'the other {open_ones}'}"] if open_ones else []
    told += [f"too small to tell on {untested}"] if untested else []
    text = f"Over {len(rows)} benchmarks, {_levels(rows[0])}: {', '.join(told)}"
    tested = [row for row in rows if row["p_adjusted"] is not None]
    if not tested:
        return f"{text}."
    clearest = min(tested, key=lambda row: row["p"])
    return (
        f"{text}; the clearest is on {clearest['benchmark']}, {_with_interval(clearest, units)}, "
        f"p = {plain(clearest['p_adjusted'])} corrected."
    )


def _levels(row: Row) -> str:
    factor = "" if row["factor"] == "method" else f"{spoken(row['factor'])} "
    return f"{factor}{row['level']} minus {row['other']}"


def _with_interval(row: Row, units: tuple[str, str]) -> str:
    alone = row["cells"] == 1
    items = f"n = {counted(row['n'], 'item')}" if row["n"] else "items unknown"
    n = f"one {units[0]} and dataset, {items}" if alone else _units_and_cells(row, units)
    return f"{amount(row['difference'], row['unit'])} of gain {interval(row, row['unit'])} ({n})"


def _choice(row: Row, units: tuple[str, str]) -> str:
    factor = "" if row["factor"] == "method" else f"{spoken(row['factor'])} "
    ending = {
        HIGHER: f"{factor}{row['level']} is surely better",
        LOWER: f"{factor}{row['other']} is surely better",
        CANNOT_TELL: "cannot tell",
        TOO_SMALL: "too small to tell",
    }[row["verdict"]]
    text = f"On {row['benchmark']}, {_levels(row)}: {_with_interval(row, units)}; {ending}"
    return text + ("." if row["smallest_effect"] is None else f"; {_found_from(row)}.")


def _found_from(row: Row) -> str:
    smallest, unit = row["smallest_effect"], row["unit"]
    if unit in SHARES and smallest > 1:
        return "no difference that there can be would be found"
    return f"found from {amount(smallest, unit).lstrip('+')}"


def _by_benchmark(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        grouped.setdefault(str(row["benchmark"]), []).append(row)
    return list(grouped.items())


def _effect(row: Row, name: str, column: str, *, n: int | None = None, p: float | None = None) -> Effect:
    estimands = {
        "gain": "mean gain of this base over recipes and seeds; units: items",
        "correlation": "correlation over family x dataset cells, centred by family; units: datasets",
        "relative_change": "mean over family x dataset cells; units: base families",
        "difference": "mean difference over family x dataset cells, all else equal; units: base families",
    }
    return Effect(
        name=name,
        estimand=estimands[column],
        value=row[column],
        se=row.get("se"),
        ci_low=row["ci_low"],
        ci_high=row["ci_high"],
        n=row["n"] if n is None else n,
        unit=str(row.get("unit", "")) if column in {"gain", "difference"} else spoken(column),
        p=row.get("p_adjusted") if p is None else p,
    )


def headings() -> dict[Section, str]:
    """The question that each section answers."""
    return {
        "data": "Which data for which benchmark?",
        "gains": "Which bases gained from which data?",
        "synergy": "Which data help everywhere, and which only some bases?",
        "properties": "Which property of the data goes with the gain?",
        "layers": "Which layers moved, and where does that go with the gain?",
        "training": "What did the training choices cost?",
        "map": "Which models are alike, and where did training move them?",
    }
