"""Which runs and which of their epochs the answers rest on, by loss on held-out examples alone.

A method that lists several learning rates or batch sizes with `select: validation` is represented by the candidate
whose mean loss is lowest in each base x dataset x samples x schedule x length cell. Benchmark items have no say.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sftlab.store import Store
from sftlab.study.cells import RunCell
from sftlab.study.run import RunSpec

Candidate = tuple[float, int]
SeedTriple = tuple[int, int, int]


@dataclass(frozen=True)
class Standing:
    """Where a run stands among the candidates of its cell.

    `chosen` is None where there was nothing to choose; False also while the choice is open (`waits`). `scored` says
    whether its scores are asked for, or stand for those of the candidate that will be chosen.
    """

    chosen: bool | None
    scored: bool
    waits: bool


ONLY = Standing(chosen=None, scored=True, waits=False)


def standings(runs: Sequence[RunCell], store: Store) -> dict[str, Standing]:
    """The standing of every run, by its name; a choice is made when all candidates are done or have failed."""
    found: dict[str, Standing] = {}
    for group in _groups(runs).values():
        candidates = dict.fromkeys(_candidate(cell.spec) for cell in group)
        if len(candidates) == 1 or group[0].spec.method.select is None:
            found |= {cell.spec.run: ONLY for cell in group}
            continue
        best = best_candidate(group, store)
        stand_in = next(iter(candidates)) if best is None else best
        for cell in group:
            is_it = _candidate(cell.spec) == stand_in
            found[cell.spec.run] = Standing(chosen=is_it and best is not None, scored=is_it, waits=best is None)
    return found


def best_candidate(group: Sequence[RunCell], store: Store) -> Candidate | None:
    """The learning rate and batch size of lowest mean loss over the seeds that all measured candidates share.

    None while a candidate is neither done nor failed, or where all failed. The smaller rate, then batch wins a tie.
    """
    if not all(store.has(cell.identity) or store.failure(cell.identity) is not None for cell in group):
        return None
    losses: dict[Candidate, dict[SeedTriple, float]] = {}
    for cell in group:
        loss = validation_loss(cell, store)
        if loss is not None:
            seeds = cell.spec.seeds
            losses.setdefault(_candidate(cell.spec), {})[seeds.sample, seeds.order, seeds.init] = loss
    if not losses:
        return None
    shared = set.intersection(*(set(by_seed) for by_seed in losses.values()))
    return min(sorted(losses), key=lambda candidate: _mean_loss(losses[candidate], shared))


def _mean_loss(by_seed: Mapping[SeedTriple, float], shared: set[SeedTriple]) -> float:
    used = [loss for seeds, loss in by_seed.items() if seeds in shared or not shared]
    return sum(used) / len(used)


def scored_epoch(cell: RunCell, store: Store) -> int | None:
    """The epoch whose checkpoint is scored: the last, or the one of lowest loss, None before that is known."""
    if not cell.keeps_best:
        return cell.spec.epochs
    losses = _losses_by_epoch(cell, store)
    return min(losses, key=lambda epoch: (losses[epoch], epoch)) if losses else None


def validation_loss(cell: RunCell, store: Store) -> float | None:
    """Loss on held-out examples of the checkpoint that is scored; None where it is not known."""
    epoch = scored_epoch(cell, store)
    return None if epoch is None else _losses_by_epoch(cell, store).get(epoch)


def _losses_by_epoch(cell: RunCell, store: Store) -> dict[int, float]:
    rows = store.rows(cell.identity, "validation")
    if rows is None:
        return {}
    # Not a filter of the frame: this is asked of every run of a study, and planning one costs more than reading it.
    measured = zip(rows["epoch"].to_list(), rows["loss"].to_list(), strict=True)
    return {epoch: loss for epoch, loss in measured if epoch >= 1 and loss is not None and math.isfinite(loss)}


def _groups(runs: Sequence[RunCell]) -> dict[tuple[object, ...], list[RunCell]]:
    groups: dict[tuple[object, ...], list[RunCell]] = {}
    for cell in runs:
        spec = cell.spec
        key = (spec.base, spec.dataset, spec.samples, spec.schedule, spec.length, spec.method_name)
        groups.setdefault(key, []).append(cell)
    return groups


def _candidate(spec: RunSpec) -> Candidate:
    return spec.learning_rate, spec.batch_size
