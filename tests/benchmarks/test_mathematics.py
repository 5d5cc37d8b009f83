"""Equal and unequal answers as mathematics, and answers that would hang or kill a naive comparison."""

import threading
import time

import pytest

from sftlab.benchmarks.final_answer import final_answer
from sftlab.benchmarks.mathematics import equal_answers

EQUAL = [
    ("18", "18"),
    ("18.00", "18"),
    ("1,000", "1000"),
    ("10,\\!000", "10000"),
    ("1{,}234{,}567", "1234567"),
    ("\\$18", "18"),
    ("$18$", "18"),
    ("\\frac12", "0.5"),
    ("\\dfrac{1}{2}", "\\frac{1}{2}"),
    ("\\tfrac12", "1/2"),
    ("\\frac{2}{4}", "\\frac{1}{2}"),
    ("\\frac{3}{4}", "0.7500"),
    ("-\\frac{1}{2}", "\\frac{-1}{2}"),
    ("\\frac{1}{-2}", "-\\frac12"),
    ("1\\frac{1}{2}", "\\frac32"),
    ("50\\%", "50"),
    ("50\\%", "\\frac12"),
    ("5\\text{ cm}", "5"),
    ("10\\text{ square units}", "10"),
    ("90^\\circ", "90"),
    ("90^{\\circ}", "90"),
    ("\\{1,2\\}", "\\{2,1\\}"),
    ("1,2", "2, 1"),
    ("[2,5)", "[2, 5)"),
    ("\\left[2,5\\right)", "[2,5)"),
    ("(-\\infty,2)\\cup(3,\\infty)", "(3,\\infty) \\cup (-\\infty, 2)"),
    ("(1,2,3)", "\\left( 1, 2, 3 \\right)"),
    ("\\left( 3, \\frac{\\pi}{2} \\right)", "(3,\\pi/2)"),
    ("\\begin{pmatrix}1\\\\2\\end{pmatrix}", "\\begin{bmatrix}1\\\\2\\end{bmatrix}"),
    ("\\sqrt{8}", "2\\sqrt2"),
    ("\\frac{1}{\\sqrt{2}}", "\\frac{\\sqrt2}{2}"),
    ("\\text{Evelyn}", "Evelyn"),
    ("\\text{(B)}", "B"),
    ("x=5", "5"),
    ("5", "x = 5"),
    ("y = 2x + 1", "y=2x+1"),
    ("1.5\\times10^3", "1500"),
    ("1.5 \\cdot 10^{-2}", "0.015"),
    ("x^2+2x+1", "(x+1)^2"),
    ("2+3i", "3i+2"),
    ("3 \\pm \\sqrt{2}", "3-\\sqrt2, 3+\\sqrt2"),
    ("4!", "24"),
    ("\\log_2 8", "3"),
    ("\\infty", "\\infty"),
    ("\\text{even}", "even"),
]
DIFFERENT = [
    ("18", "19"),
    ("7", "-7"),
    ("1/2", "2/1"),
    ("0.333", "\\frac13"),
    ("3.14159", "\\pi"),
    ("1,000", "1"),
    ("2,3", "5"),
    ("2,3", "2,3,4"),
    ("[2,5)", "[2,5]"),
    ("(1,2)", "(2,1)"),
    ("(1,2,3)", "(3,2,1)"),
    ("\\begin{pmatrix}1\\\\2\\end{pmatrix}", "\\begin{pmatrix}2\\\\1\\end{pmatrix}"),
    ("\\sqrt{8}", "\\sqrt{2}"),
    ("p - q", "q - p"),
    ("\\text{even}", "\\text{odd}"),
    ("\\text{June 20}", "20"),
    ("x=5", "x=6"),
    ("y=2x+1", "y=2x-1"),
    ("1.5\\times10^3", "150"),
    ("", "5"),
    ("5", ""),
    ("", ""),
    ("\\infty", "-\\infty"),
    ("6:30", "6.3"),
    ("11111_2", "31"),
]
HOSTILE = [
    "9^{9^{9^{9^{9}}}}",
    "{" * 1500,
    "\\sqrt{" * 200 + "2" + "}" * 200,
    "__import__('os').system('touch /tmp/harmed')",
    "\\begin{pmatrix}" + "1&" * 400 + "\\end{pmatrix}",
    "\x00\ud800"[:1] + "\\int_0^1",
    "x" * 5000,
    "factorial(factorial(factorial(9)))",
]


@pytest.mark.parametrize(("answer", "gold"), EQUAL)
def test_equal_mathematics_counts_in_either_order(answer, gold):
    assert equal_answers(answer, gold)
    assert equal_answers(gold, answer)


@pytest.mark.parametrize(("answer", "gold"), DIFFERENT)
def test_other_mathematics_does_not_count(answer, gold):
    assert not equal_answers(answer, gold)


def test_the_table_has_sixty_pairs():
    assert len({*EQUAL, *DIFFERENT}) >= 60


@pytest.mark.parametrize("answer", HOSTILE)
def test_a_hostile_answer_is_wrong_within_its_time_and_the_next_is_read(answer):
    start = time.monotonic()
    assert not equal_answers(answer, "5")
    assert time.monotonic() - start < 60
    assert equal_answers("\\frac{10}{2}", "5")


def test_answers_are_compared_outside_the_main_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(equal_answers("\\frac{14}{4}", "3.5")))
    thread.start()
    thread.join()
    assert found == [True]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("so \\boxed{3} and then \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}"),
        ("\\boxed{\\{1,2\\}}", "\\{1,2\\}"),
        ("we get $\\boxed 7$", "7"),
        ("\\boxed{4} but \\boxed{\\frac{1", "4"),
        ("Final Answer: The final answer is $[2,5)$. I hope it is correct.", "[2,5)"),
        ("4 + 5 = 9\n#### 1,009", "1,009"),
        ("The answer is 3.\nNo, the answer is 4.5.", "4.5"),
        ("The answer is 5. I hope this helps!", "5"),
        ("The answer is 2.5. No, wait: the answer is $x = 3.5$. Thanks.", "x = 3.5"),
        ("so the answer must be five", None),
        ("", None),
    ],
)
def test_final_answer_is_read_in_its_usual_forms(text, answer):
    assert final_answer(text) == answer
