"""What qualifies several sentences is said once, behind them, and of which."""

from sftlab.analyse.effects import Finding, told


def on(benchmark, *caveats, section="data"):
    return Finding(section, f"On {benchmark}, so it is.", benchmark, caveats=caveats)


def test_caveat_of_all_is_said_once_behind_them():
    assert list(told([on("a", "few recipes"), on("b", "few recipes")])) == [
        "On a, so it is.",
        "On b, so it is.",
        "On each of these 2 benchmarks: few recipes.",
    ]


def test_caveat_of_some_names_them_and_those_of_the_same_ones_share_a_sentence():
    found = [on("a", "few recipes", "not counted: x"), on("b"), on("c", "few recipes", "not counted: x")]
    assert list(told(found))[-1] == "On a and c: few recipes; not counted: x."


def test_caveat_of_all_but_a_few_names_the_few():
    picked = [on(name, "picked") for name in "abcde"]
    assert list(told([*picked, on("f")]))[-1] == "On each of these 6 benchmarks but f: picked."
    assert list(told([*picked[1:], on("f")]))[-1] == "On b, c, d and e: picked."


def test_caveat_of_one_stands_in_its_line():
    assert list(told([on("a", "few recipes"), on("b")])) == ["On a, so it is. Few recipes.", "On b, so it is."]


def test_caveats_stay_with_the_sentences_they_follow():
    whole = Finding("data", "All in all.", caveats=("on the whole",))
    later = [on("a", "few recipes", section="gains"), on("b", "few recipes", section="gains")]
    assert list(told([on("a", "few recipes"), on("b", "few recipes"), whole, *later])) == [
        "On a, so it is.",
        "On b, so it is.",
        "On each of these 2 benchmarks: few recipes.",
        "All in all. On the whole.",
        "On a, so it is.",
        "On b, so it is.",
        "On each of these 2 benchmarks: few recipes.",
    ]


def test_caveat_that_two_findings_of_one_benchmark_share_names_it():
    assert list(told([on("a", "few recipes"), on("a", "few recipes")]))[-1] == "On a: few recipes."
