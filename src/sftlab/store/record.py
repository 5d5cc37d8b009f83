"""What the store keeps: one record for each result, one failure for each attempt that did not give one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import polars as pl

Kind = Literal["train", "score", "measure", "probe"]


@dataclass(frozen=True)
class Record:
    """A finished piece of work.

    `spec` is what the identity was taken of, for people to read; `result` holds plain values; `rows` the raw tables;
    `provenance` what does not bear on the result (machine, time, versions).
    """

    identity: str
    kind: Kind
    spec: Mapping[str, object]
    result: Mapping[str, object]
    rows: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    provenance: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """An attempt that gave no result: one sentence why, and the whole log."""

    identity: str
    kind: Kind
    reason: str
    log: str
    provenance: Mapping[str, object] = field(default_factory=dict)
