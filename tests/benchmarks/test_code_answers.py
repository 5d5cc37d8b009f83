import pytest

from sftlab.benchmarks.code_answers import extracted_code, whole_program

BODY = "    y = x\n    return y"
WHOLE = "def f(x):\n    return x"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (BODY, BODY),
        (f"{BODY}\n\n\n", BODY),
        (f"{BODY}\n```\nThis returns x.", BODY),
        (f"\n{BODY}\n```python\nf(1)\n```", f"\n{BODY}"),
        (WHOLE, WHOLE),
        (f"```python\n{WHOLE}\n```", WHOLE),
        (f"```\n{WHOLE}\n```\nThat is it.", WHOLE),
        (f"Here is the function:\n\n```python\n{WHOLE}\n```\n\nExample:\n```python\nprint(f(1))\n```", WHOLE),
        (f"First install:\n```bash\npip install x\n```\nthen\n```py\n{WHOLE}\n```", WHOLE),
        (f"Sure!\n```python\n{WHOLE}", WHOLE),
        (WHOLE.replace("\n", "\r\n"), WHOLE),
        ("Use:\n```\nf = lambda x: x\n```", "f = lambda x: x"),
        (f"import math\n{WHOLE}\n```", f"import math\n{WHOLE}"),
        ("I cannot help.", "I cannot help."),
    ],
)
def test_code_is_read_out_of_an_answer(answer, code):
    assert extracted_code(answer) == f"{code}\n"


@pytest.mark.parametrize("answer", ["", " \n\t", "```python\n```", "Here:\n```\n\n```\n"])
def test_answer_with_nothing_to_run_has_no_code(answer):
    assert extracted_code(answer) is None


def test_answer_goes_on_from_the_head_or_defines_the_function_anew():
    head = 'import math\n\ndef f(x):\n    """Doc."""\n'
    assert whole_program(head, BODY, "f") == head + BODY
    space: dict = {}
    exec(whole_program(head, "def f(x):\n    return math.floor(x)\n", "f"), space)
    assert space["f"](1.5) == 1
