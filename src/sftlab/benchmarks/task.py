"""A task file and its data as a benchmark."""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass

from sftlab.benchmarks.answers import Metrics, Reader, choice_reader, task_reader
from sftlab.benchmarks.clusters import clusters
from sftlab.benchmarks.code import TaskCode
from sftlab.benchmarks.definition import TaskDefinition
from sftlab.benchmarks.final_answer import FINAL_ANSWER_VERSION
from sftlab.benchmarks.item import EXACT_MATCH, Benchmark, ChoiceMetrics, Item, Scorer
from sftlab.benchmarks.judging import PROTOCOLS
from sftlab.benchmarks.mathematics import comparison_version
from sftlab.benchmarks.metrics import FINAL_ANSWER_METRICS
from sftlab.benchmarks.own_metrics import own_choice_metrics, own_metrics
from sftlab.benchmarks.processing.programs import programs_identity, runs_programs
from sftlab.benchmarks.prompts import Shots, TaskWriter, choice_number
from sftlab.benchmarks.rows import Row
from sftlab.benchmarks.sources import FileDigest, Source, processed, processed_together
from sftlab.errors import BenchmarkError

SET_APART = 100

OWN_FIELDS = ("process_results", "judge", "follow_ups", "cluster_by")
"""Fields that bear on what a task is only where they are given."""


@dataclass(frozen=True)
class Asked:
    """What a study asks of a task; `stops` None are the task's own.

    With `sets_apart`, shots are drawn from the last rows of the evaluated split, which are then not asked.
    """

    shots: int
    scorers: tuple[Scorer, ...]
    max_new_tokens: int
    limit: int | None
    stops: tuple[str, ...] | None = None
    sets_apart: bool = False


