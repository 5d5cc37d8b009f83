import subprocess
import sys
from pathlib import Path

import pytest

from sftlab.errors import StudyError
from sftlab.study.declaration import Precision
from sftlab.study.identity import canonical, digest


def test_digest_does_not_depend_on_key_order() -> None:
    assert digest({"a": 1, "b": [1, 2.5, None]}) == digest({"b": (1, 2.5, None), "a": 1})


def test_digest_tells_whole_floats_from_integers() -> None:
    assert digest({"a": 1}) != digest({"a": 1.0})


def test_digest_is_the_same_in_another_process() -> None:
    program = "from sftlab.study.identity import digest; print(digest({'x': 1e-5, 'ü': ['a', True]}))"
    answers = {
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PATH": ""},
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert answers == {digest({"x": 1e-5, "ü": ["a", True]})}


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", Path("x"), float("nan"), {"a": {1: 2}}, print])
def test_values_without_a_shared_form_are_refused(value: object) -> None:
    with pytest.raises(StudyError, match="identity"):
        canonical(value)


def test_models_are_taken_by_their_fields() -> None:
    assert canonical(Precision()) == {"weights": "float32", "compute": "float32"}
