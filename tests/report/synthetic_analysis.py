"""An analysis of the made-up study: simple means, with intervals of a stated width around them."""

import statistics

import numpy as np
import polars as pl

from sftlab.analyse.analysis import Analysis
from sftlab.analyse.dimensions import dimension_findings, dimension_frames
from sftlab.analyse.effects import Finding
from sftlab.analyse.frames import SCHEMAS, framed
from sftlab.analyse.maps import maps
from sftlab.analyse.schemas import DIMENSIONS, LOGLIKS, RUNS, conformed

from .synthetic import BASES, BENCHMARKS, DATASETS, EPOCHS, METHODS, hole

HALF_WIDTH = 0.03
UNITS = {"bits_per_byte": "bits per byte", "accuracy": "accuracy"}


def empty_analysis(study="empty", findings=()):
    return Analysis(study=study, findings=findings, **{name: framed(name, []) for name in SCHEMAS})


def synthetic_analysis(tables):
    frames = {name: [] for name in SCHEMAS}
    findings = [Finding("data", "Data decide here: arithmetic data helped arithmetic, alpaca helped facts.")]
    for benchmark, metric in BENCHMARKS.items():
        outcome = {
            "benchmark": benchmark, "scorer": "likelihood", "metric": metric, "main": True, "unit": UNITS[metric],
        }  # fmt: skip
        gained = tables["scores"].filter(pl.col("benchmark") == benchmark, pl.col("gain").is_not_null())
        frames["gains"].extend(_gains(outcome, gained))
        frames["ranking"].extend(_ranking(outcome, gained))
        best, *others = frames["ranking"][-len(DATASETS) :]
        frames["comparisons"].extend(
            outcome
            | {"population": "bases like these", "dataset": best["dataset"], "other": other["dataset"], "n": 4}
            | {"difference": best["gain"] - other["gain"], "p_adjusted": 0.01, "verdict": "higher"}
            for other in others
        )
        text = f"{best['dataset']} helped {benchmark} most: {best['gain']:+.3f} {UNITS[metric]}, n = 4 families."
        findings.append(Finding("data", text, benchmark))
        findings.append(
            Finding("properties", f"Perplexity and {benchmark}: too small to tell.", benchmark, "response_perplexity")
        )
        frames["properties"].append(
            outcome
            | {
                "property": "response_perplexity",
                "scope": "within",
                "kind": "pearson",
                "correlation": -0.4,
                "ci_low": -0.8,
            }
            | {"ci_high": 0.2, "n": 16, "cells": 16, "p_adjusted": 0.2, "verdict": "cannot tell"}
        )
        frames["property_points"].extend(
            outcome
            | {"property": "response_perplexity", "base": row["base"], "dataset": row["dataset"], "gain": row["gain"]}
            | {"value": 5.0 + 3 * DATASETS.index(row["dataset"])}
            for row in frames["gains"]
            if row["benchmark"] == benchmark and row["method"] == "all" and row["status"] == "done"
        )
        frames["layer_correlations"].extend(
            outcome
            | {"method": method, "depth": layer / 5, "divided_by_total": divided, "correlation": 0.1 * layer, "n": 16}
            | {"ci_low": 0.1 * layer - 0.3, "ci_high": 0.1 * layer + 0.3, "verdict": "too small to tell"}
            for method in METHODS
            for divided in (False, True)
            for layer in range(6)
        )
        contrast = {"factor": "method", "level": "lora", "other": "full"}
        frames["training"].append(
            outcome | contrast | {"difference": 0.01, "ci_low": -0.02, "ci_high": 0.04, "n": 4, "smallest_effect": 0.05}
        )
        frames["training_points"].extend(_pairs(outcome | contrast, gained))
        frames["seed_noise"].append(outcome | {"sd": 0.02, "df": 15})
    for method in METHODS:
        frames["layer_change"].extend(
            {"method": method, "part": "all", "depth": layer / 5, "relative_change": 0.01 * (layer + 1), "n": 4}
            | {"ci_low": 0.008 * (layer + 1), "ci_high": 0.012 * (layer + 1), "near_peak": layer > 3}
            for layer in range(6)
        )
        frames["layer_change"].append({"method": method, "part": "embedding", "relative_change": 0.002, "n": 4})
    findings.append(Finding("training", "LoRA and full cannot be told apart.", None, "method"))
    findings.append(Finding("layers", "Late layers move most.", None))
    probed = probe_tables(tables)
    mapped, dimensions = maps(probed), dimension_frames(probed)
    findings.extend([*dimension_findings(*dimensions, ("base family", "base families")), *mapped.findings])
    measured = {**mapped.frames, "dimension_by_depth": dimensions[0], "dimension_change": dimensions[1]}
    return Analysis(
        study="which-data-helps",
        findings=tuple(findings),
        **{name: framed(name, rows) for name, rows in frames.items() if name not in measured},
        **measured,
        maps=mapped.maps,
    )


