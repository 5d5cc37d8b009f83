"""Made-up studies whose truth is known: gains, items, data properties and weight changes with planted effects.

Axes: F families, D datasets, M methods, S seeds, I items, R runs = F x D x M x S, K benchmarks, L depths.
"""

import math
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftlab.analyse.gain_array import GainArray
from sftlab.analyse.gain_sets import GainSet
from sftlab.analyse.layers import Profile
from sftlab.analyse.metrics import metric_named

Reals = NDArray[np.float64]
METHODS = ("full", "lora")
PLANTED = (0.5, 0.3, 0.1, 0.0)
METHOD_EFFECT = 0.2
CORRELATION = -0.6
BENCHMARKS = 3
DEPTHS = 4


@dataclass(frozen=True)
class World:
    """How large a study is, and the standard deviations of what is drawn anew in each.

    `family` is a family's own effect on all its gains; `interaction` that of family x dataset; `method` of family x
    method and of dataset x method; `seed` of a run; `item` of an item's gain, half of whose variance is shared by all
    runs of a dataset. `planted` says whether datasets, methods, properties and layers have effects at all.
    """

    families: int
    datasets: int
    seeds: int = 2
    items: int = 60
    family: float = 0.3
    interaction: float = 0.2
    method: float = 0.1
    seed: float = 0.1
    item: float = 1.0
    planted: bool = True

    @property
    def name(self) -> str:
        """For tables."""
        spread = f"{self.family:g}/{self.interaction:g}/{self.method:g}"
        return f"{self.families} families x {self.datasets} datasets, spread {spread}"

    @property
    def clustered(self) -> bool:
        """Whether families differ, so that intervals over them have something to be wide for."""
        return self.family > 0 or self.interaction > 0


@dataclass(frozen=True, eq=False)
class Drawn:
    """One study: a gain set a benchmark, and what is true of each.

    `mean` (D x M) is a dataset's gain by method over all families that there could be; `here` (F x D x M of each
    benchmark) that of these very families, were seeds and items endless; `method_effect` lora minus full over all
    families and datasets.
    """

    sets: list[GainSet]
    mean: Reals
    here: list[Reals]
    method_effect: float


def draw(world: World, generator: np.random.Generator) -> Drawn:
    """A study with `BENCHMARKS` benchmarks; its effects of datasets and methods stay, everything else is drawn."""
    level_D = np.resize(PLANTED, world.datasets) if world.planted else np.zeros(world.datasets)
    effect = METHOD_EFFECT if world.planted else 0.0
    sets, here, mean_DM = [], [], level_D[:, None] + effect * np.arange(len(METHODS))
    for place in range(BENCHMARKS):
        here_FDM = mean_DM + _spread(world, generator)
        here.append(here_FDM)
        sets.append(_gain_set(world, here_FDM, generator, f"k{place}"))
    return Drawn(sets, mean_DM, here, effect)


def _spread(world: World, generator: np.random.Generator) -> Reals:
    """What families add, whatever is planted."""
    shape = (world.families, world.datasets, len(METHODS))
    spread_FDM = world.family * generator.normal(size=(world.families, 1, 1))
    spread_FDM = spread_FDM + world.interaction * generator.normal(size=(*shape[:2], 1))
    spread_FDM = spread_FDM + world.method * generator.normal(size=(world.families, 1, len(METHODS)))
    return spread_FDM + world.method * generator.normal(size=shape)


def names(world: World) -> pl.DataFrame:
    """The runs of a study, in the order of an array F x D x M x S."""
    grid = np.indices((world.families, world.datasets, len(METHODS), world.seeds)).reshape(4, -1)
    return pl.DataFrame(
        {
            "run": [f"r{place}" for place in range(grid.shape[1])],
            "base": [f"b{place}" for place in grid[0]],
            "family": [f"b{place}" for place in grid[0]],
            "dataset": [f"d{place}" for place in grid[1]],
            "method": [METHODS[place] for place in grid[2]],
            **dict.fromkeys(("seed", "order_seed", "init_seed"), grid[3]),
        }
    ).with_columns(
        learning_rate=pl.lit(1e-4),
        batch_size=pl.lit(8),
        samples=pl.lit(100),
        schedule=pl.lit("constant"),
        epochs=pl.lit(1),
        fixed_steps=pl.lit(None, dtype=pl.Int64),
    )


