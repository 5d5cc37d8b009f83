"""The pocket world and its questions."""

import itertools
import re
import subprocess
import sys

import pytest

from sftlab.errors import DataError
from sftlab.pocket.domains import DOMAINS, draw_questions
from sftlab.pocket.domains.facts import RELATIONS, population
from sftlab.pocket.domains.reading import SLOTS
from sftlab.pocket.domains.strings import PROGRAMS
from sftlab.pocket.mixtures import MIXTURES, documents
from sftlab.pocket.world import World, is_held_out

WORLD = World()
_PRINT_TEXTS = """
import itertools
from sftlab.pocket.mixtures import MIXTURES, documents
from sftlab.pocket.world import World
for shares in MIXTURES.values():
    for text in itertools.islice(documents(World(), shares, purpose="pretraining"), 40):
        print(text)
"""


def test_documents_are_the_same_in_another_process():
    here = [
        text
        for shares in MIXTURES.values()
        for text in itertools.islice(documents(WORLD, shares, purpose="pretraining"), 40)
    ]
    there = subprocess.run([sys.executable, "-c", _PRINT_TEXTS], capture_output=True, text=True, check=True).stdout
    assert there == "\n".join(here) + "\n"


@pytest.mark.parametrize("mixture", MIXTURES)
def test_documents_keep_the_shares_of_their_mixture(mixture):
    shares = MIXTURES[mixture]
    texts = list(itertools.islice(documents(WORLD, shares, purpose="pretraining"), 3000))
    own = {name: set(itertools.islice(documents(WORLD, {name: 1.0}, purpose="pretraining"), 3000)) for name in shares}
    total = sum(map(len, texts))
    for name, share in shares.items():
        got = sum(len(text) for text in texts if text in own[name]) / total
        assert got == pytest.approx(share, abs=0.01)


def test_documents_of_another_purpose_differ():
    pretraining, held_out = (
        set(itertools.islice(documents(WORLD, {"reading": 1.0}, purpose=purpose), 200))
        for purpose in ("pretraining", "held_out")
    )
    assert len(pretraining & held_out) == 0


def test_another_seed_gives_another_world():
    assert population(World(seed=1)) != population(World(seed=0))


def test_larger_world_keeps_its_people():
    assert population(World(people=150))[:96] == population(WORLD)


@pytest.mark.parametrize("name", DOMAINS)
def test_benchmark_questions_share_no_subject_with_training_questions(name):
    training = draw_questions(DOMAINS[name], WORLD, held_out=False, count=320)
    benchmark = draw_questions(DOMAINS[name], WORLD, held_out=True, count=100)
    assert {each.subject for each in training}.isdisjoint(each.subject for each in benchmark)
    assert {each.prompt for each in training}.isdisjoint(each.prompt for each in benchmark)
    assert len({each.prompt for each in training}) == 320


@pytest.mark.parametrize("name", DOMAINS)
def test_fewer_questions_are_a_prefix_of_more(name):
    assert draw_questions(DOMAINS[name], WORLD, held_out=True, count=60)[:20] == draw_questions(
        DOMAINS[name], WORLD, held_out=True, count=20
    )


def test_subject_of_a_sum_is_the_same_for_its_inverses():
    sums = draw_questions(DOMAINS["arithmetic"], WORLD, held_out=True, count=300)
    for question in sums:
        first, sign, second, value = re.match(r"(\d+) ([+-]) (\d+) = (\d+)", question.answer).groups()
        parts = {int(first), int(second)} if sign == "+" else {int(value), int(second)}
        assert is_held_out(f"{min(parts)}+{max(parts)}")


def test_sums_come_out_right():
    for question in draw_questions(DOMAINS["arithmetic"], WORLD, held_out=False, count=200):
        equation, final = question.answer.split("\n#### ")
        left, right = equation.split(" = ")
        first, sign, second = left.split()
        expected = int(first) + int(second) if sign == "+" else int(first) - int(second)
        assert int(right) == int(final) == int(question.final_answer) == expected
        assert first in question.prompt
        assert second in question.prompt


def test_string_programs_do_what_python_does():
    expected = {
        "reverse": "d c a",
        "uppercase": "A C D",
        "repeat": "a c d a c d",
        "first": "a",
        "last": "d",
    }
    assert {name: " ".join(program("acd")) for name, program in PROGRAMS.items()} == expected


def test_facts_answers_are_what_the_documents_state():
    texts = " ".join(itertools.islice(documents(WORLD, {"facts": 1.0}, purpose="pretraining"), 2000))
    for question in draw_questions(DOMAINS["facts"], WORLD, held_out=True, count=60):
        assert f"{question.cloze.start} {question.answer}." in texts


def test_facts_never_contradict_one_another():
    texts = " ".join(itertools.islice(documents(WORLD, {"facts": 1.0}, purpose="pretraining"), 2000))
    towns = RELATIONS[0].values
    for person in population(WORLD):
        stated = set(re.findall(rf"(?:{person.name} lives in|The home of {person.name} is) (\w+)", texts))
        assert stated == {person.values[0]}
        assert person.values[0] in towns


def test_reading_answers_follow_from_the_passage():
    for question in draw_questions(DOMAINS["reading"], WORLD, held_out=True, count=200):
        passage, asked = question.prompt.split("\n")
        told = set(re.findall(r"\w+", passage))
        assert question.answer in question.choices
        if question.choices == ("yes", "no"):
            claimed = re.search(r"(\w+)\?$", asked)[1]
            assert question.answer == ("yes" if claimed in told else "no")
        else:
            assert [choice for choice in question.choices if choice in told] == [question.answer]
            assert len(set(question.choices)) == 4


def test_reading_asks_for_every_slot_in_both_ways():
    asked = {question.input for question in draw_questions(DOMAINS["reading"], WORLD, held_out=True, count=200)}
    for slot in SLOTS:
        assert slot.ask in asked
        doubted = {slot.ask_whether.format(**{slot.name: value}) for value in slot.values}
        assert len(doubted & asked) > 1


def test_exchanges_never_ask_about_a_held_out_subject():
    people = {person.name for person in population(WORLD) if is_held_out(person.name)}
    texts = itertools.islice(documents(WORLD, {"facts": 1.0}, purpose="pretraining"), 3000)
    asked = [text for text in texts if text.startswith("Q: ")]
    assert len(asked) > 500
    assert not [text for text in asked if any(re.search(rf"\b{name}\b", text) for name in people)]


def test_too_small_a_world_is_an_error_of_one_sentence():
    with pytest.raises(DataError, match=r"100 distinct questions of the pocket domain 'facts' were asked for"):
        draw_questions(DOMAINS["facts"], World(people=3), held_out=True, count=100)
