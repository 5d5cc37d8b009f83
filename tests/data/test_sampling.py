"""Samples are prefixes of one another, held-out examples are never trained on, mixtures keep their weights."""

from fractions import Fraction

import pytest
from hypothesis import example as also
from hypothesis import given, settings
from hypothesis import strategies as st

from sftlab.data.example import Dataset, Example, Turn
from sftlab.data.sampling import Part, draw, split_held_out
from sftlab.errors import DataError


def example(content: str, index: int) -> Example:
    return Example((Turn("user", content), Turn("assistant", "a")), index)


def dataset(*contents: str) -> Dataset:
    return Dataset("question_answer", tuple(example(text, place) for place, text in enumerate(contents)), (), "mine")


def numbered(count: int) -> Dataset:
    return dataset(*(str(place) for place in range(count)))


def parts(*weights: float, size: int = 400, allow_short: bool = False) -> list[Part]:
    pool = numbered(size).examples
    return [Part(f"part{place}", pool, weight, allow_short) for place, weight in enumerate(weights)]


contents = st.lists(st.sampled_from("abcdefghijklmnopqrstuvwxyz"), min_size=2, max_size=40)
seeds = st.integers(0, 2**32)


@settings(deadline=None)
@given(texts=contents, seed=seeds, share=st.floats(0.01, 0.99))
def test_held_out_and_pool_share_no_turns_and_lose_no_text(texts, seed, share):
    whole = dataset(*texts)
    try:
        split = split_held_out(whole, share=share, seed=seed)
    except DataError:
        assert share > 1 - 1 / len(texts) or len(set(texts)) < len(texts)
        return
    held_out = {one.turns for one in split.held_out}
    assert not held_out & {one.turns for one in split.pool}
    assert held_out | {one.turns for one in split.pool} == {one.turns for one in whole.examples}
    indices = [one.index for one in (*split.pool, *split.held_out)]
    assert len(indices) == len(set(indices))


@settings(deadline=None)
@given(count=st.integers(3, 60), seed=seeds, fewer=st.integers(0, 20))
def test_holding_out_fewer_only_lengthens_the_pool(count, seed, fewer):
    larger = split_held_out(numbered(count), share=min(fewer, count - 2), seed=seed).pool
    smaller = split_held_out(numbered(count), share=float(min(fewer + 1, count - 1)), seed=seed).pool
    assert larger[: len(smaller)] == smaller


NUM_HELD_OUT = [(0.0, 0), (0.05, 5), (0.07, 7), (0.051, 6), (1e-9, 1), (0.99, 99), (1, 1), (1.0, 1), (12, 12), (99, 99)]


@pytest.mark.parametrize(("share", "expected"), NUM_HELD_OUT)
def test_share_is_rounded_up_and_a_number_is_exact(share, expected):
    split = split_held_out(numbered(100), share=share, seed=0)
    assert (len(split.held_out), len(split.pool)) == (expected, 100 - expected)


WRONG_SHARES = [
    (-0.1, "a share from 0 to below 1 or a whole number from 1, got -0.1"),
    (2.5, "a share from 0 to below 1 or a whole number from 1, got 2.5"),
    (float("nan"), "got nan"),
    (float("inf"), "got inf"),
    (10, "the dataset mine holds 10 usable examples: 10 cannot be held out for validation"),
    (0.95, "the dataset mine holds 10 usable examples: 10 cannot be held out for validation"),
]


@pytest.mark.parametrize(("share", "sentence"), WRONG_SHARES)
def test_impossible_share_is_told(share, sentence):
    with pytest.raises(DataError, match=sentence):
        split_held_out(numbered(10), share=share, seed=0)


def test_dataset_of_one_text_cannot_be_split():
    with pytest.raises(DataError, match="all 9 other examples are duplicates of its 1 held-out ones"):
        split_held_out(dataset(*["same"] * 10), share=0.1, seed=0)


def test_split_is_the_same_everywhere():
    split = split_held_out(numbered(10), share=0.2, seed=7)
    assert [one.index for one in split.pool] == [6, 3, 7, 1, 8, 9, 2, 5]
    assert [one.index for one in split.held_out] == [0, 4]


def test_seed_changes_the_sample():
    first, second = (split_held_out(numbered(50), share=0.1, seed=seed) for seed in (0, 1))
    assert first.pool != second.pool
    assert set(first.held_out) != set(second.held_out)


def test_every_example_is_equally_likely_to_come_first():
    firsts = [split_held_out(numbered(5), share=0, seed=seed).pool[0].index for seed in range(2000)]
    for place in range(5):
        assert abs(firsts.count(place) - 400) < 90  # five standard deviations of a binomial(2000, 1/5)


