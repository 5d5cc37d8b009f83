"""Twenty siblings of one base on five benchmarks: sftlab on a warm base, against a harness run a model.

    python perf/sibling_speed.py --smallest
    python perf/sibling_speed.py --save

Ten LoRA adapters and ten full checkpoints of a random Llama, float32, one thread. The harness is given every model in
memory, by one process that has its imports: what it takes for a model is to load the weights (in place, adapters
merged, by the same `load_checkpoint` as the other side, so that this part is a tie), to make its task objects, to write
prompts and to score. sftlab loads each checkpoint in place into the base that is in memory. Accuracies must be equal
item by item and log-likelihoods to 1e-4 before a ratio is shown; and the base's weights must be the bits that they were
when all is done.
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import scoring_speed
from clock import Instant, Span, interleaved, median_span
from record import Result, machine, markdown_table, say
from scoring_speed import Json, Scores
from shared_benchmarks import data_folder, shared_tasks, write_tasks

if TYPE_CHECKING:
    from sftlab.lm.base import LoadedBase


def main() -> None:
    """Run both sides in turn, compare what came out, and show the ratio."""
    asked = _arguments()
    scoring_speed.quiet()
    at_start = machine()
    with tempfile.TemporaryDirectory(prefix="sftlab-sibling-speed-") as name:
        folder = Path(name)
        published = None if asked.smallest else data_folder()
        tasks = shared_tasks(subjects=4, items=asked.items, boolq_items=asked.items, published=published)
        theirs = write_tasks(tasks, folder)
        base = scoring_speed.base_of(asked.size, tasks)
        siblings = _siblings(base, asked.siblings, folder)
        before = {weight: tensor.clone() for weight, tensor in base.weights().items()}
        say(f"{len(siblings)} siblings, {len(tasks)} benchmarks, {'published' if published else 'made up'}")
        benchmarks = {scoring_speed.BOTH: [task.name for task in tasks]}
        sides: dict[str, Callable[[], list[tuple[Span, Scores]]]] = {
            "harness": lambda: [_by_harness(base, one, benchmarks, theirs) for one in siblings],
            "sftlab": lambda: _by_sftlab(base, siblings, benchmarks, folder),
        }
        found = interleaved(sides, repeats=asked.repeats)
        base.reset()
        if not all(tensor.equal(before[weight]) for weight, tensor in base.weights().items()):
            raise SystemExit("the base's weights are not what they were")
    difference = max(
        scoring_speed.largest_difference({"harness": [one for _, one in theirs], "sftlab": [one for _, one in ours]})
        for theirs, ours in zip(found["harness"], found["sftlab"], strict=True)
    )
    spans = {
        side: median_span(Span(sum(span.wall for span, _ in run), sum(span.cpu for span, _ in run)) for run in runs)
        for side, runs in found.items()
    }
    settings = {
        "model": asked.size,
        "siblings": len(siblings),
        "benchmarks": len(tasks),
        "items_a_benchmark": asked.items,
        "repeats": asked.repeats,
    }
    theirs_cpu, ours_cpu = spans["harness"].cpu, spans["sftlab"].cpu
    head = ["", "harness", "sftlab", "ratio"]
    text = markdown_table(head, [["CPU seconds, all siblings", theirs_cpu, ours_cpu, theirs_cpu / ours_cpu]])
    text += (
        f"\n\nSame accuracies item by item, log-likelihoods to {difference:.1e} nats; the base's weights bit by bit."
    )
    values = {side: vars(span) for side, span in spans.items()} | {"largest_difference_nats": difference}
    Result("sibling-speed", settings, values, text).finish(at_start, save=asked.save)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Siblings of one base by sftlab against a harness run a model.")
    parser.add_argument("--size", choices=("0.3M", "1M", "4M"), default="1M", help="of the model")
    parser.add_argument("--siblings", type=int, help="half of them adapters; 20 if not given")
    parser.add_argument("--items", type=int, help="questions a benchmark; 40 if not given")
    parser.add_argument("--repeats", type=int, default=3, help="both sides in turn so often; medians count")
    parser.add_argument("--smallest", action="store_true", help="only to see that it works: 4 siblings, 8 items, once")
    parser.add_argument("--save", action="store_true", help="keep the result under perf/results/")
    asked = parser.parse_args()
    asked.size = "0.3M" if asked.smallest else asked.size
    asked.siblings = asked.siblings or (4 if asked.smallest else 20)
    asked.items = asked.items or (8 if asked.smallest else 40)
    asked.repeats = 1 if asked.smallest else asked.repeats
    return asked


def _siblings(base: "LoadedBase", count: int, folder: Path) -> list[Path]:
    """Checkpoints, one after another an adapter and a whole one, each a random change of the base."""
    import torch
    from safetensors.torch import save_file

    from sftlab.lm.adapters import inject_lora
    from sftlab.study.methods.lora import Lora

    made = []
    for number in range(count):
        target = folder / f"sibling-{number}"
        target.mkdir()
        generator = torch.Generator().manual_seed(number)
        if number % 2 == 0:
            adapter = inject_lora(base.model, Lora(adapter="lora"), seed=number, base_model=base.name)
            with torch.no_grad():
                for name, weight in adapter.parameters():
                    if "lora_B" in name:
                        weight.copy_(torch.randn(weight.shape, generator=generator) * 0.02)
            adapter.save(target)
            adapter.unload()
        else:
            noise = {
                name: weight.detach() + torch.randn(weight.shape, generator=generator) * 0.005
                for name, weight in base.weights().items()
            }
            save_file(noise, target / "model.safetensors", metadata={"format": "pt"})
        made.append(target)
    return made


def _by_harness(
    base: "LoadedBase", sibling: Path, benchmarks: dict[str, list[str]], definitions: dict[str, Json]
) -> tuple[Span, Scores]:
    start = Instant.now()
    base.load_checkpoint(sibling)
    scores = scoring_speed.by_harness(base, benchmarks, definitions, scoring_speed.HARNESS_BATCH)
    return Span.between(start, Instant.now()), scores


def _by_sftlab(
    base: "LoadedBase", siblings: Sequence[Path], benchmarks: dict[str, list[str]], folder: Path
) -> list[tuple[Span, Scores]]:
    """A worker with nothing kept at first: what the first sibling has encoded the others find."""
    fresh = scoring_speed.as_base(base.model, base.tokenizer)
    fresh.pristine = base.pristine
    known: dict[str, object] = {}
    found = []
    for sibling in siblings:
        start = Instant.now()
        fresh.load_checkpoint(sibling)
        scores = scoring_speed.by_sftlab(fresh, benchmarks, folder, known=known)
        found.append((Span.between(start, Instant.now()), scores))
    return found


if __name__ == "__main__":
    main()
