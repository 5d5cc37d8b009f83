"""How base, data and benchmark interact: frames and sentences of the first question."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from sftlab.analyse.agreement import TWO_QUESTIONS, Agreement, agreements, mean_agreement
from sftlab.analyse.components import Components, components
from sftlab.analyse.consistency import (
    EVERYWHERE,
    HURTS_EVERYWHERE,
    HURTS_ON_AVERAGE,
    HURTS_SOME,
    MIXED,
    ON_AVERAGE,
    SOME,
    consistency_frame,
)
from sftlab.analyse.effects import Effect, Finding
from sftlab.analyse.frames import framed
from sftlab.analyse.gain_array import FACTOR_AXES, Factor, GainArray, gain_array
from sftlab.analyse.gain_sets import GainSet
from sftlab.analyse.intervals import Estimate
from sftlab.analyse.multiplicity import benjamini_hochberg
from sftlab.analyse.properties import NO_MIXTURES, Sources
from sftlab.analyse.ranking import ends
from sftlab.analyse.variance_shares import VarianceShare, variance_shares
from sftlab.analyse.verdicts import LEVEL, Row
from sftlab.analyse.wording import counted, listed, plain, signed

NUM_LOADINGS = 5
WHAT_IS_SHARED = {
    "base": "which data help which benchmark",
    "dataset": "which bases gain on which benchmark",
    "benchmark": "which data help which bases",
}


@dataclass(frozen=True, eq=False)
class Synergy:
    """Frames by name (`agreement`, `mean_agreement`, `components`, `loadings`, `variance_shares`, `consistency`)."""

    frames: dict[str, pl.DataFrame]
    findings: tuple[Finding, ...]


def synergy(sets: Sequence[GainSet], sources: Sources = NO_MIXTURES) -> Synergy:
    """Everything about synergy that the gains of a study can say."""
    array = gain_array(sets, sources)
    pairs = {factor: agreements(array, factor) if array else [] for factor in FACTOR_AXES}
    means = {factor: mean_agreement(array, factor) if array else None for factor in FACTOR_AXES}
    found = components(array) if array else None
    shares = variance_shares(array) if array else []
    consistency = consistency_frame(sets)
    frames = {
        "agreement": _agreement_frame([pair for of_factor in pairs.values() for pair in of_factor]),
        "mean_agreement": _mean_frame(means),
        "components": _components_frame(found),
        "loadings": _loadings_frame(found),
        "variance_shares": _shares_frame(shares),
        "consistency": consistency,
    }
    findings = (
        *_consistency_findings(consistency),
        *([] if array is None else _array_findings(array, means, found, shares)),
    )
    return Synergy(frames, findings)


def _agreement_frame(pairs: Sequence[Agreement]) -> pl.DataFrame:
    """p-values are adjusted (Benjamini & Hochberg) over the pairs of each factor."""
    rows: list[Row] = [
        {
            "factor": pair.factor,
            "level": pair.level,
            "other": pair.other,
            "raw": pair.raw,
            "correlation": pair.estimate.value if pair.estimate else None,
            "ci_low": pair.estimate.ci_low if pair.estimate else None,
            "ci_high": pair.estimate.ci_high if pair.estimate else None,
            "n": pair.estimate.n if pair.estimate else None,
            "units": pair.units,
            "ceiling": pair.ceiling,
            "disattenuated": pair.disattenuated,
            "p": pair.p,
        }
        for pair in pairs
    ]
    for factor in FACTOR_AXES:
        tested = [row for row in rows if row["factor"] == factor and row["p"] is not None]
        for row, p in zip(tested, benjamini_hochberg([row["p"] for row in tested]), strict=True):
            row["p_adjusted"] = p
    return framed("agreement", rows)


def _mean_frame(means: dict[Factor, tuple[Estimate, float] | None]) -> pl.DataFrame:
    rows: list[Row] = []
    for factor, found in means.items():
        if found is not None:
            estimate, p = found
            low_high = {"ci_low": estimate.ci_low, "ci_high": estimate.ci_high, "n": estimate.n}
            rows.append({"factor": factor, "correlation": estimate.value, **low_high, "p": p})
    return framed("mean_agreement", rows)


def _components_frame(found: Components | None) -> pl.DataFrame:
    if found is None:
        return framed("components", [])
    cumulative = found.share.cumsum()
    rows: list[Row] = [
        {
            "component": place + 1,
            "share": float(found.share[place]),
            "cumulative": float(cumulative[place]),
            "null_share": float(found.null[place]),
            "null_high": float(found.null_high[place]),
            "beyond_null": place < found.real,
        }
        for place in range(len(found.share))
    ]
    return framed("components", rows)


def _loadings_frame(found: Components | None) -> pl.DataFrame:
    rows: list[Row] = [
        {"component": place + 1, "benchmark": benchmark, "loading": float(loading)}
        for place in range(0 if found is None else min(NUM_LOADINGS, len(found.loading)))
        for benchmark, loading in zip(found.benchmarks, found.loading[place], strict=True)  # type: ignore[union-attr]
    ]
    return framed("loadings", rows)


def _shares_frame(shares: Sequence[VarianceShare]) -> pl.DataFrame:
    rows: list[Row] = [
        {
            "source": one.source,
            "share": one.share.value,
            **ends(one.share),
            "n": one.share.n,
            "variance": one.variance,
        }
        for one in shares
    ]
    return framed("variance_shares", rows)


def _array_findings(
    array: GainArray,
    means: dict[Factor, tuple[Estimate, float] | None],
    found: Components | None,
    shares: Sequence[VarianceShare],
) -> Iterator[Finding]:
    used = array.by_family()
    size = (
        f"{counted(len(used.bases), 'base family', 'base families')} x {counted(len(used.datasets), 'dataset')} x "
        f"{counted(len(used.benchmarks), 'benchmark')}"
    )
    if min(used.gain.shape[:2]) < 2:
        text = f"Too small to tell how base and data interact: every dataset was tried alike on {size} only."
        yield Finding("synergy", text)
        return
    yield from _share_findings(shares, size)
    for factor, mean in means.items():
        if mean is not None:
            yield _mean_finding(factor, *mean)
    if any(mean is not None and mean[0].ci_low is not None for mean in means.values()):
        yield Finding("synergy", f"Of these agreements, {TWO_QUESTIONS}", subject="agreement")
    if found is not None:
        yield _component_finding(found)


def _share_findings(shares: Sequence[VarianceShare], size: str) -> Iterator[Finding]:
    if not shares:
        return
    ordered = sorted(shares, key=lambda one: one.share.value, reverse=True)
    parts = [f"{one.source} {100 * one.share.value:.0f} %{_percent_interval(one.share)}" for one in ordered[:4]]
    text = f"What gains depend on ({size}, benchmarks of equal variance): {listed(parts)} of their variance"
    unsure = " (too few families or datasets for intervals)" if ordered[0].share.ci_low is None else ""
    yield Finding("synergy", f"{text}{unsure}.", effect=_effect("share of variance", ordered[0].share, "share"))


def _percent_interval(estimate: Estimate) -> str:
    if estimate.ci_low is None or estimate.ci_high is None:
        return ""
    return f" [{100 * estimate.ci_low:.0f}, {100 * estimate.ci_high:.0f}]"


def _mean_finding(factor: Factor, estimate: Estimate, p: float) -> Finding:
    one, several = ("base family", "base families") if factor == "base" else (factor, f"{factor}s")
    verdict = "agree beyond chance" if p <= LEVEL else "cannot be told to agree"
    text = (
        f"On {WHAT_IS_SHARED[factor]}, {counted(estimate.n, one, several)} {verdict}: mean correlation "
        f"{signed(estimate.value)} after double centring (p = {plain(p)}, permuting "
        f"{'bases' if factor == 'dataset' else 'datasets'}){_of_others_like_these(estimate)}."
    )
    effect = _effect(f"agreement of {several}", estimate, "correlation", p)
    return Finding("synergy", text, subject=factor, effect=effect)


def _of_others_like_these(estimate: Estimate) -> str:
    low, high = estimate.ci_low, estimate.ci_high
    if low is None or high is None:
        return ""
    unsure = ", so that whether they would agree cannot be told" if low <= 0 <= high else ""
    return f"; for families and datasets like these [{signed(low)}, {signed(high)}]{unsure}"


def _component_finding(found: Components) -> Finding:
    carry = "carries" if found.needed == 1 else "carry"
    text = (
        f"{counted(found.needed, 'principal component')} of {len(found.share)} {carry} "
        f"90 % of the variance of gains; benchmarks that share nothing would need {found.null_needed_low} to "
        f"{found.null_needed_high}, and {counted(found.real, 'component')} "
        f"{'stands' if found.real == 1 else 'stand'} out from that null."
    )
    return Finding("synergy", text, subject="components")


def _consistency_findings(frame: pl.DataFrame) -> Iterator[Finding]:
    main = frame.filter("main")
    for holds, lead in (
        (EVERYWHERE, "Helps everywhere (a new family like these would gain too)"),
        (ON_AVERAGE, "Helps on average over families like these"),
        (MIXED, "Helps some families and hurts others"),
        (SOME, "Helps some families, and the mean cannot be told"),
        (HURTS_EVERYWHERE, "Hurts everywhere (a new family like these would lose too)"),
        (HURTS_ON_AVERAGE, "Hurts on average over families like these"),
        (HURTS_SOME, "Hurts some families, and the mean cannot be told"),
    ):
        pairs = [f"{row['dataset']} on {row['benchmark']}" for row in main.filter(pl.col("holds") == holds).to_dicts()]
        if pairs:
            shown = listed(pairs) if len(pairs) <= 6 else f"{', '.join(pairs[:6])} and {len(pairs) - 6} more"
            yield Finding("synergy", f"{lead}: {shown}.", subject=holds)


def _effect(name: str, estimate: Estimate, unit: str, p: float | None = None) -> Effect:
    return Effect(
        name=name,
        estimand=f"{name} over a complete array of gains; units: base families",
        value=estimate.value,
        se=estimate.se,
        ci_low=estimate.ci_low,
        ci_high=estimate.ci_high,
        n=estimate.n,
        unit=unit,
        p=p,
    )
