"""Which interval of a correlation over family x dataset cells holds the truth: the one in use beside three others.

Cells are centred by family. In use: Fisher's z with as many units as there are datasets. Beside it: as many units as
cells are worth by how alike those of one dataset are (variance components), leaving one dataset out at a time, and
leaving one dataset and one family out (jackknife on Fisher's z, Student's t). For each world: the share of studies
whose interval holds the truth, how wide it is and, where nothing goes with anything, the share of those that find
something at 0.05 and at 0.01.
"""

import argparse
import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from record import Result, machine, markdown_table, say
from scipy import stats

Reals = NDArray[np.float64]
"""Axes: S studies, F families, D datasets."""

SIZES = ((3, 5), (4, 8), (6, 10), (12, 10))
CORRELATION = -0.6
LEVELS = (0.05, 0.01)
MOST_Z = 0.999999


def centred(value_SFD: Reals) -> Reals:
    """Values less their family's mean."""
    result: Reals = value_SFD - value_SFD.mean(axis=2, keepdims=True)
    return result


def correlated(x_SFD: Reals, y_SFD: Reals) -> Reals:
    """Correlation of each study over its cells, centred by family."""
    x_SFD, y_SFD = centred(x_SFD), centred(y_SFD)
    square_S = (x_SFD**2).sum(axis=(1, 2)) * (y_SFD**2).sum(axis=(1, 2))
    found_S: Reals = np.clip((x_SFD * y_SFD).sum(axis=(1, 2)) / np.sqrt(square_S), -MOST_Z, MOST_Z)
    return found_S


def of_datasets(
    noise: float, planted: float
) -> Callable[[np.random.Generator, tuple[int, int, int]], tuple[Reals, ...]]:
    """A world in which what moves a cell is its dataset, but for a noise of its own in either variable."""

    def drawn(generator: np.random.Generator, shape: tuple[int, int, int]) -> tuple[Reals, ...]:
        studies, _, datasets = shape
        x_SD, rest_SD = generator.normal(size=(2, studies, 1, datasets))
        y_SD = planted * x_SD + math.sqrt(1 - planted**2) * rest_SD
        truth = np.full(1, planted / (1 + noise**2))
        return x_SD + noise * generator.normal(size=shape), y_SD + noise * generator.normal(size=shape), truth

    return drawn


def scales_together(generator: np.random.Generator, shape: tuple[int, int, int]) -> tuple[Reals, ...]:
    """Some families have larger properties and larger gains than others, as weak bases do; nothing goes together."""
    scale_SF = np.exp(1.5 * generator.normal(size=(*shape[:2], 1)))
    x_SFD, y_SFD, _ = of_datasets(0.3, 0.0)(generator, shape)
    return scale_SF * x_SFD, scale_SF * y_SFD, np.zeros(1)


def slopes_differ(generator: np.random.Generator, shape: tuple[int, int, int]) -> tuple[Reals, ...]:
    """What goes with what differs between families, and on average nothing does."""
    x_SFD, y_SFD, _ = of_datasets(0.3, 0.0)(generator, shape)
    return x_SFD, y_SFD + 0.5 * generator.normal(size=(*shape[:2], 1)) * x_SFD, np.zeros(1)


def one_far_out(generator: np.random.Generator, shape: tuple[int, int, int]) -> tuple[Reals, ...]:
    """One dataset lies far out in the property, and one, any of them, in the gain."""
    x_SFD, y_SFD, _ = of_datasets(1.0, 0.0)(generator, shape)
    x_SFD[:, :, 0] += 7
    studies = np.arange(shape[0])
    y_SFD[studies, :, generator.integers(0, shape[2], shape[0])] += 7
    return x_SFD, y_SFD, np.zeros(1)


WORLDS: Mapping[str, Callable[[np.random.Generator, tuple[int, int, int]], tuple[Reals, ...]]] = {
    **{
        f"noise {noise:g}, r {planted:g}": of_datasets(noise, planted)
        for planted in (CORRELATION, 0.0)
        for noise in (0.0, 0.3, 1.0)
    },
    "scales together": scales_together,
    "slopes differ": slopes_differ,
    "one far out": one_far_out,
}


def by_datasets(x_SFD: Reals, _: Reals, tail: float) -> Reals:
    """Half the width on Fisher's z, as `sftlab analyse` has it."""
    return np.full(len(x_SFD), float(stats.norm.isf(tail)) / math.sqrt(x_SFD.shape[2] - 3))


def tested_by_datasets(x_SFD: Reals, _: Reals, tail: float) -> Reals:
    """How large a correlation on Fisher's z the test in use calls found: Student's t."""
    df = x_SFD.shape[2] - 2
    return np.full(len(x_SFD), math.asinh(float(stats.t.isf(tail, df)) / math.sqrt(df)))


