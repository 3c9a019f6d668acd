"""The functions of HOT that obsvc takes: finding them in a value, and carrying them out.  Pure.

A function is a mapping of one key that is a function's name.  A name that HOT knows and obsvc does not (or any
``get_…``, ``Fn::…``) is refused; every other mapping is data.
"""
from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from obsvc.exceptions import InvalidInput

FUNCTIONS = ("get_param", "get_resource", "get_attr", "list_join", "str_replace")

#: Functions of HOT that are not taken: as data they would reach the cloud unresolved.
_REFUSED = frozenset({
    "get_file", "digest", "repeat", "resource_facade", "str_split", "str_replace_strict", "str_replace_vstrict",
    "map_merge", "map_replace", "yaql", "equals", "if", "not", "and", "or", "filter", "make_url", "list_concat",
    "list_concat_unique", "contains", "Ref",
})


@dataclass(frozen=True)
class Place:
    """Where in the template something stands, as ``resources.port1.properties.network``."""

    path: str

    def __truediv__(self, key: str) -> Place:
        return Place(f"{self.path}.{key}" if self.path else key)

    def __str__(self) -> str:
        return self.path or "template"


@dataclass(frozen=True)
class Facts:
    """What is known of one resource: its id, and the attributes of its last snapshot."""

    resource_id: str | None
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """One use of a function, and the parameter or the resource that it refers to."""

    function: str
    place: Place
    parameter: str | None = None
    resource: str | None = None


def refuse(place: Place | str, problem: str) -> NoReturn:
    """Raise InvalidInput that names the place."""
    raise InvalidInput(f"{place}: {problem}")


def function_of(value: Any, place: Place) -> str | None:
    """The function that ``value`` uses, None for data; InvalidInput for one that is not taken."""
    if not isinstance(value, dict) or len(value) != 1:
        return None
    name: str = next(iter(value))
    if name in FUNCTIONS:
        return name
    if name in _REFUSED or name.startswith(("get_", "Fn::")):
        refuse(place, f"the function {name!r} is not supported: obsvc takes {', '.join(FUNCTIONS)}; "
                      "write the value out or pass it as a parameter")
    return None


def calls(value: Any, place: Place) -> Iterator[Call]:
    """Every use of a function within ``value``, its form checked; InvalidInput where it is wrong."""
    name = function_of(value, place)
    if name is not None:
        argument = value[name]
        here = place / name
        if name == "get_param":
            yield Call(name, place, parameter=_head(argument, here, "a parameter", least=1))
        elif name == "get_resource":
            if not isinstance(argument, str):
                refuse(here, f"expected a resource's name, got {argument!r}: write the name alone")
            yield Call(name, place, resource=argument)
        elif name == "get_attr":
            if not isinstance(argument, list):
                refuse(here, f"expected [resource, attribute, …], got {argument!r}: write the list")
            yield Call(name, place, resource=_head(argument, here, "a resource", least=2))
        else:
            _check_text_function(name, argument, here)
        yield from _within(argument, here)
    elif isinstance(value, dict | list):
        yield from _within(value, place)


def _within(value: Any, place: Place) -> Iterator[Call]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from calls(item, place / key)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from calls(item, place / str(index))


def _head(argument: Any, place: Place, what: str, *, least: int) -> str:
    path = argument if isinstance(argument, list) else [argument]
    if len(path) < least or not isinstance(path[0], str):
        form = "its name or [name, key, …]" if least == 1 else "[resource, attribute, …]"
        refuse(place, f"expected {what} as {form}, got {argument!r}: correct it")
    return path[0]


def _check_text_function(name: str, argument: Any, place: Place) -> None:
    if name == "list_join":
        if not isinstance(argument, list) or len(argument) < 2 or not isinstance(argument[0], str):
            refuse(place, f"expected [separator, list, …], got {argument!r}: write the list")
    elif not isinstance(argument, dict) or set(argument) != {"template", "params"}:
        refuse(place, f"expected {{template: text, params: {{placeholder: value}}}}, got {argument!r}: give both")


