"""Attention by products and over packed rows, beside PyTorch's own attention example by example."""

import inspect
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from sftlab.lm.packed_attention import _variable_length, boundaries, packed_attention
from sftlab.lm.product_attention import causal_products, product_attention

_CPU = torch.device("cpu")


def _drawn(length, *, heads=4, groups=2, width=8, rows=1, dtype=torch.float32):
    generator = torch.Generator().manual_seed(length)
    shapes = ((rows, heads, length, width), (rows, groups, length, width), (rows, groups, length, width))
    return tuple(torch.randn(shape, generator=generator).to(dtype).requires_grad_() for shape in shapes)


def _witness(query, key, value, *, scaling, window=None):
    length = query.shape[2]
    seen = torch.ones(length, length, dtype=torch.bool).tril()
    if window is not None:
        seen &= torch.arange(length)[:, None] - torch.arange(length) < window
    return functional.scaled_dot_product_attention(
        query, key, value, attn_mask=seen, scale=scaling, enable_gqa=query.shape[1] != key.shape[1]
    )


@pytest.mark.parametrize("window", [None, 1, 3, 50])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_products_equal_pytorchs_attention_and_its_gradients(groups, window):
    ours, theirs = (_drawn(7, groups=groups, rows=3) for _ in range(2))
    mixed = causal_products(*ours, scaling=0.3, window=window)
    expected = _witness(*theirs, scaling=0.3, window=window)
    assert torch.allclose(mixed, expected, atol=1e-6)
    weight = torch.randn(mixed.shape, generator=torch.Generator().manual_seed(1))
    (mixed * weight).sum().backward()
    (expected * weight).sum().backward()
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one.grad, other.grad, atol=1e-6)


def test_soft_capped_scores_are_bounded_as_written_out():
    query, key, value = _drawn(5, groups=4)
    scores = 2.0 * torch.tanh(query @ key.transpose(2, 3) * 3.0 / 2.0)
    hidden = ~torch.ones(5, 5, dtype=torch.bool).tril()
    expected = scores.masked_fill(hidden, float("-inf")).softmax(-1) @ value
    assert torch.allclose(causal_products(query, key, value, scaling=3.0, softcap=2.0), expected, atol=1e-6)


def test_interface_gives_positions_before_heads_and_the_usual_scaling():
    query, key, value = _drawn(6)
    mixed, weights = product_attention(torch.nn.Identity(), query, key, value, None)
    assert weights is None
    assert torch.allclose(mixed, _witness(query, key, value, scaling=8**-0.5).transpose(1, 2), atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.sampled_from([None, 1, 4]))
def test_packed_row_equals_each_example_alone(lengths, window):
    query, key, value = _drawn(sum(lengths))
    spans = boundaries(np.array(lengths), _CPU)
    mixed, _ = packed_attention(
        torch.nn.Identity(), query, key, value, None, scaling=0.4, sliding_window=window, **spans.arguments
    )
    start = 0
    for length in lengths:
        part = (each[:, :, start : start + length] for each in (query, key, value))
        expected = _witness(*part, scaling=0.4, window=window).transpose(1, 2)
        assert torch.allclose(mixed[:, start : start + length], expected, atol=1e-6)
        start += length


def test_no_gradient_crosses_the_boundary_of_packed_examples():
    query, key, value = _drawn(9)
    spans = boundaries(np.array([4, 5]), _CPU)
    mixed, _ = packed_attention(torch.nn.Identity(), query, key, value, None, **spans.arguments)
    mixed[:, :4].sum().backward()
    for part in (query, key, value):
        assert part.grad[:, :, :4].abs().sum() > 0
        assert part.grad[:, :, 4:].abs().sum() == 0


def test_attention_dropout_is_refused_rather_than_left_out():
    with pytest.raises(AssertionError, match="dropout"):
        product_attention(torch.nn.Identity(), *_drawn(3), None, dropout=0.1)


@pytest.mark.parametrize("groups", [2, 4])
@pytest.mark.parametrize("window", [None, 1, 3])
def test_kernel_for_variable_lengths_is_asked_for_the_same(window, groups, monkeypatch):
    """The kernel itself needs a GPU: what it is documented to compute is written out in its place."""
    from torch.nn.attention import varlen

    legal = inspect.signature(varlen.varlen_attn)

    def written_out(*given, **named):
        call = legal.bind(*given, **named)
        call.apply_defaults()
        asked = call.arguments
        starts, (left, right) = asked["cu_seq_q"], asked["window_size"]
        assert starts.dtype == asked["cu_seq_k"].dtype == torch.int32
        assert torch.equal(starts, asked["cu_seq_k"])
        assert asked["max_q"] == asked["max_k"] == int(starts.diff().max())
        assert asked["enable_gqa"] == (asked["key"].shape[1] != asked["query"].shape[1])
        mixed = []
        for start, end in itertools.pairwise(starts.tolist()):
            q, k, v = (asked[part][start:end].transpose(0, 1)[None] for part in ("query", "key", "value"))
            behind = torch.arange(end - start)[:, None] - torch.arange(end - start)
            seen = (behind >= -right) & ((behind <= left) | (left < 0))
            mixed.append(
                functional.scaled_dot_product_attention(
                    q, k, v, attn_mask=seen, scale=asked["scale"], enable_gqa=asked["enable_gqa"]
                )[0].transpose(0, 1)
            )
        return torch.cat(mixed)

    query, key, value = _drawn(15, groups=groups)
    spans = boundaries(np.array([4, 1, 7, 3]), _CPU)
    expected, _ = packed_attention(
        torch.nn.Identity(), query, key, value, None, scaling=0.4, sliding_window=window, **spans.arguments
    )
    monkeypatch.setattr(varlen, "varlen_attn", written_out)
    mixed = _variable_length(query, key, value, (spans.starts, spans.longest), 0.4, window)
    assert torch.allclose(mixed, expected, atol=1e-6)
