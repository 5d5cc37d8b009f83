"""Near duplicates against all pairs by brute force."""

import random

from sftlab.data.near_duplicates import near_duplicates

WORDS = [f"w{number}" for number in range(200)]


def texts(seed: int) -> list[str]:
    rng = random.Random(seed)
    found = []
    for _ in range(60):
        words = rng.choices(WORDS, k=40)
        found.append(" ".join(words))
        if rng.random() < 0.5:
            for place in rng.sample(range(40), rng.choice([1, 2, 8])):
                words[place] = "other"
            found.append(" ".join(words))
    return found


def similarity(one: str, other: str) -> float:
    sets = [
        {tuple(words[place : place + 3]) for place in range(len(words) - 2)} for words in (one.split(), other.split())
    ]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def test_pairs_above_the_threshold_are_those_of_brute_force():
    given = texts(1)
    expected = {
        place for place in range(len(given)) if any(similarity(given[place], given[k]) >= 0.8 for k in range(place))
    }
    found = near_duplicates(given)
    assert {one.place for one in found} == expected
    assert expected
    for one in found:
        assert one.other < one.place
        assert abs(one.similarity - similarity(given[one.place], given[one.other])) < 1e-12


def test_another_sets_texts_are_found_in_it_alone():
    ours, theirs = texts(2), texts(3)
    assert near_duplicates(ours, theirs) == ()
    assert [(one.place, one.other, one.similarity) for one in near_duplicates([ours[5], "x"], ours)] == [(0, 5, 1.0)]


def test_short_texts_are_not_compared():
    assert near_duplicates(["one two three four"] * 3) == ()
