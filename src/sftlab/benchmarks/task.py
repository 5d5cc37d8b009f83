"""A task file and its data as a benchmark."""

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sftlab.benchmarks import processing
from sftlab.benchmarks.answers import Reader, choice_reader, task_reader
from sftlab.benchmarks.definition import TaskDefinition
from sftlab.benchmarks.item import Benchmark, Item, Scorer
from sftlab.benchmarks.prompts import Shots, TaskWriter, choice_number
from sftlab.benchmarks.rows import Row
from sftlab.benchmarks.sources import FileDigest, Source, processed
from sftlab.errors import BenchmarkError


@dataclass(frozen=True)
class Task:
    """A task with what the study asks of it; `sources` has one entry for each stratum, or a single one under None."""

    definition: TaskDefinition
    sources: Mapping[str | None, Source]
    shots: int
    scorers: tuple[Scorer, ...]
    max_new_tokens: int
    limit: int | None

    def identity(self, file_digest: FileDigest) -> object:
        """What decides items and scores: the definition, the code it names, its data, what is asked; no paths."""
        definition = self.definition
        code = None
        if definition.process_docs is not None:
            code = hashlib.sha256(Path(processing.__file__).read_bytes()).hexdigest()
        shot_split = definition.shot_split if self.shots else None
        splits = [definition.eval_split, *([shot_split] if shot_split is not None else [])]
        return {
            "definition": definition.model_dump(
                exclude={"dataset_path", "dataset_name", "dataset_kwargs", "num_fewshot", "generation_kwargs"}
            ),
            "code": code,
            "shots": self.shots,
            "stops": self._stops,
            "max_new_tokens": self.max_new_tokens,
            "limit": self.limit,
            "data": [
                [stratum, [source.identity(split, file_digest) for split in splits]]
                for stratum, source in self.sources.items()
            ],
        }

    def benchmark(self, name: str, digest: str) -> Benchmark:
        """Every item written out. Raises BenchmarkError with the row where a template or a gold answer fails."""
        strata = {stratum: self._rows(stratum, self.definition.eval_split) for stratum in self.sources}
        counts = dealt({stratum: len(rows) for stratum, rows in strata.items()}, self.limit)
        items = [list(self._items(stratum, rows[: counts[stratum]])) for stratum, rows in strata.items()]
        in_turn = itertools.chain.from_iterable(itertools.zip_longest(*items))
        return Benchmark(
            name=name,
            digest=digest,
            items=tuple(item for item in in_turn if item is not None),
            scorers=self.scorers,
            stops=self._stops,
            max_new_tokens=self.max_new_tokens,
            read=self._reader(),
            delimiter=self._delimiter,
        )

    @property
    def _delimiter(self) -> str:
        return "" if self.definition.output_type == "loglikelihood" else self.definition.target_delimiter

    @property
    def _stops(self) -> tuple[str, ...]:
        if self.definition.output_type == "generate_until":
            return self.definition.stops
        return tuple(stop for stop in [self.definition.fewshot_delimiter] if stop)

    def _reader(self) -> Reader | None:
        if self.definition.output_type == "multiple_choice":
            return choice_reader(self._delimiter)
        return task_reader(self.definition) if self.definition.output_type == "generate_until" else None

    def _rows(self, stratum: str | None, split: str) -> list[Row]:
        rows = self.sources[stratum].rows(split)
        if not rows:
            raise BenchmarkError(f"the split {split!r} has no rows")
        return processed(rows, self.definition.process_docs, split=split)

    def _pool(self, stratum: str | None) -> list[Row]:
        if not self.shots:
            return []
        split = self.definition.shot_split
        return list(self.definition.fewshot_config.samples or ()) if split is None else self._rows(stratum, split)

    def _items(self, stratum: str | None, rows: list[Row]) -> Iterator[Item]:
        if not rows:
            return
        writer = TaskWriter(self.definition, rows[0].keys())
        shots = Shots(writer, self._pool(stratum), self.shots)
        for index, row in enumerate(rows):
            try:
                context = writer.description(row) + shots.before(row) + writer.question.asked(row)
                choices = writer.question.answer_choices(row)
                gold, gold_choice = self._gold(writer, row, choices)
            except BenchmarkError as error:
                subject = f" of {stratum!r}" if stratum else ""
                raise BenchmarkError(f"row {index} of {self.definition.eval_split!r}{subject}: {error}") from error
            yield Item(
                item=str(index) if stratum is None else f"{stratum}/{index}",
                context=context,
                gold=tuple(self._delimiter + answer for answer in gold),
                choices=() if gold_choice is None else tuple(self._delimiter + choice for choice in choices),
                gold_choice=gold_choice,
                stratum=stratum,
            )

    def _gold(self, writer: TaskWriter, row: Row, choices: tuple[str, ...]) -> tuple[tuple[str, ...], int | None]:
        """The right answers, and which choice is right where choices are compared."""
        gold = writer.question.gold(row)
        number = choice_number(gold, choices) if choices else None
        if number is not None:
            answers: tuple[str, ...] = (choices[number],)
        else:
            answers = tuple(str(one) for one in gold) if isinstance(gold, list) else (str(gold),)
        compared = choices if self.definition.output_type == "multiple_choice" else answers[:1]
        if "likelihood" in self.scorers and "" in compared:
            raise BenchmarkError("an answer is empty, and nothing has no likelihood; state `scorers: [generative]`")
        return answers, number if self.definition.output_type == "multiple_choice" else None


def dealt(sizes: Mapping[str | None, int], limit: int | None) -> Mapping[str | None, int]:
    """How many items each stratum gives: one in turn, until `limit` are dealt in all or nothing is left.

    So every limit asks all subjects alike, and the items of a smaller limit are among those of a larger one.
    """
    turns = sorted((turn, place) for place, size in enumerate(sizes.values()) for turn in range(size))
    strata = tuple(sizes)
    return Counter(strata[place] for _, place in turns[:limit])
