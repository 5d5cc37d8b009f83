"""Scores that a store holds under another definition are told of, and not counted."""

from dataclasses import replace

from sftlab.analyse.results import stored_results
from sftlab.analyse.superseded import superseded_notes
from sftlab.store import Record, Store
from sftlab.study.identity import digest
from tests.analyse.synthetic import Design, make_cells


def test_scores_under_another_definition_are_counted_where_they_are_missing(tmp_path):
    cells, store = make_cells(Design(bases=1, seeds=1, datasets=("facts",))), Store(tmp_path)
    for cell in cells.scores[:3]:
        spec = {"checkpoint": cell.checkpoint, "benchmark": cell.benchmark.name}
        store.commit(Record(digest(["earlier", cell.identity]), "score", spec, {"status": "done"}))
    (note,) = superseded_notes(cells, store)
    assert note.startswith("3 scores that are not done were computed once under another definition")
    assert stored_results(cells, store).notes == (note,)
    one = replace(cells, scores=cells.scores[2:])
    assert superseded_notes(one, store)[0].startswith("1 score that is not done was computed once")


def test_scores_that_are_done_or_were_never_made_are_not_told_of(tmp_path):
    cells, store = make_cells(Design(bases=1, seeds=1, datasets=("facts",))), Store(tmp_path)
    assert superseded_notes(cells, store) == ()
    first = cells.scores[0]
    spec = {"checkpoint": first.checkpoint, "benchmark": first.benchmark.name}
    for identity in (first.identity, digest(["earlier", first.identity])):
        store.commit(Record(identity, "score", spec, {"status": "done"}))
    assert superseded_notes(cells, store) == ()
