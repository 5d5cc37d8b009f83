"""Programs and their tests: HumanEval and MBPP.

Chen et al. 2021, arXiv 2107.03374; Austin et al. 2021, arXiv 2108.07732. A row gets the columns `prompt`,
`code` (the authors' solution), `tests`, `names` (what the tests take from a program), `head` (what a program goes on
from) and `beside` (trusted code that the tests may use).
"""

import ast
from collections.abc import Sequence
from typing import Any

from sftlab.benchmarks.code_answers import EXTRACTION_VERSION, whole_program
from sftlab.benchmarks.rows import Row
from sftlab.benchmarks.sandbox import Program, sandbox_identity, tried
from sftlab.errors import BenchmarkError

TREES_OF_367 = """
root = Node(1); root.left = Node(2); root.right = Node(3)
root.left.left = Node(4); root.left.right = Node(5); root.left.left.left = Node(8)
root1 = Node(1); root1.left = Node(2); root1.right = Node(3)
root1.left.left = Node(4); root1.left.right = Node(5); root1.right.left = Node(6); root1.left.left.left = Node(7)
root2 = Node(1); root2.left = Node(2); root2.right = Node(3)
root2.left.left = Node(4); root2.left.right = Node(5); root2.left.left.left = Node(7)
"""
"""The trees that the tests of MBPP's task 367 name, for copies of the data without the column `test_setup_code`."""


def function_to_complete(row: Row) -> Row:
    """A row of HumanEval: the function's head, and tests that call `check` on the function."""
    name = row["entry_point"]
    return {
        "prompt": row["prompt"],
        "code": row["canonical_solution"],
        "tests": f"{row['test']}\ncheck({name})\n",
        "names": [name],
        "head": row["prompt"],
        "beside": row["prompt"],
    }


def function_to_write(row: Row) -> Row:
    """A row of MBPP as published (`text`, `test_list`, `test_setup_code`) or sanitised (`prompt`, `test_imports`).

    Carriage returns in the data, which no model writes, are taken out.
    """
    asserts = row.get("test_list") or row.get("test")
    if not isinstance(asserts, list) or not asserts:
        raise BenchmarkError("there are no tests, in `test_list` or `test`")
    asserts = [_lines(one).strip() for one in asserts]
    setup = row.get("test_setup_code") or (TREES_OF_367 if row.get("task_id") == 367 else "")
    code = _lines(row["code"]).rstrip()
    return {
        "prompt": str(row.get("text") or row["prompt"]).strip(),
        "code": code,
        "test_list": asserts,
        "tests": "\n".join([*(row.get("test_imports") or ()), _lines(setup), *asserts]),
        "names": _defined(code),
        "head": "",
        "beside": "",
    }


def pass_at_1(row: Row, results: Sequence[Any]) -> dict[str, float]:
    """`pass@1`: 1 where the program, written greedily, passes all tests in the sandbox, else 0.

    Chen et al. 2021, with one program for each problem. Raises BenchmarkError where this machine has no sandbox.
    """
    return {"pass@1": float(bool(results[0].strip()) and tried(program_of(row, results[0])).passed)}


def program_of(row: Row, code: str) -> Program:
    """The program that an answer's code makes, and what it is tried with."""
    whole = whole_program(row["head"], code, row["names"][0]) if row["head"] else code
    return Program(whole, row["tests"], tuple(row["names"]), row["beside"])


def runs_programs(process_results: str | None) -> bool:
    """Whether a task, by its `process_results`, runs what a model writes."""
    return process_results == f"!function processing.{pass_at_1.__name__}"


def programs_identity() -> object:
    """What decides whether an answer passes, beside the answer and the row."""
    return [EXTRACTION_VERSION, sandbox_identity()]


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _defined(code: str) -> list[str]:
    """What the authors' solution defines: the names that tests may mean by it, even those of Python's own functions."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError):
        return []
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