def _gain_set(world: World, here_FDM: Reals, generator: np.random.Generator, benchmark: str) -> GainSet:
    runs = here_FDM.size * world.seeds
    of_run_R = np.repeat(here_FDM.reshape(-1), world.seeds) + world.seed * generator.normal(size=runs)
    shared_FDI = generator.normal(size=(1, world.datasets, world.items)).repeat(world.families, axis=0)
    shared_RI = shared_FDI.reshape(-1, world.items).repeat(len(METHODS) * world.seeds, axis=0)
    own_RI = generator.normal(size=(runs, world.items))
    item_RI = of_run_R[:, None] + world.item * math.sqrt(0.5) * (shared_RI + own_RI)
    gain_R = item_RI.mean(axis=1)
    pull_RI = ((item_RI - gain_R[:, None]) / world.items).astype(np.float32)
    rows = names(world).with_columns(gain=pl.Series(gain_R))
    key = (benchmark, "likelihood", "bits_per_byte")
    assert not metric_named(key[2]).share, "gains of shares are cut at 1"
    return GainSet(key, main=True, rows=rows, pull=pull_RI)


def properties(world: World, generator: np.random.Generator, *, families_differ: bool) -> tuple[pl.DataFrame, float]:
    """Points of the frame `property_points`, and the correlation within families (and across them) of new ones.

    A property of a dataset and its gain are drawn together; each family then adds a spread of its own. With
    `families_differ` families shift property and gain alike and independently of each other.
    """
    planted = CORRELATION if world.planted else 0.0
    x_D, y_D = generator.multivariate_normal([0, 0], [[1, planted], [planted, 1]], size=world.datasets).T
    shift = world.family if families_differ else 0.0
    size = (world.families, world.datasets)
    x_FD = x_D + shift * generator.normal(size=(world.families, 1)) + world.interaction * generator.normal(size=size)
    y_FD = y_D + shift * generator.normal(size=(world.families, 1)) + world.interaction * generator.normal(size=size)
    grid = np.indices(size).reshape(2, -1)
    frame = pl.DataFrame(
        {
            "base": [f"b{place}" for place in grid[0]],
            "family": [f"b{place}" for place in grid[0]],
            "dataset": [f"d{place}" for place in grid[1]],
            "value": x_FD.ravel(),
            "gain": y_FD.ravel(),
        }
    ).with_columns(
        benchmark=pl.lit("k0"),
        scorer=pl.lit("likelihood"),
        metric=pl.lit("bits_per_byte"),
        main=pl.lit(value=True),
        unit=pl.lit("bits per byte"),
        property=pl.lit("perplexity"),
    )
    return frame, planted / (1 + world.interaction**2)


@dataclass(frozen=True, eq=False)
class DrawnLayers:
    """Weight changes of the runs of a study: profile, mean change by depth, and what it correlates with gain at 0."""

    profile: Profile
    mean: Reals
    gain_set: GainSet
    correlation: float


def layers(world: World, generator: np.random.Generator) -> DrawnLayers:
    """Changes that grow with depth; at the first depth they go with the gain of the dataset, at the others not."""
    planted = CORRELATION if world.planted else 0.0
    x_D, y_D = generator.multivariate_normal([0, 0], [[1, planted], [planted, 1]], size=world.datasets).T
    mean_L = 3.0 + 0.5 * np.arange(DEPTHS)
    of_dataset_DL = np.column_stack([x_D, generator.normal(size=(world.datasets, DEPTHS - 1))])
    change_FDL = mean_L + 0.3 * of_dataset_DL
    change_FDL = change_FDL + 0.3 * world.family * generator.normal(size=(world.families, 1, DEPTHS))
    change_FDL = change_FDL + 0.3 * world.interaction * generator.normal(size=(world.families, *of_dataset_DL.shape))
    gain_FD = y_D + world.family * generator.normal(size=(world.families, 1))
    gain_FD = gain_FD + world.interaction * generator.normal(size=gain_FD.shape)
    rows = names(world).filter((pl.col("method") == "full") & (pl.col("seed") == 0))
    rows = rows.with_columns(gain=pl.Series(gain_FD.ravel()))
    depths = tuple(place / (DEPTHS - 1) for place in range(DEPTHS))
    of_runs = rows.drop("gain", "method", "seed", "order_seed", "init_seed").with_columns(method=pl.lit("full"))
    profile = Profile("full", "all", depths, of_runs, change_FDL.reshape(-1, DEPTHS))
    key = ("k0", "likelihood", "bits_per_byte")
    return DrawnLayers(profile, mean_L, GainSet(key, True, rows), planted / (1 + world.interaction**2))


def array(world: World, generator: np.random.Generator, *, shared: float, benchmarks: int = 4) -> GainArray:
    """A complete array of gains, `shared` of whose variance of dataset x benchmark all families have in common."""
    shape = (world.families, world.datasets, benchmarks)
    gain = math.sqrt(shared) * generator.normal(size=(1, *shape[1:]))
    gain = gain + math.sqrt(1 - shared) * generator.normal(size=shape)
    gain = gain + world.family * generator.normal(size=(world.families, 1, 1))
    bases = tuple(f"b{place}" for place in range(world.families))
    return GainArray(
        bases=bases,
        families=bases,
        datasets=tuple(f"d{place}" for place in range(world.datasets)),
        benchmarks=tuple(f"k{place}" for place in range(benchmarks)),
        gain=gain,
    )