def probe_tables(tables):
    """What two of the bases, and the runs of one seed made of them, make of eight texts and four layers."""
    noise = np.random.default_rng(0)
    wanted = pl.col("base").is_in(["olmo-1b", "qwen-0.5b"]) & (pl.col("seed") == 0) & (pl.col("status") == "done")
    runs = tables["runs"].filter(wanted).with_columns(scored_epoch=pl.col("epochs"))
    models = [(base, None, None, 0) for base in runs["base"].unique(maintain_order=True)]
    of_runs = runs.select("base", "run", "dataset").iter_rows()
    models += [(*run, epoch) for run in of_runs for epoch in range(1, EPOCHS + 1)]
    logliks, dimensions = [], []
    for base, run, dataset, epoch in models:
        names = {"checkpoint": f"{run or base}-e{epoch}", "base": base, "run": run, "epoch": epoch}
        pull = 0 if dataset is None else 1 + DATASETS.index(dataset)
        logliks.extend(
            {
                **names,
                "text": f"t{text}",
                "log_likelihood": 40.0 * ((text + len(base)) % 3) + pull * epoch * (text % 2) + at,
            }
            for text, at in enumerate(noise.normal(size=8))
        )
        dimensions.extend(
            {**names, "layer": layer, "depth": layer / 3, "dimension": value, "n": 90, "ci_low": value - 1}
            | {"ci_high": value + 1}
            for layer, value in enumerate(8 + noise.normal(size=4) - 0.1 * epoch)
        )
    return {
        "runs": conformed(runs, RUNS),
        "scores": tables["scores"],
        "logliks": conformed(pl.DataFrame(logliks, infer_schema_length=None), LOGLIKS),
        "dimensions": conformed(pl.DataFrame(dimensions, infer_schema_length=None), DIMENSIONS),
    }


def _mean(frame, **cell):
    values = frame.filter(**cell)["gain"].to_list()
    return (statistics.fmean(values), len(values)) if values else (None, 0)


def _gains(outcome, gained):
    for base, family in BASES.items():
        for dataset in DATASETS:
            for method in ("all", *METHODS):
                chosen = {} if method == "all" else {"method": method}
                gain, count = _mean(gained, base=base, dataset=dataset, **chosen)
                row = outcome | {"base": base, "family": family, "dataset": dataset, "method": method}
                if gain is None:
                    status, reason = hole(base, dataset, "lora")
                    yield row | {"status": status, "reason": reason}
                else:
                    ends = {"ci_low": gain - HALF_WIDTH, "ci_high": gain + HALF_WIDTH}
                    verdict = "cannot tell" if abs(gain) < HALF_WIDTH else "higher" if gain > 0 else "lower"
                    yield row | {"gain": gain, "n": count, "status": "done", "verdict": verdict} | ends


def _ranking(outcome, gained):
    means = sorted(((_mean(gained, dataset=dataset)[0], dataset) for dataset in DATASETS), reverse=True)
    for rank, (gain, dataset) in enumerate(means, 1):
        ends = {"ci_low": gain - HALF_WIDTH, "ci_high": gain + HALF_WIDTH}
        yield (
            outcome | {"population": "bases like these", "dataset": dataset, "rank": rank, "gain": gain, "n": 4} | ends
        )


def _pairs(row, gained):
    for base, family in BASES.items():
        for dataset in DATASETS:
            lora, full = (_mean(gained, base=base, dataset=dataset, method=method)[0] for method in ("lora", "full"))
            if lora is not None and full is not None:
                yield row | {"base": base, "family": family, "dataset": dataset, "gain": lora, "other_gain": full}
