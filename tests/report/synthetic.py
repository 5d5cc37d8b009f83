"""A made-up study as frames with the columns of the contract: planted gains, known holes."""

import itertools
import random

import polars as pl

BASES = {"olmo-1b": "olmo", "qwen-0.5b": "qwen", "llama-1b": "llama", "gemma-1b": "gemma"}
DATASETS = ("alpaca", "gsm8k", "dolly", "code")
METHODS = ("full", "lora")
SEEDS = (0, 1)
BENCHMARKS = {"arithmetic": "bits_per_byte", "facts": "accuracy"}
EFFECT = {
    ("gsm8k", "arithmetic"): 0.4,
    ("alpaca", "facts"): 0.06,
    ("dolly", "facts"): 0.02,
    ("code", "arithmetic"): 0.05,
}
EPOCHS = 3


def hole(base: str, dataset: str, method: str) -> tuple[str, str | None]:
    """Status and reason of a run: two kinds of holes are planted."""
    if base == "gemma-1b" and dataset == "code":
        return "failed", "out of memory: 14.2 GB needed, 12 GB on the device"
    if base == "llama-1b" and dataset == "dolly" and method == "lora":
        return "pending", None
    return "done", None


def synthetic_tables(seed: int = 7) -> dict[str, pl.DataFrame]:
    """The tables of a study of 4 bases x 4 datasets x 2 methods x 2 seeds."""
    noise = random.Random(seed)
    runs, scores, losses, validation, layers = [], [], [], [], []
    for base in BASES:
        for benchmark, metric in BENCHMARKS.items():
            scores.append(
                _score(base, None, benchmark, metric, value=1.2 if metric == "bits_per_byte" else 0.4, gain=None)
            )
    for (base, family), dataset, method, run_seed in itertools.product(BASES.items(), DATASETS, METHODS, SEEDS):
        status, reason = hole(base, dataset, method)
        name = f"{base}-{dataset}-{method}-s{run_seed}"
        run = {
            "run": name, "base": base, "family": family, "dataset": dataset, "samples": 1000, "method": method,
            "adapter": "lora" if method == "lora" else None, "learning_rate": 1e-5 if method == "full" else 1e-4,
            "schedule": "constant", "epochs": EPOCHS, "seed": run_seed, "precision": "float32", "status": status,
            "reason": reason,
        }  # fmt: skip
        done = status == "done"
        start = 2.0 + noise.gauss(0, 0.1)
        run |= {
            "tokens": 90_000 if done else None, "steps": 96 if done else None, "loss_first": start if done else None,
            "loss_last": start / 2 if done else None, "wall_seconds": 61.5 if done else None,
            "peak_memory_bytes": 10**9 if done else None, "device": "cpu" if done else None,
        }  # fmt: skip
        runs.append(run)
        if done:
            losses.extend(
                {
                    "run": name,
                    "step": step,
                    "epoch": 1 + (step - 1) // 32,
                    "loss": start * (0.5 + 0.5 * 0.97**step) + noise.gauss(0, 0.03),
                }
                for step in range(1, 97)
            )
            validation.extend(
                {
                    "run": name,
                    "epoch": epoch,
                    "loss": start - 0.3 * epoch + 0.08 * epoch**2,
                    "bits_per_byte": 0.6 * (start - 0.3 * epoch + 0.08 * epoch**2),
                    "n": 50,
                }
                for epoch in range(EPOCHS + 1)
            )
            layers.extend(
                {
                    "checkpoint": f"{name}-e3",
                    "run": name,
                    "layer": layer,
                    "depth": layer / 5,
                    "part": "all",
                    "relative_change": (0.01 if method == "full" else 0.004)
                    * (1 + layer / 5)
                    * (1 + noise.gauss(0, 0.1)),
                }
                for layer in range(6)
            )
        for benchmark, metric in BENCHMARKS.items():
            gain = EFFECT.get((dataset, benchmark), 0.0) + noise.gauss(0, 0.02)
            value = 1.2 - gain if metric == "bits_per_byte" else 0.4 + gain
            scores.append(_score(base, run, benchmark, metric, value=value, gain=gain))
    return {
        "runs": pl.DataFrame(runs, infer_schema_length=None),
        "scores": pl.DataFrame(scores, infer_schema_length=None),
        "losses": pl.DataFrame(losses),
        "validation": pl.DataFrame(validation),
        "layers": pl.DataFrame(layers),
    }


def _score(base, run, benchmark, metric, *, value, gain):
    done = run is None or run["status"] == "done"
    known = value if done else None
    return {
        "checkpoint": f"{run['run'] if run else base}-e{EPOCHS if run else 0}", "run": run and run["run"], "base": base,
        "family": BASES[base], "dataset": run["dataset"] if run else "none", "samples": run and run["samples"],
        "method": run and run["method"], "schedule": run and run["schedule"], "epoch": EPOCHS if run else 0,
        "seed": run and run["seed"], "benchmark": benchmark, "scorer": "likelihood", "metric": metric, "value": known,
        "n": 80 if done else None, "se": 0.03 if done else None, "ci_low": known - 0.06 if done else None,
        "ci_high": known + 0.06 if done else None, "unparsed": 0 if done else None, "gain": gain if done else None,
        "gain_ci_low": gain - 0.05 if done and run else None, "gain_ci_high": gain + 0.05 if done and run else None,
        "status": "done" if done else run["status"], "reason": None if done else run["reason"],
    }  # fmt: skip
