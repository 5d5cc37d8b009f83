"""What a worker says of a failure."""

import pytest
import torch

from sftlab.execute.worker import failure_reason


def test_kernel_that_is_not_deterministic_is_one_sentence():
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        with pytest.raises(RuntimeError) as caught:
            torch.zeros(4).put_(torch.tensor([1, 2]), torch.ones(2))
    finally:
        torch.use_deterministic_algorithms(before)
    assert failure_reason(caught.value) == (
        "put_ has no deterministic kernel on this device, as `--deterministic` asks for: run without it"
    )


def test_other_failures_are_named_by_their_first_line():
    assert failure_reason(ValueError("one\ntwo")) == "ValueError: one"
