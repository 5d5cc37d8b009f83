"""Tables of gains drawn from known worlds."""

from dataclasses import dataclass

import numpy as np

from sftlab.predict.gain_table import GainTable, Scale


@dataclass(frozen=True)
class World:
    """Standard deviations of what a gain is made of; `shared`: correlation of dataset effects between benchmarks.

    `slope`: what a standard deviation of log length adds. `kinds`: how many kinds of bases there are that like other
    datasets, with effects of `kind_sd`, and own scores that tell them apart.
    """

    bases: int = 6
    datasets: int = 8
    benchmarks: int = 3
    per_family: int = 1
    base_sd: float = 0.10
    dataset_sd: float = 0.10
    interaction_sd: float = 0.05
    noise_sd: float = 0.02
    shared: float = 0.0
    slope: float = 0.0
    kinds: int = 0
    kind_sd: float = 0.15
    missing: float = 0.0
    seed: int = 0


def drawn(world: World) -> GainTable:
    random = np.random.default_rng(world.seed)
    b, d, k = world.bases, world.datasets, world.benchmarks
    common = random.normal(0, 1, (d, 1))
    effect = np.sqrt(world.shared) * common + np.sqrt(1 - world.shared) * random.normal(0, 1, (d, k))
    log_length = random.normal(0, 1, d)
    gain = 0.1 + random.normal(0, world.base_sd, (b, 1, k)) + world.dataset_sd * effect
    gain = gain + world.slope * log_length[:, None] + random.normal(0, world.interaction_sd, (b, d, k))
    score = random.normal(0.5, 0.1, (b, k))
    if world.kinds:
        kind = np.arange(b) % world.kinds
        gain += random.normal(0, world.kind_sd, (world.kinds, d, k))[kind]
        score = 0.2 + 0.5 * random.uniform(size=(world.kinds, k))[kind] + random.normal(0, 0.01, (b, k))
    gain += random.normal(0, world.noise_sd, gain.shape)
    gain[random.uniform(size=(b, d)) < world.missing] = np.nan
    return GainTable(
        bases=tuple(f"base{place}" for place in range(b)),
        families=tuple(f"family{place // world.per_family}" for place in range(b)),
        datasets=tuple(f"data{place}" for place in range(d)),
        units=tuple(f"data{place}" for place in range(d)),
        scales=tuple(Scale(f"benchmark{place}", "generative", "accuracy") for place in range(k)),
        gain=gain,
        noise=np.where(np.isnan(gain), np.nan, world.noise_sd**2),
        base_score=score,
        properties=_properties(log_length, gain.shape, random) if world.slope else {},
    )


def _properties(log_length: np.ndarray, shape: tuple[int, ...], random: np.random.Generator) -> dict[str, np.ndarray]:
    """Length, which gain depends on, and perplexity, which it does not."""
    perplexity = np.exp(random.normal(2, 0.5, shape[:2]))
    return {
        "response_tokens": np.broadcast_to(np.exp(4 + log_length)[:, None], shape).copy(),
        "response_perplexity": np.broadcast_to(perplexity[..., None], shape).copy(),
    }