class Resolver:
    """Carries functions out against parameters and what is known of the resources."""

    def __init__(self, parameters: Mapping[str, Any], facts: Mapping[str, Facts]) -> None:
        self._parameters = parameters
        self._facts = facts

    def resolve(self, value: Any, place: Place) -> Any:
        """``value`` without functions; InvalidInput with the place where a path leads nowhere."""
        name = function_of(value, place)
        if name is not None:
            return getattr(self, f"_{name}")(value[name], place / name)
        if isinstance(value, dict):
            return {key: self.resolve(item, place / key) for key, item in value.items()}
        if isinstance(value, list):
            return [self.resolve(item, place / str(index)) for index, item in enumerate(value)]
        return value

    def try_out(self, value: Any, place: Place) -> None:
        """Carry out every function within ``value`` that refers to no resource; InvalidInput where one can't be."""
        if not any(call.resource is not None for call in calls(value, place)):
            self.resolve(value, place)
        elif isinstance(value, dict):
            for key, item in value.items():
                self.try_out(item, place / key)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                self.try_out(item, place / str(index))

    def _get_param(self, argument: Any, place: Place) -> Any:
        path = argument if isinstance(argument, list) else [argument]
        rest = self.resolve(path[1:], place)
        return _follow(self._parameters[path[0]], rest, place, f"parameter {path[0]}")

    def _get_resource(self, argument: str, place: Place) -> str | None:
        return self._known(argument, place).resource_id

    def _get_attr(self, argument: list[Any], place: Place) -> Any:
        name, *path = self.resolve(argument, place)
        facts = self._known(name, place)
        return _follow({"id": facts.resource_id, **facts.attributes}, path, place, name)

    def _list_join(self, argument: list[Any], place: Place) -> str:
        separator, *lists = self.resolve(argument, place)
        texts: list[str] = []
        for items in lists:
            if not isinstance(items, list):
                refuse(place, f"expected lists to join, got {type(items).__name__}: put it in brackets")
            texts.extend(_text(item) for item in items)
        return str(separator).join(texts)

    def _str_replace(self, argument: dict[str, Any], place: Place) -> str:
        text = self.resolve(argument["template"], place / "template")
        params = self.resolve(argument["params"], place / "params")
        if not isinstance(text, str) or not isinstance(params, dict):
            refuse(place, "expected text as template and a mapping as params: correct them")
        # Longest first, in one pass: a value that holds another placeholder is not replaced again.
        result, at = [], 0
        names = sorted((name for name in params if name), key=len, reverse=True)
        while at < len(text):
            name = next((name for name in names if text.startswith(name, at)), None)
            result.append(text[at] if name is None else _text(params[name]))
            at += 1 if name is None else len(name)
        return "".join(result)

    def _known(self, name: str, place: Place) -> Facts:
        if name not in self._facts:
            refuse(place, f"the resource {name} is not there yet")
        return self._facts[name]


def _text(value: Any) -> str:
    """A value within text, as Heat writes it: nothing for null, JSON for a mapping or a list."""
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def _follow(value: Any, path: list[Any], place: Place, what: str) -> Any:
    walked = what
    for key in path:
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and (index := _index(key, len(value))) is not None:
            value = value[index]
        else:
            has = ", ".join(sorted(value)) if isinstance(value, dict) else (
                f"{len(value)} items" if isinstance(value, list) else type(value).__name__)
            refuse(place, f"{walked} has no {key!r} (it has: {has}): correct the path")
        walked = f"{walked}.{key}"
    return value


def _index(key: Any, length: int) -> int | None:
    """The place in a list of ``length`` items that a step of a path names; None where it names none."""
    if isinstance(key, bool):
        return None
    try:
        index = int(key)
    except (TypeError, ValueError):
        return None
    return index if -length <= index < length else None