def test_single_dataset_gives_its_prefix():
    pool = split_held_out(numbered(30), share=0.1, seed=3).pool
    drawn = draw([Part("mine", pool)], samples=11, seed=5)
    assert tuple(one.example for one in drawn) == pool[:11]
    assert {one.dataset for one in drawn} == {"mine"}


@settings(deadline=None, max_examples=60)
@given(weights=st.lists(st.floats(0.01, 100), min_size=1, max_size=8), seed=seeds, samples=st.integers(1, 150))
@also(weights=[50.0, 50.0, 50.0, 3.0, 1.0, 1.0], seed=0, samples=60)  # a part that is not yet due may not be served
@also(
    weights=[5.0, 20.0, 1.0, 1.0, 20.0, 20.0, 1.0], seed=0, samples=60
)  # serving who is furthest behind is not enough
def test_mixture_keeps_its_weights_at_every_length(weights, seed, samples):
    mixture = parts(*weights)
    drawn = draw(mixture, samples=samples, seed=seed)
    whole = sum(Fraction(str(weight)) for weight in weights)
    furthest = 1 - Fraction(1, max(2 * len(weights) - 2, 1))
    given_so_far = dict.fromkeys((part.name for part in mixture), 0)
    for length, one in enumerate(drawn, start=1):
        given_so_far[one.dataset] += 1
        for part in mixture:
            assert abs(given_so_far[part.name] - length * Fraction(str(part.weight)) / whole) <= furthest
    for part in mixture:
        assert [one.example for one in drawn if one.dataset == part.name] == list(part.pool[: given_so_far[part.name]])


@settings(deadline=None, max_examples=30)
@given(
    weights=st.lists(st.floats(0.1, 10), min_size=1, max_size=6),
    seed=seeds,
    lengths=st.tuples(*[st.integers(1, 99)] * 2),
)
def test_smaller_sample_begins_the_larger(weights, seed, lengths):
    short, long = sorted(lengths)
    mixture = parts(*weights, size=40, allow_short=True)
    shorter = draw(mixture, samples=short, seed=seed)
    assert draw(mixture, samples=long, seed=seed)[: len(shorter)] == shorter


EXACT = [((1, 1, 1), 1000, {333, 334}), ((2, 1, 1), 8, {4, 2}), ((0.1, 0.2), 30, {10, 20}), ((3, 1), 4, {3, 1})]


@pytest.mark.parametrize(("weights", "samples", "counts"), EXACT)
def test_whole_quotas_are_exact(weights, samples, counts):
    drawn = draw(parts(*weights), samples=samples, seed=0)
    names = [one.dataset for one in drawn]
    assert {names.count(name) for name in set(names)} == counts
    assert len(drawn) == samples


def test_order_of_equals_follows_the_seed():
    assert len({draw(parts(1, 1, 1, 1), samples=1, seed=seed)[0].dataset for seed in range(50)}) == 4


def test_more_samples_than_there_are_is_told():
    with pytest.raises(DataError) as told:
        draw([Part("mine", numbered(5).examples)], samples=6, seed=0)
    assert str(told.value) == (
        "the dataset mine holds 5 examples (without broken rows and those held out), but 6 samples were asked for: "
        "lower `samples`, or write `short: allow` to take what there is"
    )


def test_exactly_as_many_samples_as_there_are_is_enough():
    pool = numbered(5).examples
    assert tuple(one.example for one in draw([Part("mine", pool)], samples=5, seed=0)) == pool


def test_mixture_with_too_small_a_part_is_told():
    small = Part("small", numbered(5).examples)
    with pytest.raises(DataError, match=r"the dataset small holds 5 examples .* but 10 of 20 samples are its share"):
        draw([small, Part("large", numbered(100).examples)], samples=20, seed=0)


def test_short_part_gives_what_it_has_and_the_others_their_share():
    small = Part("small", numbered(5).examples, allow_short=True)
    names = [one.dataset for one in draw([small, Part("large", numbered(100).examples)], samples=20, seed=0)]
    assert (names.count("small"), names.count("large")) == (5, 10)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_weight_is_told(weight):
    with pytest.raises(DataError, match="weights of a mixture are numbers above 0, got 1, "):
        draw(parts(1, weight), samples=1, seed=0)


def test_mixture_of_nothing_is_told():
    with pytest.raises(DataError, match="at least one dataset, got none"):
        draw([], samples=1, seed=0)
