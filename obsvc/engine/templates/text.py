"""The text of a template → plain JSON values, with the places where YAML would be silent.

YAML is read with its core types only: dates stay text (``heat_template_version: 2018-08-31``), a key given twice is
refused instead of the first being lost, and aliases can't make a small text into an endless value.
"""
from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml

from obsvc.engine.templates.functions import Place, refuse
from obsvc.exceptions import InvalidInput

#: Characters.  Heat's own limit is 512 KiB (max_template_size).
MAX_TEXT = 1024 * 1024

#: Values in a template, aliases counted as often as they are used: far above any real template, far below harm.
MAX_VALUES = 500_000
MAX_DEPTH = 100

try:
    from yaml import CSafeLoader as _Base
except ImportError:  # PyYAML was built without libyaml
    from yaml import SafeLoader as _Base  # type: ignore[assignment]


class _Loader(_Base):
    """Safe loading without dates, and without a key's silent loss."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in _Base.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is not None and key != "<<" and key in seen:
                line = key_node.start_mark.line + 1
                raise InvalidInput(f"template line {line}: the key {key!r} stands there twice: take one out")
            seen.add(key)
        return super().construct_mapping(node, deep)


def load(text: str) -> dict[str, Any]:
    """The template's top mapping; InvalidInput with line and column for text that is no YAML or JSON."""
    if len(text) > MAX_TEXT:
        raise InvalidInput(f"template: expected at most {MAX_TEXT} characters, got {len(text)}: split the stack")
    try:
        raw = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InvalidInput(f"template{where}: {error.problem or error.context}: correct the YAML") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidInput(f"template: can't be read as YAML or JSON: {str(error)[:200]}: correct it") from None
    if not isinstance(raw, dict):
        raise InvalidInput(
            f"template: expected a mapping with heat_template_version and resources, got {type(raw).__name__}: "
            "hand over the template's text, not its path"
        )
    _check(raw)
    return raw


def _check(raw: dict[str, Any]) -> None:
    """Refuse what JSON can't carry, and what is too much."""
    values = 0
    waiting: list[tuple[Place, Any, int]] = [(Place(""), raw, 0)]
    while waiting:
        place, value, depth = waiting.pop()
        values += 1
        if values > MAX_VALUES or depth > MAX_DEPTH:
            refuse(".".join(place.path.split(".")[:4]),
                   f"the template is deeper than {MAX_DEPTH} levels or has more than {MAX_VALUES} values "
                   "(aliases counted): simplify it")
        if isinstance(value, dict):
            for key, item in value.items():
                if not isinstance(key, str):
                    refuse(place, f"expected text as a key, got {key!r}: put it in quotes")
                waiting.append((place / key, item, depth + 1))
        elif isinstance(value, list):
            waiting.extend((place / str(index), item, depth + 1) for index, item in enumerate(value))
        elif isinstance(value, float) and value - value != 0:
            refuse(place, f"expected a number that JSON can carry, got {value!r}: put it in quotes")
        elif value is not None and not isinstance(value, str | int | float | bool):
            refuse(place, f"expected text, a number, a list or a mapping, got {type(value).__name__}: "
                          "take the YAML tag out")
