"""Which items hang together."""

import itertools
import json
from collections import Counter

import pytest

from sftlab.benchmarks.clusters import clusters
from sftlab.benchmarks.loading import load_benchmark
from sftlab.errors import BenchmarkError
from sftlab.study.declaration import BenchmarkRef

PASSAGES = [f"{name} was built on the hill above the {name} river. " * 8 for name in ("Arne", "Bruck", "Cele")]


def rows_on(*places):
    return [{"passage": PASSAGES[place], "question": f"Who built it, {number}?"} for number, place in enumerate(places)]


def parted(found):
    return [found.index(name) if name is not None else None for name in found]


def test_questions_on_one_passage_are_a_cluster():
    assert parted(clusters(rows_on(0, 1, 0, 2, 1))) == [0, 1, 0, None, 1]


def test_a_passage_that_begins_the_question_is_found_behind_what_all_begin_with():
    head = "This question refers to the following information, and to nothing else whatsoever. " * 5
    rows = [{"question": head + row["passage"] + row["question"]} for row in rows_on(0, 1, 0, 2)]
    assert parted(clusters(rows)) == [0, None, 0, None]


def test_short_texts_in_common_say_nothing():
    rows = [{"question": f"What is {number}?", "label": "yes", "source": "wiki"} for number in range(4)]
    assert clusters(rows) == [None] * 4


def test_rows_that_share_different_texts_with_one_another_are_one_cluster():
    rows = [{"a": PASSAGES[0], "b": "x"}, {"a": PASSAGES[0], "b": PASSAGES[1]}, {"a": "y", "b": PASSAGES[1]}]
    assert parted(clusters([*rows, {"a": PASSAGES[2], "b": "z"}])) == [0, 0, 0, None]


def test_a_digest_of_the_passage_names_the_cluster_wherever_it_is():
    assert clusters(rows_on(0, 0, 1))[0] == clusters(rows_on(2, 1, 0, 0))[3]


def test_a_named_column_wins():
    rows = [{**row, "video": video} for row, video in zip(rows_on(0, 0, 1, 2), ["v", "w", "v", None], strict=True)]
    assert parted(clusters(rows, "video")) == [0, None, 0, None]
    with pytest.raises(BenchmarkError, match=r"no column 'vidoe' for `cluster_by`.*did you mean 'video'"):
        clusters(rows, "vidoe")


def test_a_limit_does_not_change_the_clusters(tmp_path):
    rows = [{"question": row["passage"] + row["question"], "answer": "Ann"} for row in rows_on(0, 1, 2, 0, 1)]
    (tmp_path / "gold.jsonl").write_text("\n".join(map(json.dumps, rows)))
    ref = BenchmarkRef(name="gold", data="gold.jsonl")
    whole = load_benchmark(ref, folder=tmp_path)
    part = load_benchmark(ref, folder=tmp_path, items=2)
    assert [item.cluster for item in part.items] == [item.cluster for item in whole.items[:2]]
    assert parted([item.cluster for item in whole.items]) == [0, 1, None, 0, 1]


def test_boolq_and_history_passages_are_clusters(shared):
    def items(ref):
        return load_benchmark(ref, folder=shared, benchmarks_dir=shared / "data" / "bench").items

    boolq = items(BenchmarkRef(name="boolq"))
    passages = [item.context.rpartition("\nQuestion: ")[0] for item in boolq]
    whole, starts = Counter(passages), Counter(passage[:256] for passage in passages)
    for item, passage in zip(boolq, passages, strict=True):
        assert whole[passage] == 1 or item.cluster is not None
        assert starts[passage[:256]] > 1 or item.cluster is None
    history = items(BenchmarkRef(name="mmlu", subjects=("high_school_us_history", "abstract_algebra")))
    of_subject = {
        subject: [item.cluster for item in group]
        for subject, group in itertools.groupby(
            sorted(history, key=lambda item: item.stratum), lambda item: item.stratum
        )
    }
    assert set(of_subject["abstract_algebra"]) == {None}
    assert len(set(of_subject["high_school_us_history"])) < len(of_subject["high_school_us_history"]) / 2