def by_likeness(x_SFD: Reals, y_SFD: Reals, tail: float) -> Reals:
    """The variance of `by_datasets` times the design effect, over its value where cells of a dataset are all alike.

    The design effect follows from the covariance of two cells of one dataset, by its components (ANOVA).
    """
    families = x_SFD.shape[1]
    r_S = correlated(x_SFD, y_SFD)
    shared_x, all_x = _components(x_SFD, x_SFD)
    shared_y, all_y = _components(y_SFD, y_SFD)
    a_S, b_S = np.maximum(shared_x, 0) / all_x, np.maximum(shared_y, 0) / all_y
    bound_S = np.sqrt(a_S * b_S)
    c_S = np.clip(_components(x_SFD, y_SFD)[0] / np.sqrt(all_x * all_y), -bound_S, bound_S)
    first, second = -r_S / 2 * a_S + c_S / 2, -r_S / 2 * b_S + c_S / 2
    crossed = (-r_S / 2 * c_S + b_S / 2) * (a_S / 2 - r_S / 2 * c_S)
    alike_S = np.clip(2 * (first**2 + 2 * crossed + second**2) / (1 - r_S**2) ** 2, 0.0, 1.0)
    effect_S: Reals = np.sqrt((1 + (families - 1) * alike_S) / families)
    return by_datasets(x_SFD, y_SFD, tail) * effect_S


def _components(x_SFD: Reals, y_SFD: Reals) -> tuple[Reals, Reals]:
    """Covariance that cells of one dataset share, and that of a cell."""
    _, families, datasets = x_SFD.shape
    x_SD, y_SD = x_SFD.mean(axis=1, keepdims=True), y_SFD.mean(axis=1, keepdims=True)
    between_S = families * (x_SD * y_SD).sum(axis=(1, 2)) / (datasets - 1)
    own_S = ((x_SFD - x_SD) * (y_SFD - y_SD)).sum(axis=(1, 2)) / ((families - 1) * (datasets - 1))
    shared_S = (between_S - own_S) / families
    return shared_S, np.maximum(shared_S, 0) + own_S


def left_out(axes: tuple[int, ...]) -> Callable[[Reals, Reals, float], Reals]:
    """Half the width by leaving out one unit of each axis at a time; the squares of several add up."""

    def half_width(x_SFD: Reals, y_SFD: Reals, tail: float) -> Reals:
        square_S = np.zeros(len(x_SFD))
        for axis in axes:
            units = x_SFD.shape[axis]
            z_US = np.arctanh(
                [correlated(*(np.delete(value, unit, axis) for value in (x_SFD, y_SFD))) for unit in range(units)]
            )
            variance_S = (units - 1) / units * ((z_US - z_US.mean(axis=0)) ** 2).sum(axis=0)
            square_S += float(stats.t.isf(tail, units - 1)) ** 2 * variance_S
        result: Reals = np.sqrt(square_S)
        return result

    return half_width


HalfWidth = Callable[[Reals, Reals, float], Reals]
INTERVALS: Mapping[str, tuple[HalfWidth, HalfWidth]] = {
    "datasets counted (in use)": (by_datasets, tested_by_datasets),
    "cells by likeness": (by_likeness, by_likeness),
    "datasets left out": (left_out((2,)), left_out((2,))),
    "datasets and families left out": (left_out((2, 1)), left_out((2, 1))),
}
"""Of each its interval and its test."""


def main() -> None:
    """Simulate, and show a row for each world and size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=4000, help="drawn for each world and size")
    parser.add_argument("--smallest", action="store_true", help="few studies of one size, to see that it runs")
    parser.add_argument("--save", action="store_true", help="keep the result under results/")
    given = parser.parse_args()
    at_start = machine()
    studies, sizes = (50, SIZES[1:2]) if given.smallest else (given.studies, SIZES)
    values: list[dict[str, object]] = []
    for number, (world, draw) in enumerate(WORLDS.items()):
        say(world)
        for families, datasets in sizes:
            generator = np.random.default_rng([number, families, datasets])
            x_SFD, y_SFD, truth = draw(generator, (studies, families, datasets))
            x_SFD, y_SFD = centred(x_SFD), centred(y_SFD)
            z_S = np.arctanh(correlated(x_SFD, y_SFD))
            error_S = np.abs(z_S - np.arctanh(truth))
            for name, (half_width, tested) in INTERVALS.items():
                half_S = half_width(x_SFD, y_SFD, 0.025)
                held = float(np.mean(error_S <= half_S))
                width = float(np.mean(np.tanh(z_S + half_S) - np.tanh(z_S - half_S)))
                found = [float(np.mean(error_S > tested(x_SFD, y_SFD, level / 2))) for level in LEVELS]
                row = {"world": world, "families": families, "datasets": datasets, "interval": name, "held": held}
                row["width"] = width
                values.append({**row, "found": found if truth[0] == 0 else None})
    head = ("world", "families x datasets", *INTERVALS)
    Result(
        "correlation-intervals",
        {"studies": studies, "confidence": 0.95},
        {"rows": values},
        "95 % intervals that hold the truth, %, and their width; in brackets, of nothing, found at 0.05 and 0.01:\n\n"
        + markdown_table(head, list(_wide(values))),
    ).finish(at_start, save=given.save)


def _wide(values: list[dict[str, object]]) -> list[list[object]]:
    """One row a world and size, a column an interval."""
    rows: dict[tuple[object, str], list[object]] = {}
    for value in values:
        key = (value["world"], f"{value['families']} x {value['datasets']}")
        held, width, found = value["held"], value["width"], value["found"]
        assert isinstance(held, float)
        text = f"{100 * held:.1f}, {width:.2f}"
        if isinstance(found, list):
            text += f" ({', '.join(f'{100 * share:.1f}' for share in found)})"
        rows.setdefault(key, [*key]).append(text)
    return list(rows.values())


if __name__ == "__main__":
    main()
