"""However requests are laid out, each token is predicted from exactly what stands before it in its own request."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sftlab.lm.request_tree import MIN_PREFIX, Request, attends, row_batches, row_tokens

IDS = st.lists(st.integers(0, 2), min_size=1, max_size=6)


def array(ids) -> np.ndarray:
    return np.array(ids, dtype=np.int32)


@st.composite
def requests_that_begin_alike(draw) -> list[Request]:
    starts = draw(st.lists(st.lists(st.integers(0, 2), max_size=3 * MIN_PREFIX), min_size=1, max_size=3))
    return [
        Request(array(draw(st.sampled_from(starts)) + draw(IDS)), array(draw(IDS)))
        for _ in range(draw(st.integers(1, 12)))
    ]


def predictions(batches) -> dict[tuple[int, tuple[int, ...]], int]:
    """For each label: its request and the ids that it is predicted from, by the layout's own mask and positions."""
    found = {}
    for batch in batches:
        for row in batch.rows:
            tokens = row_tokens(row, len(batch.prefix_ids))
            visible = attends(tokens)
            for label, place, request in zip(tokens.labels, tokens.predicted_from, tokens.requests, strict=True):
                seen = np.flatnonzero(visible[place])
                assert np.array_equal(tokens.positions[seen], np.arange(len(seen)) + len(batch.prefix_ids))
                key = int(request), (*batch.prefix_ids.tolist(), *tokens.ids[seen].tolist())
                assert key not in found
                found[key] = int(label)
    return found


@given(requests_that_begin_alike(), st.integers(1, 400), st.booleans())
@settings(max_examples=150, deadline=None)
def test_every_label_is_predicted_from_its_own_past(requests, max_tokens, shares):
    expected = {}
    for number, request in enumerate(requests):
        whole = [*request.context_ids.tolist(), *request.continuation_ids.tolist()]
        for length in range(len(request.context_ids), len(whole)):
            expected[number, tuple(whole[:length])] = whole[length]
    assert predictions(row_batches(requests, max_tokens=max_tokens, shares=shares)) == expected


@given(requests_that_begin_alike(), st.integers(1, 400), st.booleans())
@settings(max_examples=100, deadline=None)
def test_batches_keep_to_the_budget_and_can_be_halved_down_to_rows_and_less(requests, max_tokens, shares):
    pending = row_batches(requests, max_tokens=max_tokens, shares=shares)
    before = predictions(pending)
    rows = []
    while pending:
        batch = pending.pop()
        assert batch.num_tokens <= max_tokens or len(batch.rows) == 1
        halves = batch.halves()
        assert all(half.num_tokens < batch.num_tokens for half in halves)
        assert halves or len(batch.rows) == 1
        pending.extend(halves)
        rows.extend([] if halves else [batch])
    assert predictions(rows) == before


@given(requests_that_begin_alike(), st.integers(1, 400))
@settings(max_examples=50, deadline=None)
def test_rows_without_sharing_are_plain_sequences(requests, max_tokens):
    for batch in row_batches(requests, max_tokens=max_tokens, shares=False):
        assert len(batch.prefix_ids) == 0
        assert not any(row.forks for row in batch.rows)


def test_worked_examples_question_and_choices_are_each_computed_once():
    shots = np.arange(100, dtype=np.int32)
    requests = [
        Request(np.concatenate([shots, array([200 + question] * 10)]), array([choice, 7, 8]))
        for question in range(20)
        for choice in range(4)
    ]
    batches = row_batches(requests, max_tokens=1000, shares=True)
    read = sum(row.length - len(batch.prefix_ids) for batch in batches for row in batch.rows)
    assert {len(batch.prefix_ids) for batch in batches} == {100}
    assert read == 20 * (10 + 4 * 2)


def test_choices_of_one_token_cost_nothing_more():
    requests = [Request(array([1, 2, 3]), array([choice])) for choice in range(4)]
    (batch,) = row_batches(requests, max_tokens=100, shares=False)
    assert [row.length for row in batch.rows] == [3]


def test_subjects_share_each_their_own_examples():
    subjects = [np.full(50, subject, dtype=np.int32) for subject in range(3)]
    requests = [
        Request(np.concatenate([shots, array([9, question])]), array([1]))
        for shots in subjects
        for question in range(30)
    ]
    batches = row_batches(requests, max_tokens=800, shares=True)
    shared = {batch.prefix_ids.tobytes() for batch in batches}
    assert shared == {np.concatenate([shots, array([9])]).tobytes() for shots in subjects}


def test_requests_that_share_little_are_batched_together():
    requests = [Request(array([1, 2, 10 + number]), array([3])) for number in range(5)]
    (batch,) = row_batches(requests, max_tokens=1000, shares=True)
    assert len(batch.prefix_ids) == 0
    assert len(batch.rows) == 5
