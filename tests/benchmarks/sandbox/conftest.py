from collections.abc import Iterator

import pytest

from sftlab.benchmarks.sandbox import Limits, Sandbox, why_no_sandbox


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    yield from _sandbox(Limits(cpu_seconds=2, wall_seconds=10.0))


@pytest.fixture(scope="session")
def impatient() -> Iterator[Sandbox]:
    """For programs that never end by themselves, and so fail whatever the bound."""
    yield from _sandbox(Limits(cpu_seconds=1, wall_seconds=0.6))


@pytest.fixture(scope="session")
def patient() -> Iterator[Sandbox]:
    """With the bounds that scores are made with."""
    yield from _sandbox(Limits())


def _sandbox(limits: Limits) -> Iterator[Sandbox]:
    refusal = why_no_sandbox()
    if refusal is not None:
        pytest.skip(refusal)
    made = Sandbox(limits)
    yield made
    made.close()
