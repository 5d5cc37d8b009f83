import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from sftlab.benchmarks.processing.programs import function_to_complete, function_to_write, pass_at_1, program_of
from sftlab.benchmarks.rows import Layout, read_rows
from sftlab.benchmarks.sandbox import Program, Sandbox, sandbox_identity, tried
from sftlab.benchmarks.sandbox.plain import NotPlainError, decode, encode


def passes(sandbox: Sandbox, code: str, tests: str, *names: str) -> bool:
    return sandbox.run(Program(code, tests, names)).passed


@pytest.mark.parametrize(
    "expression",
    [
        "[1, 2.5, 'a', None, True]", "(1, (2, 3))", "{'a': [1], (1, 2): {3}}", "frozenset({1})", "b'ab'", "2 ** 200",
        "-(2 ** 60)", "float('inf')", "1 + 2j", "range(3)", "''", "'\\ud800é'", "set()", "{}", "[[], [[]]]",
    ],
)  # fmt: skip
def test_plain_data_arrives_as_it_was(sandbox, expression):
    code = f"def f(x):\n    return [x, {expression}]"
    tests = (
        f"value = {expression}\nfound = f(value)\nassert found == [value, value]\nassert type(found[1]) is type(value)"
    )
    assert passes(sandbox, code, tests, "f")


def test_subclasses_of_plain_data_and_numbers_of_numpy_count_as_plain(sandbox):
    code = (
        "import collections, enum, numpy\nclass E(enum.IntEnum):\n    A = 3\nP = collections.namedtuple('P', 'a b')\n"
        "def f():\n    return [collections.Counter('aab'), P(1, 2), E.A, "
        "numpy.int64(4), numpy.float64(0.5), numpy.bool_(True)]"
    )
    assert passes(sandbox, code, "assert f() == [{'a': 2, 'b': 1}, (1, 2), 3, 4, 0.5, True]", "f")


def test_iterator_is_no_list_but_gives_its_values(sandbox):
    code = "def f(x):\n    return map(abs, x)"
    assert passes(sandbox, code, "assert list(f([-1, 2])) == [1, 2]", "f")
    assert not passes(sandbox, code, "assert f([-1, 2]) == [1, 2]", "f")


def test_tests_see_what_the_program_does_to_their_list(sandbox):
    code = "def f(x):\n    x.sort()"
    assert passes(sandbox, code, "given = [3, 1]\nassert f(given) is None\nassert given == [1, 3]", "f")


def test_tests_build_objects_of_the_programs_classes(sandbox):
    code = (
        "class Node:\n    def __init__(s, v):\n        s.v, s.next = v, None\n"
        "def total(n):\n    return n.v + (total(n.next) if n.next else 0)"
    )
    assert passes(sandbox, code, "a = Node(1)\na.next = Node(5)\nassert total(a) == 6\nassert a.next.v == 5", "total")


def test_exceptions_of_the_program_reach_the_tests(sandbox):
    tests = "try:\n    f(0)\nexcept ValueError as error:\n    assert str(error) == 'no'\nelse:\n    assert False"
    assert passes(sandbox, "def f(x):\n    raise ValueError('no')", tests, "f")


def test_tests_keep_pythons_own_functions_but_for_the_function_that_is_asked(sandbox):
    code = "def sum(a, b):\n    return 6\ndef set(x):\n    return 0\ndef f(x):\n    return [2, 1, 2]"
    assert passes(sandbox, code, "assert set(f(1)) == {1, 2}\nassert sum(10, 15) == 6", "sum", "f")


def test_verdict_names_the_test_that_fails(sandbox):
    verdict = sandbox.run(Program("def f(x):\n    return x", "assert f(1) == 1\nassert f(2) == 1", ("f",)))
    assert not verdict.passed
    assert verdict.reason == "AssertionError at: assert f(2) == 1"


@pytest.mark.usefixtures("sandbox")
def test_program_is_run_once_however_often_it_is_given():
    program = Program("def f():\n    return 41", "assert f() == 41", ("f",))
    before = tried.cache_info()
    assert [tried(program), tried(Program("def f():\n    return 41", "assert f() == 41", ("f",)))] == [
        tried(program)
    ] * 2
    after = tried.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (1, 2)


def test_message_that_is_no_plain_data_is_refused():
    for message in (
        {"a": 1, "b": 2},
        {"class": "os"},
        {"int": "x"},
        {"fraction": ["1", "0"]},
        {"range": [1, 2, 0]},
        {"dict": [1]},
    ):
        with pytest.raises(NotPlainError):
            decode(message, lambda number: number)


