"""Items that occur in training data, found as brute force finds them."""

import random

from sftlab.data.contamination import contamination

FORM = "Answer this question.\nQuestion: {}\nAnswer:"
LONG = "A merchant buys {} sacks of barley at the market, sells half of them on Monday and burns {} on Friday evening"


def questions(*texts):
    return {str(number): FORM.format(text) for number, text in enumerate(texts)}


def found(asked, *examples):
    return {one.item: one.example for one in contamination(asked, enumerate(examples)).occurrences}


def test_an_item_with_thirteen_words_in_common_is_found_whatever_its_punctuation():
    asked = questions(LONG.format(7, 2), "Where does the river that crosses the old town begin?")
    copied = "He said: a MERCHANT buys 7 sacks, of barley; at the market - sells half of them! And then?"
    assert found(asked, "nothing", copied) == {"0": 1}
    assert found(asked, "A merchant buys 7 sacks of barley at the market, sells half but not more") == {}


def test_a_short_item_is_found_only_whole_and_a_very_short_one_is_not_tested():
    asked = questions("Who wrote the book about the whale?", "Who is it?", LONG.format(1, 2))
    held = contamination(asked, [(5, "I ask: who wrote the book about the whale? Melville.")])
    assert [(one.item, one.example, one.text) for one in held.occurrences] == [
        ("0", 5, "who wrote the book about the whale")
    ]
    assert (held.tested, held.untested) == (2, 1)
    assert found(asked, "who wrote the book about the shark", "Who is it?") == {}


def test_the_form_of_a_benchmark_is_no_contamination():
    form = (
        "The following is a question of an examination with four options, one of which is right, so choose it well: "
        "{} Options follow"
    )
    middle = "given that all of the usual assumptions of the theory hold and nothing else is known"
    asked = {str(number): form.format(f"Word{number} x {middle} y{number} z") for number in range(40)}
    assert found(asked, form.format("What is it?"), middle) == {}
    assert found(asked, f"w Word7 x {middle} y7") == {"7": 0}


def test_every_character_of_chinese_is_a_word():
    asked = questions("在农业生产中被当作极其重要的劳动对象是什么", "世界上最长的河流在哪一个国家")
    assert found(asked, "問: 在农业生产中被当作极其重要的劳动对象, 答") == {"0": 0}


def test_runs_are_those_that_brute_force_finds():
    generator = random.Random(0)
    texts = [" ".join(generator.choices("abcd", k=generator.randint(6, 40))) for _ in range(30)]
    examples = [" ".join(generator.choices("abcd", k=200)) for _ in range(20)]
    examples += [f"e {text[4:-2]} e" for text in texts[:5]]
    asked = {str(number): text for number, text in enumerate(["e f", "g h", *texts])}

    def occurs(words):
        runs = [words[start : start + 13] for start in range(len(words) - 12)] or [words]
        return [
            row for row, example in enumerate(examples) if any(f" {' '.join(run)} " in f" {example} " for run in runs)
        ]

    expected = {str(number): rows[0] for number, text in enumerate(texts, start=2) if (rows := occurs(text.split()))}
    assert expected
    assert found(asked, *examples) == expected
