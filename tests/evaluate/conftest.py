"""A tiny base of each architecture, and what the tests ask it."""

import random
from pathlib import Path

import pytest
import torch

from sftlab.benchmarks.item import Benchmark, Item, Reading
from sftlab.lm.base import LoadedBase, load_base
from sftlab.study.declaration import BaseRef, Precision
from tests.lm.models import MODELS, WORDS, load, write_model


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    return tmp_path_factory.mktemp("bases")


@pytest.fixture(scope="session", params=MODELS)
def base(request, folder) -> LoadedBase:
    return with_varied_output(load(folder, request.param))


@pytest.fixture(scope="session")
def chat_base(folder) -> LoadedBase:
    write_model(folder / "chat", "llama", chat=True)
    ref = BaseRef(name="chat", model=str(folder / "chat"))
    return with_varied_output(load_base(ref, device="cpu", precision=Precision()))


def with_varied_output(base: LoadedBase) -> LoadedBase:
    """A random model that says different things to different questions."""
    with torch.no_grad():
        for weight in base.model.parameters():
            if weight.dim() > 1:
                weight.mul_(6)
    return base


def sentence(generator: random.Random, count: int) -> str:
    return " ".join(generator.choices(WORDS, k=count))


def choice_items(count: int) -> tuple[Item, ...]:
    """Questions with three choices of different lengths."""
    generator = random.Random(3)
    items = []
    for number in range(count):
        context = f"Question: {sentence(generator, generator.randint(3, 8))}?\nAnswer:"
        choices = tuple(" " + sentence(generator, length) for length in (1, 2, 4))
        gold = generator.randrange(3)
        items.append(Item(str(number), context, (choices[gold],), choices, gold, stratum=f"s{number % 2}"))
    return tuple(items)


def answer_items(count: int) -> tuple[Item, ...]:
    """Questions with one gold answer."""
    return tuple(Item(item.item, item.context, item.gold, stratum=item.stratum) for item in choice_items(count))


def first_letter(item: Item, text: str) -> Reading:
    """Right where the first letter is that of the gold answer; a text without letters cannot be read."""
    found = next((letter for letter in text if letter.isalpha()), "")
    return Reading(float(found == item.gold[0].strip()[0]), found, bool(found))


def benchmark(items, *scorers, **options) -> Benchmark:
    options = {"read": first_letter, "max_new_tokens": 8, **options}
    return Benchmark(name="b", digest="d", items=tuple(items), scorers=scorers, **options)
