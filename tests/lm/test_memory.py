"""Batches that do not fit are halved; nothing is lost and nothing is done twice."""

from dataclasses import dataclass

import pytest
import torch

from sftlab.errors import ModelError
from sftlab.lm.memory import is_out_of_memory, run_within_memory


@dataclass(frozen=True)
class Numbers:
    numbers: tuple[int, ...]

    @property
    def num_tokens(self) -> int:
        return 10 * len(self.numbers)

    def halves(self):
        middle = len(self.numbers) // 2
        return (Numbers(self.numbers[:middle]), Numbers(self.numbers[middle:])) if middle else ()


class Device:
    """Remembers what it was given; fails on more than `capacity` tokens."""

    def __init__(self, capacity: int, error: Exception) -> None:
        self.capacity, self.error = capacity, error
        self.failures = 0
        self.done: list[int] = []

    def __call__(self, batch: Numbers) -> None:
        if batch.num_tokens > self.capacity:
            self.failures += 1
            raise self.error
        self.done.extend(batch.numbers)


ALLOCATOR = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.")


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), ALLOCATOR, MemoryError()])
@pytest.mark.parametrize("capacity", [10, 20, 30, 70, 80])
def test_everything_is_done_once_and_in_order(error, capacity):
    device = Device(capacity, error)
    run_within_memory([Numbers(tuple(range(8))), Numbers(tuple(range(8, 15)))], device)
    assert device.done == list(range(15))


def test_one_failure_teaches_the_batches_after_it():
    device = Device(40, torch.OutOfMemoryError())
    run_within_memory([Numbers(tuple(range(start, start + 8))) for start in range(0, 80, 8)], device)
    assert device.done == list(range(80))
    assert device.failures == 1


def test_a_row_that_never_fits_is_an_error_in_one_sentence():
    with pytest.raises(ModelError, match="single row of 10 tokens"):
        run_within_memory([Numbers((1, 2))], Device(5, torch.OutOfMemoryError()))


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="shape"):
        run_within_memory([Numbers((1, 2))], Device(5, RuntimeError("shape mismatch")))


def test_the_host_allocator_says_that_memory_ran_out():
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(raised.value)
