"""Parameters of a HOT template: definitions, constraints, and the values that a caller gives.  Pure."""
from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from obsvc.engine.functions import refuse
from obsvc.exceptions import InvalidInput

TYPES = ("string", "number", "json", "comma_delimited_list", "boolean")

_KEYS = ("type", "label", "description", "default", "hidden", "constraints", "immutable", "tags")
_CONSTRAINTS = ("length", "range", "allowed_values", "allowed_pattern", "custom_constraint")
_TRUE = ("t", "true", "on", "y", "yes", "1")
_FALSE = ("f", "false", "off", "n", "no", "0")


@dataclass(frozen=True)
class Parameter:
    """One parameter's definition.  default is meaningful only with has_default; hidden: never shown again."""

    name: str
    type: str
    default: Any = None
    has_default: bool = False
    hidden: bool = False
    constraints: tuple[dict[str, Any], ...] = ()


def parse_parameter(name: str, body: Any) -> Parameter:
    """One entry of the template's ``parameters``; InvalidInput with its place."""
    place = f"parameters.{name}"
    if not isinstance(body, dict):
        refuse(place, f"expected a mapping with a type, got {type(body).__name__}: add type: string")
    for key in body:
        if key not in _KEYS:
            refuse(place, f"unknown section {key!r}: obsvc takes {', '.join(_KEYS)}; take it out")
    if body.get("type") not in TYPES:
        refuse(f"{place}.type", f"expected one of {', '.join(TYPES)}, got {body.get('type')!r}")
    constraints = body.get("constraints") or []
    if not isinstance(constraints, list):
        refuse(f"{place}.constraints", f"expected a list, got {type(constraints).__name__}")
    for index, constraint in enumerate(constraints):
        _check_constraint(constraint, f"{place}.constraints.{index}")
    parameter = Parameter(name, body["type"], None, "default" in body, bool(body.get("hidden")), tuple(constraints))
    if not parameter.has_default:
        return parameter
    default = convert(parameter, body["default"], f"{place}.default")
    return Parameter(name, parameter.type, default, True, parameter.hidden, parameter.constraints)


def bind(parameters: Mapping[str, Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """The value of each parameter: given, else default.  InvalidInput for a missing, unknown or wrong one."""
    unknown = sorted(set(given) - set(parameters))
    if unknown:
        known = ", ".join(sorted(parameters)) or "none"
        raise InvalidInput(f"parameters.{unknown[0]}: the template has no such parameter (it has: {known}): "
                           "take it out or correct its name")
    values = {}
    for name, parameter in parameters.items():
        if name in given:
            values[name] = convert(parameter, given[name], f"parameters.{name}")
        elif parameter.has_default:
            values[name] = parameter.default
        else:
            raise InvalidInput(f"parameters.{name}: expected a value ({parameter.type}), got none: "
                               "give one, or a default in the template")
    return values


def convert(parameter: Parameter, value: Any, place: str) -> Any:
    """``value`` in the parameter's type, its constraints checked; InvalidInput with ``place`` where it is not."""
    result = _CONVERTERS[parameter.type](value, "***" if parameter.hidden else repr(value), place)
    for constraint in parameter.constraints:
        _hold(constraint, result, parameter, place)
    return result


def _string(value: Any, shown: str, place: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        refuse(place, f"expected a string, got {shown}: put it in quotes")
    return str(value)


def _number(value: Any, shown: str, place: str) -> int | float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        refuse(place, f"expected a number, got {shown}")
    if isinstance(value, int | float):
        return value
    for kind in (int, float):
        try:
            number = kind(value)
        except ValueError:
            continue
        if number - number == 0:
            return number
    refuse(place, f"expected a number, got {shown}")


def _json(value: Any, shown: str, place: str) -> Any:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            refuse(place, f"expected a mapping, a list, or JSON text of one, got {shown}")
    if not isinstance(value, dict | list):
        refuse(place, f"expected a mapping, a list, or JSON text of one, got {shown}")
    return value


def _list(value: Any, shown: str, place: str) -> list[str]:
    if isinstance(value, list):
        return [str(item) for item in value]
    if not isinstance(value, str):
        refuse(place, f"expected a list or comma-separated text, got {shown}")
    return [item.strip() for item in value.split(",")] if value.strip() else []


def _boolean(value: Any, shown: str, place: str) -> bool:
    text = str(value).strip().lower()
    if text not in _TRUE and text not in _FALSE:
        refuse(place, f"expected a boolean (true or false), got {shown}")
    return text in _TRUE


_CONVERTERS = {
    "string": _string, "number": _number, "json": _json, "comma_delimited_list": _list, "boolean": _boolean,
}


def _check_constraint(constraint: Any, place: str) -> None:
    kinds = [key for key in constraint if key != "description"] if isinstance(constraint, dict) else []
    if len(kinds) != 1 or kinds[0] not in _CONSTRAINTS:
        refuse(place, f"expected one of {', '.join(_CONSTRAINTS)}, got {constraint!r}: take it out")
    value = constraint[kinds[0]]
    if kinds[0] in ("length", "range"):
        bounds = value.values() if isinstance(value, dict) and set(value) <= {"min", "max"} else [None]
        if not all(isinstance(bound, int | float) for bound in bounds):
            refuse(place, f"expected {{min: number, max: number}}, got {value!r}")
    elif kinds[0] == "allowed_values" and not isinstance(value, list):
        refuse(place, f"expected a list of values, got {value!r}")
    elif kinds[0] == "allowed_pattern":
        try:
            re.compile(value)
        except (re.error, TypeError) as error:
            refuse(place, f"expected a regular expression, got {value!r} ({error})")


def _hold(constraint: Mapping[str, Any], value: Any, parameter: Parameter, place: str) -> None:
    shown = "***" if parameter.hidden else repr(value)
    if "allowed_values" in constraint:
        allowed = constraint["allowed_values"]
        for item in value if parameter.type == "comma_delimited_list" else [value]:
            if item not in allowed and str(item) not in [str(other) for other in allowed]:
                refuse(place, f"expected one of {', '.join(map(str, allowed))}, got {shown}")
    elif "length" in constraint and hasattr(value, "__len__"):
        _within(len(value), constraint["length"], f"{place}: expected a length", str(len(value)))
    elif "range" in constraint and isinstance(value, int | float):
        _within(value, constraint["range"], f"{place}: expected a number", shown)
    elif "allowed_pattern" in constraint and not re.fullmatch(constraint["allowed_pattern"], str(value)):
        refuse(place, f"expected text that matches {constraint['allowed_pattern']!r}, got {shown}")


def _within(value: float, bounds: Mapping[str, float], expected: str, shown: str) -> None:
    low, high = bounds.get("min"), bounds.get("max")
    if (low is not None and value < low) or (high is not None and value > high):
        raise InvalidInput(f"{expected} from {'any' if low is None else low} to {'any' if high is None else high}, "
                           f"got {shown}")
