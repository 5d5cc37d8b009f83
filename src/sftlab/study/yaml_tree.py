"""YAML with line numbers, duplicate keys refused, and `1e-5` read as a number."""

import re
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import yaml

from sftlab.errors import StudyError

Place = tuple[str | int, ...]
MERGE_TAG = "tag:yaml.org,2002:merge"
MOST_PLACES = 1_000_000
"""Anchors used over and over make a short file a huge one."""


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads `1e-5` as text; every user means a number."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)[eE][-+]?[0-9]+$"),
    list("-+0123456789."),
)


def _construct_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    seen: dict[object, int] = {}
    for key_node, _ in node.value:
        if key_node.tag == MERGE_TAG:
            continue
        key = loader.construct_object(key_node, deep=True)
        line = key_node.start_mark.line + 1
        if not isinstance(key, str):
            raise StudyError(f"line {line}: names are text, got {key!r}; put it in quotes")
        if key in seen:
            raise StudyError(f"line {line}: {key!r} is there twice, first in line {seen[key]}")
        seen[key] = line
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct_mapping)


@dataclass(frozen=True)
class YamlTree:
    """A parsed file: its value, and the line of every place in it."""

    value: object
    lines: dict[Place, int]

    def line(self, place: Place) -> int | None:
        """Line (from 1) of a place, or of the nearest place around it that is in the file."""
        for length in range(len(place), 0, -1):
            if place[:length] in self.lines:
                return self.lines[place[:length]]
        return None


def read_yaml(text: str, *, name: str) -> YamlTree:
    """Parse YAML text; `name` is what errors call it. Raises StudyError on text that is not YAML."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            raise StudyError(f"{name} is empty: a study has at least `study`, `bases` and `datasets`")
        lines: dict[Place, int] = {}
        _note_lines(node, (), lines)
        return YamlTree(loader.construct_document(node), lines)
    except StudyError as error:
        raise StudyError(f"{name}, {error}" if str(error).startswith("line") else str(error)) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise StudyError(f"{name}, line {line}: not YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise StudyError(f"{name} is not YAML: {str(error).splitlines()[0]}") from error
    except RecursionError as error:
        raise StudyError(f"{name} is nested too deeply to be a study") from error
    finally:
        loader.dispose()


def _note_lines(node: yaml.Node, place: Place, lines: dict[Place, int]) -> None:
    if len(lines) > MOST_PLACES:
        raise StudyError(f"line {node.start_mark.line + 1}: anchors multiply to more than {MOST_PLACES:,} values")
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            inner = (*place, str(key_node.value))
            lines[inner] = key_node.start_mark.line + 1
            _note_lines(value_node, inner, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value_node in enumerate(node.value):
            lines[(*place, index)] = value_node.start_mark.line + 1
            _note_lines(value_node, (*place, index), lines)
