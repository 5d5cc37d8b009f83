"""Which examples a run is trained on and which are held out: decided from the data alone, the same for all bases."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from sftlab.data.example import Dataset, Example
from sftlab.data.reading import read_dataset
from sftlab.data.sampling import Part, draw, split_held_out
from sftlab.study.declaration import DatasetRef
from sftlab.study.run import DataPart

DATASETS_KEPT = 16


@dataclass(frozen=True)
class Selected:
    """Training examples in sampling order, and the held-out ones of every dataset that takes part."""

    train: tuple[Example, ...]
    held_out: tuple[Example, ...]


@lru_cache(maxsize=DATASETS_KEPT)
def dataset_in_memory(ref: DatasetRef, name: str, content: str) -> Dataset:
    """A dataset, read once a process as long as its `content` digest is the same."""
    assert content
    return read_dataset(ref, name=name)


def select_examples(
    parts: tuple[DataPart, ...],
    refs: Mapping[str, DatasetRef],
    contents: Mapping[str, str],
    *,
    samples: int,
    validation: float,
    seed: int,
) -> Selected:
    """The examples of one run.

    `contents` holds the content digest of each dataset. Raises DataError when `samples` is more than there is.
    """
    pools: list[Part] = []
    held_out: list[Example] = []
    for part in parts:
        ref = refs[part.dataset]
        dataset = dataset_in_memory(ref, part.dataset, contents[part.dataset])
        split = split_held_out(dataset, share=validation, seed=seed)
        pools.append(Part(part.dataset, split.pool, part.weight, ref.short == "allow"))
        held_out.extend(split.held_out)
    drawn = draw(pools, samples=samples, seed=seed)
    return Selected(tuple(one.example for one in drawn), tuple(held_out))
