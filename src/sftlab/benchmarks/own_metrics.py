"""A task's own metrics: what its `process_results` makes of a generated answer, or of the choices' log-likelihoods."""

from collections.abc import Mapping, Sequence

from sftlab.benchmarks.answers import Metrics
from sftlab.benchmarks.code import TaskCode
from sftlab.benchmarks.definition import TaskDefinition
from sftlab.benchmarks.item import ChoiceMetrics, Item
from sftlab.benchmarks.rows import Row
from sftlab.errors import BenchmarkError


class _NotAsked:
    """Stands for whether greedy decoding writes a choice, which is not computed where choices are compared."""

    def __bool__(self) -> bool:
        raise BenchmarkError("its `process_results` asks whether greedy decoding writes a choice, which is not known")


def own_metrics(definition: TaskDefinition, code: TaskCode, row_of: Mapping[str, Row]) -> Metrics | None:
    """The metrics of a generated answer; None where the task has no `process_results` or compares choices."""
    function = code.function(definition.process_results)
    if function is None or definition.output_type != "generate_until":
        return None
    names = _names(definition)

    def measured(item: Item, answer: str) -> Mapping[str, float]:
        return _numbers(function(row_of[item.item], [answer]), names)

    return measured


def own_choice_metrics(definition: TaskDefinition, code: TaskCode, row_of: Mapping[str, Row]) -> ChoiceMetrics | None:
    """The metrics of the choices' log-likelihoods; None where the task has no `process_results` or generates."""
    function = code.function(definition.process_results)
    if function is None or definition.output_type != "multiple_choice":
        return None
    names = _names(definition)

    def weighed(item: Item, log_likelihoods: Sequence[float]) -> Mapping[str, float]:
        results = [(log_likelihood, _NotAsked()) for log_likelihood in log_likelihoods]
        return _numbers(function(row_of[item.item], results), names)

    return ChoiceMetrics(names, weighed)


def _names(definition: TaskDefinition) -> tuple[str, ...]:
    return tuple(entry.metric for entry in definition.metric_list or ())


def _numbers(results: Mapping[str, object], names: Sequence[str]) -> dict[str, float]:
    """One number for each metric. Raises BenchmarkError for what is scored in another way, over all items at once."""
    numbers: dict[str, float] = {}
    for name in names:
        value = results.get(name) if isinstance(results, Mapping) else None
        try:
            numbers[name] = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError) as error:
            raise BenchmarkError(
                f"`process_results` gives {type(value).__name__} for the metric {name!r}; legal: one number an item"
            ) from error
    return numbers
