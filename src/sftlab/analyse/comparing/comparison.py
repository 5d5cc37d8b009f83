"""Two models beside each other: recipes, scores, answers and losses."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import polars as pl

from sftlab.analyse.comparing.models import Model, model_named, models
from sftlab.analyse.comparing.pairs import BY_ITEM, BY_NOTHING, BY_SCORE, paired_scores
from sftlab.analyse.comparing.recipes import RECIPE_COLUMNS, recipe, recipe_difference
from sftlab.analyse.comparing.side_by_side import answers_side_by_side
from sftlab.analyse.results import Results
from sftlab.analyse.wording import counted
from sftlab.errors import StudyError
from sftlab.study.spelling import nearest

LOSSES = ("tokens", "steps", "loss_first", "loss_last")
VALIDATION = {"validation_loss": "loss", "validation_bits_per_byte": "bits_per_byte"}


@dataclass(frozen=True, eq=False)
class Comparison:
    """What tells two models apart.

    `recipe` holds the fields that differ, with both values; `same` the others. `scores` has the columns of
    `pairs.PAIRED_SCORES`, `answers` those of `side_by_side.SIDE_BY_SIDE`; `losses` training and held-out loss of each.
    """

    a: Model
    b: Model
    recipe: Mapping[str, tuple[object, object]]
    same: Mapping[str, object]
    scores: pl.DataFrame
    answers: pl.DataFrame
    losses: Mapping[str, tuple[object, object]]

    @property
    def notes(self) -> tuple[str, ...]:
        """How the differences are known, in sentences."""
        done = self.scores.filter(pl.col("status") == "done")
        said = {
            BY_ITEM: "paired item by item: they speak of these two models on items like these, not of their recipes",
            BY_SCORE: "of two scores whose items are not known, taken as independent: pairs would be narrower",
            BY_NOTHING: "without an interval: neither items nor their number and spread are known",
        }
        counts = {how: done.filter(pl.col("paired_by") == how).height for how in said}
        return tuple(f"{counted(counts[how], 'difference')} {text}." for how, text in said.items() if counts[how])

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "a": asdict(self.a),
            "b": asdict(self.b),
            "recipe": {name: {"a": a, "b": b} for name, (a, b) in self.recipe.items()},
            "same": dict(self.same),
            "scores": self.scores.to_dicts(),
            "answers": self.answers.to_dicts(),
            "losses": {name: {"a": a, "b": b} for name, (a, b) in self.losses.items()},
            "notes": list(self.notes),
        }


def compare(
    results: Results, a: str, b: str, *, benchmark: str | None = None, answers: int | None = None
) -> Comparison:
    """Two models of a study, by name of a run or base or label of a checkpoint.

    Scores that the audit excludes have that as status. With `benchmark` only scores and answers of that one; `answers`
    keeps that many of each metric. Raises StudyError for a name that means nothing or several.
    """
    scores, runs = results.audited_scores, results.runs()
    known = models(scores, runs)
    one, other = model_named(a, known), model_named(b, known)
    if one == other:
        raise StudyError(f"{a!r} and {b!r} are the same model, {one.name}: name two")
    scores = of_benchmark(scores, benchmark)
    items = results.items_of([model.checkpoint for model in (one, other) if model.checkpoint is not None])
    if benchmark is not None:
        items = items.filter(pl.col("benchmark") == benchmark)
    recipes = [_recipe(model, results) for model in (one, other)]
    different = recipe_difference(*recipes)
    return Comparison(
        a=one,
        b=other,
        recipe=different,
        same={name: value for name, value in recipes[0].items() if name not in different and value is not None},
        scores=paired_scores(scores, items, one, other),
        answers=answers_side_by_side(items, one, other, questions=results.questions(), count=answers),
        losses=_losses(results, one, other),
    )


def of_benchmark(scores: pl.DataFrame, benchmark: str | None) -> pl.DataFrame:
    """Scores on one benchmark, or all. Raises StudyError for one that the study does not have."""
    if benchmark is None:
        return scores
    names = scores["benchmark"].unique(maintain_order=True).to_list()
    if benchmark not in names:
        raise StudyError(f"there is no benchmark {benchmark!r}{nearest(benchmark, names)}")
    return scores.filter(pl.col("benchmark") == benchmark)


def _recipe(model: Model, results: Results) -> dict[str, object]:
    if model.run is None:
        runs = results.runs().filter(pl.col("base") == model.base)
        family = runs["family"][0] if runs.height else model.base
        return {**dict.fromkeys(RECIPE_COLUMNS), "base": model.base, "family": family, "epoch": 0}
    return {**recipe(model.run, results.runs(), results.recipe(model.run)), "epoch": model.epoch}


def _losses(results: Results, a: Model, b: Model) -> dict[str, tuple[object, object]]:
    found = [_losses_of(model, results) for model in (a, b)]
    return {
        name: (found[0][name], found[1][name]) for name in found[0] if (found[0][name], found[1][name]) != (None, None)
    }


def _losses_of(model: Model, results: Results) -> dict[str, object]:
    if model.run is None:
        return dict.fromkeys((*LOSSES, *VALIDATION))
    row = results.runs().row(by_predicate=pl.col("run") == model.run, named=True)
    held_out = results.validation().filter((pl.col("run") == model.run) & (pl.col("epoch") == model.epoch))
    measured: Mapping[str, object] = held_out.row(0, named=True) if held_out.height else {}
    return {name: row[name] for name in LOSSES} | {name: measured.get(column) for name, column in VALIDATION.items()}
