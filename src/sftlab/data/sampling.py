"""Which examples are held out and which are taken: decided from rows and seeds alone, before any tokenizer is seen."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from sftlab.data.example import Dataset, Example
from sftlab.errors import DataError

EXAMPLES_TAG = 0x5F71
PARTS_TAG = 0x5F72


@dataclass(frozen=True)
class Split:
    """The examples to draw from, in sampling order, and those kept for validation, in theirs."""

    pool: tuple[Example, ...]
    held_out: tuple[Example, ...]


@dataclass(frozen=True)
class Part:
    """One dataset of a mixture: its pool in sampling order, and how much of the mixture it is to be."""

    name: str
    pool: tuple[Example, ...]
    weight: float = 1.0
    allow_short: bool = False


@dataclass(frozen=True)
class Drawn:
    """An example that was taken, and the dataset it is from."""

    example: Example
    dataset: str


def split_held_out(dataset: Dataset, *, share: float, seed: int) -> Split:
    """Sets examples apart for validation and brings the others into sampling order.

    Below 1 `share` is a share of the usable examples, rounded up; from 1 it is their number; 0 holds nothing out.
    The first n of the pool are the sample of size n, so that a small sample is the beginning of every larger one. The
    held-out examples are the last of the same permutation: holding more out shortens the pool from its end. Examples
    with the same turns as a held-out one leave the pool, or validation would measure memory. The permutation sorts raw
    output of PCG64, which numpy keeps the same across its versions. Raises DataError when nothing would be left.
    """
    examples = dataset.examples
    num_held_out = _num_held_out(dataset, share)
    order = _permutation(len(examples), tag=EXAMPLES_TAG, seed=seed)
    kept = len(examples) - num_held_out
    held_out = tuple(examples[place] for place in order[kept:])
    seen = {example.turns for example in held_out}
    pool = tuple(example for place in order[:kept] if (example := examples[place]).turns not in seen)
    if examples and not pool:
        raise DataError(
            f"the dataset {dataset.name} has nothing left to train on: all {kept} other examples are duplicates of its "
            f"{num_held_out} held-out ones"
        )
    return Split(pool, held_out)


def draw(parts: Sequence[Part], *, samples: int, seed: int) -> tuple[Drawn, ...]:
    """Takes `samples` examples from one dataset, or from several in proportion to their weights.

    Every sample is the beginning of every larger one with the same seed. At any length the number from each part is its
    exact share rounded down or up (Tijdeman, The chairman assignment problem, 1980): with equal weights no two parts
    differ by more than one. The seed only decides who comes first among equals. A part that allows it gives as many as
    it has, and the sample is then that much shorter. Raises DataError when another part holds too few.
    """
    if not parts:
        raise DataError("a mixture has at least one dataset, got none")
    turns = _whose_turn([part.weight for part in parts], samples, seed=seed)
    quotas = [turns.count(place) for place in range(len(parts))]
    for part, quota in zip(parts, quotas, strict=True):
        if quota > len(part.pool) and not part.allow_short:
            raise DataError(_too_few(part, quota, samples, alone=len(parts) == 1))
    pools = [iter(part.pool) for part in parts]
    taken = ((parts[turn].name, next(pools[turn], None)) for turn in turns)
    return tuple(Drawn(example, name) for name, example in taken if example is not None)


def _num_held_out(dataset: Dataset, share: float) -> int:
    if not math.isfinite(share) or share < 0.0 or (share >= 1.0 and share != int(share)):
        raise DataError(
            f"validation of the dataset {dataset.name} is a share from 0 to below 1 or a whole number from 1, "
            f"got {share}"
        )
    usable = len(dataset.examples)
    count = int(share) if share >= 1.0 else math.ceil(Fraction(str(share)) * usable)
    if count and count >= usable:
        raise DataError(
            f"the dataset {dataset.name} holds {usable} usable examples: {count} cannot be held out for validation, as "
            "fewer than all can; lower `validation`"
        )
    return count


def _permutation(count: int, *, tag: int, seed: int) -> list[int]:
    bits = np.random.PCG64(np.random.SeedSequence([seed, tag]))
    order: list[int] = np.argsort(bits.random_raw(count), kind="stable").tolist()
    return order


def _whose_turn(weights: Sequence[float], samples: int, *, seed: int) -> list[int]:
    """Which part gives each of the examples, by Tijdeman's rule, in whole numbers throughout.

    With k parts, step n goes to that part, of those at least 1 / (2k - 2) behind their share of n, that would be the
    first to be 1 - 1 / (2k - 2) behind if it were passed over. Weights count as the decimals they are written as.
    """
    if any(not math.isfinite(weight) or weight <= 0.0 for weight in weights):
        raise DataError(f"weights of a mixture are numbers above 0, got {', '.join(map(str, weights))}")
    if len(weights) == 1:
        return [0] * samples
    exact = [Fraction(str(weight)) for weight in weights]
    common = math.lcm(*(weight.denominator for weight in exact))
    shares = [int(weight * common) for weight in exact]
    whole, urgency = sum(shares), math.lcm(*shares)
    slack = 2 * len(shares) - 2
    given = [0] * len(shares)
    ranked = _permutation(len(shares), tag=PARTS_TAG, seed=seed)
    turns: list[int] = []
    for step in range(1, samples + 1):
        behind = [slack * (share * step - count * whole) for share, count in zip(shares, given, strict=True)]
        due = [place for place in ranked if behind[place] >= whole]
        turn = min(due, key=lambda place: ((slack - 1) * whole - behind[place]) * (urgency // shares[place]))
        given[turn] += 1
        turns.append(turn)
    return turns


def _too_few(part: Part, quota: int, samples: int, *, alone: bool) -> str:
    asked = (
        f"{samples} samples were asked for" if alone else f"{quota} of {samples} samples are its share of the mixture"
    )
    return (
        f"the dataset {part.name} holds {len(part.pool)} examples (without broken rows and those held out), "
        f"but {asked}: lower `samples`, or write `short: allow` to take what there is"
    )
