"""Identity: SHA-256 of the canonical form of everything that bears on a result, and of nothing else."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence

from pydantic import BaseModel

from sftlab.errors import StudyError


def canonical(value: object) -> object:
    """The value as plain JSON types that every process writes in the same way.

    Models and mappings become objects with string keys, sequences become arrays, a whole float stays a float. Sets,
    arrays, functions and paths are errors: their form differs between processes or machines.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise StudyError(f"identity needs finite numbers, got {value}")
        return value
    if isinstance(value, BaseModel):
        return canonical(value.model_dump(mode="python"))
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise StudyError(f"identity needs text as keys, got {key!r}")
        return {key: canonical(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [canonical(item) for item in value]
    raise StudyError(f"identity cannot be taken of a {type(value).__name__}: it has no form that all processes share")


def digest(value: object) -> str:
    """SHA-256, in hexadecimal, of the canonical form."""
    text = json.dumps(canonical(value), sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
