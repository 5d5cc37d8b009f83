"""Memory that runs out halves the work and changes no score; what does not fit alone is left out and said to be."""

from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl
import pytest
import torch

from sftlab.benchmarks.item import Item
from sftlab.evaluate.scoring import ScoreOptions, score_benchmark
from sftlab.lm.base import LoadedBase
from tests.evaluate.conftest import benchmark, choice_items

OPTIONS = ScoreOptions(template="plain", max_batch_tokens=600)


@contextmanager
def room_for(base: LoadedBase, tokens: int) -> Iterator[list[int]]:
    """An allocator that fails on every pass over more tokens than these, kept ones counted; yields what failed."""
    failures: list[int] = []

    def allocate(_module, args, kwargs):
        ids, cache = kwargs.get("input_ids", args[0] if args else None), kwargs.get("past_key_values")
        size = ids.shape[0] * (ids.shape[1] + (cache.get_seq_length() if cache is not None else 0))
        if size > tokens:
            failures.append(size)
            raise torch.OutOfMemoryError("out of memory on purpose")

    hook = base.model.base_model.register_forward_pre_hook(allocate, with_kwargs=True)
    try:
        yield failures
    finally:
        hook.remove()


def long_item(words: int) -> Item:
    return Item("long", "Question: " + "the cat sees the dog " * (words // 5) + "\nAnswer:", (" a dog",), stratum="s0")


@pytest.mark.parametrize("room", [120, 160])
def test_scores_after_running_out_of_memory_are_the_same(base, room):
    asked = benchmark(choice_items(14), "likelihood", "generative")
    before = score_benchmark(base, asked, options=OPTIONS)
    with room_for(base, room) as failures:
        after = score_benchmark(base, asked, options=OPTIONS)
    assert failures
    assert after.result["out_of_memory"] == len(failures)
    assert before.result["out_of_memory"] == after.result["unfit_items"] == 0
    kept = ["item", "metric", "score", "answer", "status"]
    exact, bits = pl.col("metric") != "bits_per_byte", pl.col("metric") == "bits_per_byte"
    assert before.rows["items"].filter(exact).select(kept).equals(after.rows["items"].filter(exact).select(kept))
    was, now = (scored.rows["items"].filter(bits)["score"] for scored in (before, after))
    assert now.to_list() == pytest.approx(was.to_list(), rel=1e-5)


def test_the_item_that_does_not_fit_alone_is_unfit_with_its_length(base):
    items = [*choice_items(6), long_item(40)]
    length = len(base.base_tokenizer.encode_text(items[-1].context))
    asked = benchmark(items, "likelihood", "generative")
    with room_for(base, length - 5):
        scored = score_benchmark(base, asked, options=OPTIONS)
    frame = scored.rows["items"]
    left_out = frame.filter(pl.col("status") == "unfit")
    assert set(left_out["item"]) == {"long"}
    assert set(left_out["scorer"]) == {"likelihood", "generative"}
    assert left_out["score"].null_count() == left_out.height
    assert all("do not fit in memory" in reason for reason in left_out["reason"])
    assert any(f"{length + 8} tokens" in reason for reason in left_out["reason"])
    rest = score_benchmark(base, benchmark(items[:-1], "likelihood", "generative"), options=OPTIONS).rows["items"]
    scores = frame.filter(pl.col("status") == "done")["score"].to_list()
    assert scores == pytest.approx(rest["score"].to_list(), rel=1e-5)
    assert scored.result["unfit_items"] == 1
    assert scored.result["reason"].startswith("1 of 7 items is left out, item long: ")


def test_where_no_item_fits_alone_the_score_is_unfit(base):
    with room_for(base, 3):
        result = score_benchmark(base, benchmark(choice_items(3), "likelihood"), options=OPTIONS).result
    assert result["status"] == "unfit"
    assert "do not fit in memory" in result["reason"]