def test_object_is_written_as_a_handle_and_never_by_its_own_methods():
    class Sly:
        def __reduce__(self):
            raise AssertionError

        __iter__ = __eq__ = __str__ = __reduce__

    assert encode([Sly()], lambda _: 7) == [{"object": 7}]


@pytest.mark.usefixtures("sandbox")
def test_machine_without_namespaces_is_refused_in_one_sentence_and_nothing_runs():
    code = (
        "from sftlab.benchmarks.sandbox import why_no_sandbox, Program, tried\n"
        "print(why_no_sandbox())\n"
        "try:\n    tried(Program('', '', ()))\nexcept Exception as error:\n    print(type(error).__name__)"
    )
    forbid = "echo 0 > /proc/sys/user/max_user_namespaces && exec"
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", f'{forbid} "$@"', "sh", sys.executable, "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if "Permission denied" in found.stderr or found.returncode:
        pytest.skip(f"namespaces cannot be forbidden here: {found.stderr.strip()}")
    refusal, error = found.stdout.strip().splitlines()
    assert "cannot be isolated on this machine" in refusal
    assert "max_user_namespaces" in refusal
    assert error == "BenchmarkError"


def test_limits_and_python_are_part_of_the_identity():
    assert sandbox_identity()["python"] == [sys.version_info.major, sys.version_info.minor]
    assert sandbox_identity()["limits"]["cpu_seconds"] > 0


@pytest.fixture(scope="module")
def bench(shared: Path) -> Path:
    folder = shared / "data" / "bench"
    if not (folder / "HumanEval.jsonl.gz").is_file():
        pytest.skip(f"no benchmark files in {folder}")
    return folder


def test_every_solution_of_humaneval_passes_and_an_empty_body_does_not(patient, bench):
    with gzip.open(bench / "HumanEval.jsonl.gz", "rt") as file:
        rows = [function_to_complete(json.loads(line)) for line in file]
    assert len(rows) == 164
    assert [row["names"][0] for row in rows if not patient.run(program_of(row, row["code"])).passed] == []
    assert [row["names"][0] for row in rows[::8] if patient.run(program_of(row, "    return None\n")).passed] == []


def test_program_does_not_replace_the_helpers_that_tests_check_it_with(sandbox):
    helper = "def double(x):\n    return 2 * x\n"
    tests = "assert halved(double(21)) == 21"
    forged = Program(f"{helper}def halved(x):\n    return x\ndouble = lambda x: x\n", tests, ("halved",), helper)
    assert not sandbox.run(forged).passed
    honest = Program(f"{helper}def halved(x):\n    return x // 2\n", tests, ("halved",), helper)
    assert sandbox.run(honest).passed


def test_every_solution_of_mbpp_passes(patient, bench):
    rows = [function_to_write(row) for row in read_rows(bench / "mbpp_test.jsonl", Layout("json"))]
    assert len(rows) == 500
    assert [row["prompt"] for row in rows if not patient.run(program_of(row, row["code"])).passed] == []


def test_answer_without_code_does_not_pass():
    row = function_to_write({"text": "t", "code": "def f():\r\n  return 1", "test_list": ["assert True"], "task_id": 1})
    assert row["code"] == "def f():\n  return 1"
    assert pass_at_1(row, ["  \n"]) == {"pass@1": 0.0}


def test_interrupted_trial_leaves_no_verdict_to_the_next_program(sandbox, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("sftlab.benchmarks.sandbox.sandbox.receive", interrupt)
        with pytest.raises(KeyboardInterrupt):
            sandbox.run(Program("def f():\n    return 1", "assert f() == 1", ("f",)))
    assert not passes(sandbox, "def f():\n    return 2", "assert f() == 1", "f")
    assert passes(sandbox, "def f():\n    return 1", "assert f() == 1", "f")


@pytest.mark.usefixtures("sandbox")
def test_sandbox_needs_no_root():
    code = "import os\nfrom sftlab.benchmarks.sandbox import why_no_sandbox\nprint(os.getuid(), why_no_sandbox())"
    command = ["unshare", "--user", "--map-user=1234", "--map-group=1234", sys.executable, "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if "unshare" in found.stderr:
        pytest.skip(f"this unshare cannot name a user: {found.stderr.strip()}")
    assert found.stdout.split() == ["1234", "None"]
