"""What a dataset has in common with benchmarks and with other datasets, as findings for its summary."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from sftlab.benchmarks.shipped import shipped_benchmarks
from sftlab.data.contamination import contamination
from sftlab.data.example import Dataset
from sftlab.data.near_duplicates import near_duplicates
from sftlab.data.summary import EXCERPTS_KEPT, Excerpt, Finding, whole_text
from sftlab.errors import BenchmarkError
from sftlab.plan.questions import benchmark_questions
from sftlab.study.declaration import BenchmarkRef, Evaluation


def shipped_questions(folder: Path) -> dict[str, Mapping[str, str]]:
    """The questions of every shipped benchmark whose items lie in a folder, by name; the same ones only once.

    Raises BenchmarkError where the folder holds none.
    """
    evaluation = Evaluation(benchmarks_dir=str(folder.resolve()))
    found: dict[str, Mapping[str, str]] = {}
    names = shipped_benchmarks()
    for name in names:
        try:
            questions = benchmark_questions(evaluation, BenchmarkRef(name=name))
        except BenchmarkError:
            continue
        if all(list(questions.values()) != list(other.values()) for other in found.values()):
            found[name] = questions
    if not found:
        raise BenchmarkError(f"{folder} holds the items of no benchmark; those known by name are {', '.join(names)}")
    return found


def benchmark_overlaps(dataset: Dataset, questions: Mapping[str, Mapping[str, str]]) -> Iterator[Finding]:
    """Benchmarks of which questions stand in the dataset (see `contamination`), each a finding."""
    texts = [(example.index, whole_text(example)) for example in dataset.examples]
    for name, of_benchmark in questions.items():
        found = contamination(of_benchmark, texts)
        if found.occurrences:
            kind = f"question of {name} in the text, of {found.tested} tested"
            shown = tuple(Excerpt(one.example, f"{one.item}: {one.text}") for one in found.occurrences[:EXCERPTS_KEPT])
            yield Finding(kind, len(found.occurrences), shown)


def dataset_overlaps(dataset: Dataset, other: Dataset) -> Iterator[Finding]:
    """Examples that another dataset has too: word for word (all turns), and nearly (see `near_duplicates`)."""
    theirs = {example.turns: example.index for example in reversed(other.examples)}
    same = [example for example in dataset.examples if example.turns in theirs]
    if same:
        shown = tuple(
            Excerpt(example.index, f"row {theirs[example.turns]} of {other.name}") for example in same[:EXCERPTS_KEPT]
        )
        yield Finding(f"example of {other.name}, word for word", len(same), shown)
    rest = [example for example in dataset.examples if example.turns not in theirs]
    near = near_duplicates([whole_text(example) for example in rest], [whole_text(one) for one in other.examples])
    if near:
        shown = tuple(
            Excerpt(
                rest[one.place].index, f"row {other.examples[one.other].index} of {other.name}, {one.similarity:.2f}"
            )
            for one in near[:EXCERPTS_KEPT]
        )
        yield Finding(f"nearly an example of {other.name}", len(near), shown)
