"""What is wrong with a study file, in one sentence: the place, what was got, what is legal, the nearest name."""

import re
from collections.abc import Mapping

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from sftlab.study.declaration import (
    BaseRef,
    BenchmarkRef,
    Budget,
    CustomTemplate,
    DatasetRef,
    Evaluation,
    KnownCost,
    Mixture,
    Precision,
    RunBlock,
    Seeds,
    Study,
    TrainedElsewhere,
)
from sftlab.study.engine import Server
from sftlab.study.judge import Judge
from sftlab.study.methods import METHODS
from sftlab.study.spelling import nearest
from sftlab.study.yaml_tree import Place, YamlTree

WORDING = re.compile(r"^(Input should be |Value error, )?(a valid )?|, unable to parse.*$| or instance of \w+$")


def complaint(error: ValidationError, tree: YamlTree, name: str) -> str:
    """One sentence for what pydantic found: the first place in the file, what was got and what is legal there."""
    details = error.errors(include_url=False)
    places = [_place(detail, tree.value) for detail in details]
    misspelt = {
        place[:-1] for detail, place in zip(details, places, strict=True) if detail["type"] == "extra_forbidden"
    }

    def order(index: int) -> tuple[bool, int]:
        # What is missing beside an unknown field is most likely meant by that.
        follows = details[index]["type"] == "missing" and places[index][:-1] in misspelt
        return follows, tree.line(places[index]) or 0

    best = min(range(len(details)), key=order)
    same = [detail for detail, place in zip(details, places, strict=True) if place == places[best]]
    # A list of which no entry is right is empty too: that is no fault of its own.
    same = [detail for detail in same if detail["type"] != "too_short"] or same
    others = len({place for place in places if place != places[best]})
    more = f" (and {others} more)" if others else ""
    return f"{where_in(places[best], tree, name)}: {_what(same, places[best], tree.value)}{more}"


def where_in(place: Place, tree: YamlTree, name: str) -> str:
    """The file, and the line where there is one."""
    line = tree.line(place)
    return f"{name}, line {line}" if line else name


def _place(detail: ErrorDetails, value: object) -> Place:
    """The part of an error's location that is really in the file (unions and tags are not)."""
    context = detail.get("ctx") or {}
    location = tuple(context["place"]) if "place" in context else detail["loc"]
    place: list[str | int] = []
    for key in location:
        if _holds(value, key):
            value = value[key]  # type: ignore[index]
        elif detail["type"] in {"missing", "extra_forbidden"} and key == location[-1] and isinstance(key, str):
            pass
        else:
            continue
        place.append(key)
    return tuple(place)


def _holds(value: object, key: str | int) -> bool:
    if isinstance(value, list):
        return isinstance(key, int) and key < len(value)
    return isinstance(value, Mapping) and key in value


def _value_at(place: Place, value: object) -> object:
    for key in place:
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int):
            value = value[key]
    return value


def dotted(place: Place) -> str:
    """A place as people write it."""
    return ".".join(str(key) for key in place) or "the study"


def _what(details: list[ErrorDetails], place: Place, root: object) -> str:
    detail = details[0]
    context = detail.get("ctx") or {}
    simple = {
        "missing": lambda: f"the field {str(detail['loc'][-1])!r} is missing in {dotted(place[:-1])}",
        "inconsistent": lambda: str(context["sentence"]),
        "value_error": lambda: f"{dotted(place)}: {context['error']}",
        "string_pattern_mismatch": lambda: (
            f"{dotted(place)}: a name is letters, digits, '.', '_', '+' and '-', got {detail['input']!r}"
        ),
        "too_short": lambda: f"{dotted(place)}: needs at least {context['min_length']}, got {context['actual_length']}",
        "extra_forbidden": lambda: _unknown_field(place, root),
        "union_tag_invalid": lambda: _unknown_adapter(place, root),
    }
    if detail["type"] in simple:
        return simple[detail["type"]]()
    return f"{dotted(place)}: got {_shown(detail['input'])}, legal: {_legal(details)}"


def _unknown_field(place: Place, root: object) -> str:
    owner = _model_at(place[:-1], root)
    legal = list(owner.model_fields) if owner is not None else []
    return f"unknown field {str(place[-1])!r} in {dotted(place[:-1])}{nearest(str(place[-1]), legal)}"


def _unknown_adapter(place: Place, root: object) -> str:
    adapter = _value_at((*place, "adapter"), root)
    return f"{dotted(place)}.adapter: unknown adapter {adapter!r}{nearest(str(adapter), METHODS)}"


def _legal(details: list[ErrorDetails]) -> str:
    ways = []
    for detail in details:
        context = detail.get("ctx") or {}
        message = str(context["expected"]) if detail["type"] == "literal_error" else detail["msg"]
        way = WORDING.sub("", message)
        if way not in ways:
            ways.append(way)
    return "; or ".join(ways)


def _shown(got: object) -> str:
    text = repr(got)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _model_at(place: Place, root: object) -> type[BaseModel] | None:
    """Which model declares the fields at a place of the file."""
    if len(place) == 2 and place[0] == "methods":
        method = _value_at(place, root)
        adapter = method.get("adapter", "none") if isinstance(method, Mapping) else "none"
        return METHODS.get(adapter)
    if place == ("evaluation", "judge"):
        return Judge
    if place == ("evaluation", "engine"):
        return Server
    shape = tuple("*" if depth == 1 or isinstance(key, int) else key for depth, key in enumerate(place))
    models: dict[tuple[str | int, ...], type[BaseModel]] = {
        (): Study,
        ("bases", "*"): BaseRef,
        ("datasets", "*"): DatasetRef,
        ("mixtures", "*"): Mixture,
        ("evaluation",): Evaluation,
        ("evaluation", "*", "*"): BenchmarkRef,
        ("runs", "*"): RunBlock,
        ("trained", "*"): TrainedElsewhere,
        ("seeds",): Seeds,
        ("precision",): Precision,
        ("template",): CustomTemplate,
        ("evaluation", "*"): CustomTemplate,
        ("budget",): Budget,
        ("known_cost",): KnownCost,
    }
    return models.get(shape)