@dataclass(frozen=True)
class Task:
    """A task with what the study asks of it; `sources` has one entry for each stratum, or a single one under None.

    `stratum_column` names the column that parts a single source into strata.
    """

    definition: TaskDefinition
    sources: Mapping[str | None, Source]
    asked: Asked
    code: TaskCode
    stratum_column: str | None = None

    @property
    def scorers(self) -> tuple[Scorer, ...]:
        """How the items are scored."""
        return self.asked.scorers

    @property
    def max_new_tokens(self) -> int:
        """The longest answer that may be generated."""
        return self.asked.max_new_tokens

    def identity(self, file_digest: FileDigest) -> object:
        """What decides items and scores: the definition, the code it names, its data, what is asked; no paths."""
        definition, asked = self.definition, self.asked
        unnamed = {"dataset_path", "dataset_name", "dataset_kwargs", "num_fewshot", "generation_kwargs"}
        shot_split = definition.shot_split if asked.shots and not asked.sets_apart else None
        splits = [definition.eval_split, *([shot_split] if shot_split is not None else [])]
        metrics = {entry.metric for entry in definition.metric_list or ()}
        return {
            "definition": definition.model_dump(
                exclude=unnamed | {name for name in OWN_FIELDS if getattr(definition, name) is None}
            ),
            "code": dict(self.code.digests) or None,
            "shots": asked.shots,
            "stops": self.stops,
            "max_new_tokens": asked.max_new_tokens,
            "limit": asked.limit,
            "data": [
                [stratum, [source.identity(split, file_digest) for split in splits]]
                for stratum, source in self.sources.items()
            ],
            **({"sets_apart": SET_APART} if asked.shots and asked.sets_apart else {}),
            **({"strata": self.stratum_column} if self.stratum_column else {}),
            **({"judged": PROTOCOLS[definition.judge].identity} if definition.judge else {}),
            **({"mathematics": comparison_version()} if "math_equal" in metrics else {}),
            **({"final_answer": FINAL_ANSWER_VERSION} if _reads_final_answers(definition, metrics) else {}),
            **({"programs": programs_identity()} if runs_programs(definition.process_results) else {}),
        }

    def benchmark(self, name: str, digest: str) -> Benchmark:
        """Every item written out. Raises BenchmarkError with the row where a template or a gold answer fails."""
        strata = self._strata()
        counts = dealt({stratum: len(rows.asked) for stratum, rows in strata.items()}, self.asked.limit)
        made = [list(self._items(stratum, rows, counts[stratum])) for stratum, rows in strata.items()]
        in_turn = [pair for turn in itertools.zip_longest(*made) for pair in turn if pair is not None]
        rows_of = {item.item: row for item, row in in_turn} if self.definition.process_results else {}
        own = own_choice_metrics(self.definition, self.code, rows_of)
        return Benchmark(
            name=name,
            digest=digest,
            items=tuple(item for item, _ in in_turn),
            scorers=self.scorers,
            stops=self.stops,
            max_new_tokens=self.max_new_tokens,
            read=self._reader(own_metrics(self.definition, self.code, rows_of)),
            delimiter=self.delimiter,
            choice_metrics=own,
            metric=self._first_metric(own),
            judge=self.definition.judge,
        )

    @property
    def delimiter(self) -> str:
        """What every continuation starts with."""
        return "" if self.definition.output_type == "loglikelihood" else self.definition.target_delimiter

    @property
    def stops(self) -> tuple[str, ...]:
        """Texts that end a generated answer."""
        if self.asked.stops is not None:
            return self.asked.stops
        if self.definition.output_type == "generate_until":
            return self.definition.stops
        return tuple(stop for stop in [self.definition.fewshot_delimiter] if stop)

    def _first_metric(self, own: ChoiceMetrics | None) -> str:
        entries = self.definition.metric_list or ()
        return entries[0].metric if entries and own is None and not self._has_choices else EXACT_MATCH

    @property
    def _has_choices(self) -> bool:
        return self.definition.output_type == "multiple_choice"

    def _reader(self, own: Metrics | None) -> Reader | None:
        if self._has_choices:
            return choice_reader(self.delimiter)
        return task_reader(self.definition, own) if self.definition.output_type == "generate_until" else None

    def _strata(self) -> dict[str | None, "_Rows"]:
        """Rows to ask and rows to draw shots from, of each stratum."""
        strata: dict[str | None, _Rows] = {}
        for source in self.sources:
            rows, pool = self._rows(source, self.definition.eval_split), self._pool(source)
            if self.stratum_column is None:
                strata[source] = self._apart(rows, pool)
                continue
            for row in rows:
                if self.stratum_column not in row:
                    raise BenchmarkError(f"there is no column {self.stratum_column!r} (columns: {', '.join(row)})")
                strata.setdefault(str(row[self.stratum_column]), _Rows([], pool)).asked.append(row)
        if self.stratum_column is not None:
            return {stratum: self._apart(rows.asked, rows.pool) for stratum, rows in strata.items()}
        return strata

    def _apart(self, rows: list[Row], pool: list[Row]) -> "_Rows":
        shots = self.asked.shots
        if not shots or not self.asked.sets_apart:
            return _Rows(rows, pool)
        number = max(shots, min(SET_APART, len(rows) // 10))
        if number >= len(rows):
            raise BenchmarkError(f"{shots} shots cannot be set apart from {len(rows)} rows")
        return _Rows(rows[:-number], rows[-number:])

    def _rows(self, stratum: str | None, split: str) -> list[Row]:
        rows = self.sources[stratum].rows(split)
        if not rows:
            raise BenchmarkError(f"the split {split!r} has no rows")
        function = self.code.function(self.definition.process_docs)
        if function is None:
            return rows
        if self.code.is_own(self.definition.process_docs):
            return processed_together(rows, function)
        return processed(rows, function, split=split)

    def _pool(self, stratum: str | None) -> list[Row]:
        if not self.asked.shots or self.asked.sets_apart:
            return []
        split, samples = self.definition.shot_split, self.definition.fewshot_config.samples
        if split is not None:
            return self._rows(stratum, split)
        function = self.code.function(samples)
        return list(function() if function is not None else samples or ())

    def _items(self, stratum: str | None, rows: "_Rows", count: int) -> Iterator[tuple[Item, Row]]:
        if not rows.asked:
            return
        writer = TaskWriter(self.definition, rows.asked[0].keys(), self.code)
        shots = Shots(writer, rows.pool, self.asked.shots)
        cluster_of = clusters(rows.asked, self.definition.cluster_by)
        for index, row in enumerate(rows.asked[:count]):
            try:
                context = writer.description(row) + shots.before(row) + writer.question.asked(row)
                choices = writer.question.answer_choices(row)
                gold, gold_choice = self._gold(writer, row, choices)
            except BenchmarkError as error:
                subject = f" of {stratum!r}" if stratum else ""
                raise BenchmarkError(f"row {index} of {self.definition.eval_split!r}{subject}: {error}") from error
            item = Item(
                item=str(index) if stratum is None else f"{stratum}/{index}",
                context=context,
                gold=tuple(self.delimiter + answer for answer in gold),
                choices=() if gold_choice is None else tuple(self.delimiter + choice for choice in choices),
                gold_choice=gold_choice,
                stratum=stratum,
                follow_ups=writer.follow_ups(row),
                cluster=self._within(stratum, cluster_of[index]),
            )
            yield item, row

    def _within(self, stratum: str | None, cluster: str | None) -> str | None:
        """Names that a column gives are those of one stratum; digests of texts are the same in all."""
        own = cluster is not None and stratum is not None and self.definition.cluster_by is not None
        return f"{stratum}/{cluster}" if own else cluster

    def _gold(self, writer: TaskWriter, row: Row, choices: tuple[str, ...]) -> tuple[tuple[str, ...], int | None]:
        """The right answers, and which choice is right where choices are compared."""
        gold = writer.question.gold(row)
        number = choice_number(gold, choices) if choices else None
        if number is not None:
            answers: tuple[str, ...] = (choices[number],)
        else:
            answers = tuple(str(one) for one in gold) if isinstance(gold, list) else (str(gold),)
        compared = choices if self._has_choices else answers[:1]
        if "likelihood" in self.scorers and "" in compared:
            raise BenchmarkError("an answer is empty, and nothing has no likelihood; state `scorers: [generative]`")
        return answers, number if self._has_choices else None


def _reads_final_answers(definition: TaskDefinition, metrics: Set[str]) -> bool:
    """Whether what follows `the answer is`, or stands in a box, decides the score, of an answer or of a gold one."""
    steps = [step.get("function") for entry in definition.filter_list or () for step in entry.filter]
    return "final_answer" in steps or not FINAL_ANSWER_METRICS.isdisjoint(metrics)


@dataclass(frozen=True)
class _Rows:
    asked: list[Row]
    pool: list[Row]


def dealt(sizes: Mapping[str | None, int], limit: int | None) -> Mapping[str | None, int]:
    """How many items each stratum gives: one in turn, until `limit` are dealt in all or nothing is left.

    So every limit asks all subjects alike, and the items of a smaller limit are among those of a larger one.
    """
    turns = sorted((turn, place) for place, size in enumerate(sizes.values()) for turn in range(size))
    strata = tuple(sizes)
    return Counter(strata[place] for _, place in turns[:limit])
