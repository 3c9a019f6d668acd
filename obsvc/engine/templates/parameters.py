"""Parameters of a HOT template: definitions, constraints, and the values that a caller gives.  Pure.

Source: Heat Orchestration Template specification, "Parameters section" and "Parameter Constraints".
"""
from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from obsvc.engine.templates.functions import refuse
from obsvc.exceptions import InvalidInput

TYPES = ("string", "number", "json", "comma_delimited_list", "boolean")

_KEYS = ("type", "label", "description", "default", "hidden", "constraints", "tags")

_TEXT_OR_MANY = ("string", "json", "comma_delimited_list")

#: Constraint → the types of parameters that it can be held against, as in Heat.  custom_constraint asks a cloud
#: (``nova.flavor``): it is taken and not held here; the cloud refuses what it does not know when the resource is made.
_CONSTRAINTS = {
    "length": _TEXT_OR_MANY,
    "range": ("number",),
    "modulo": ("number",),
    "allowed_values": ("string", "number", "boolean", "comma_delimited_list"),
    "allowed_pattern": ("string",),
    "custom_constraint": TYPES,
}
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
    kind = body.get("type")
    if kind not in TYPES:
        refuse(f"{place}.type", f"expected a type of parameter, got {kind!r}: use one of {', '.join(TYPES)}")
    hidden = body.get("hidden", False)
    if not isinstance(hidden, bool):
        refuse(f"{place}.hidden", f"expected true or false, got {hidden!r}: take the quotes off")
    constraints = body.get("constraints") or []
    if not isinstance(constraints, list):
        refuse(f"{place}.constraints", f"expected a list, got {type(constraints).__name__}: "
                                       "begin each constraint with a dash")
    for index, constraint in enumerate(constraints):
        _check_constraint(constraint, kind, f"{place}.constraints.{index}")
    parameter = Parameter(name, kind, None, "default" in body, hidden, tuple(constraints))
    if not parameter.has_default:
        return parameter
    default = convert(parameter, body["default"], f"{place}.default")
    return Parameter(name, kind, default, True, hidden, parameter.constraints)


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
        refuse(place, f"expected a number, got {shown}: give digits")
    if isinstance(value, int | float):
        return value
    for kind in (int, float):
        try:
            number = kind(value)
        except ValueError:
            continue
        if number - number == 0:
            return number
    refuse(place, f"expected a number, got {shown}: give digits")


def _json(value: Any, shown: str, place: str) -> Any:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            refuse(place, f"expected a mapping, a list, or JSON text of one, got {shown}: correct it")
    if not isinstance(value, dict | list):
        refuse(place, f"expected a mapping, a list, or JSON text of one, got {shown}: correct it")
    return value


def _list(value: Any, shown: str, place: str) -> list[str]:
    if isinstance(value, list):
        return [str(item) for item in value]
    if not isinstance(value, str):
        refuse(place, f"expected a list or comma-separated text, got {shown}: give one of them")
    return [item.strip() for item in value.split(",")] if value.strip() else []


def _boolean(value: Any, shown: str, place: str) -> bool:
    text = str(value).strip().lower()
    if text not in _TRUE and text not in _FALSE:
        refuse(place, f"expected a boolean, got {shown}: give true or false")
    return text in _TRUE


_CONVERTERS = {
    "string": _string, "number": _number, "json": _json, "comma_delimited_list": _list, "boolean": _boolean,
}


def _check_constraint(constraint: Any, kind: str, place: str) -> None:
    names = [key for key in constraint if key != "description"] if isinstance(constraint, dict) else []
    if len(names) != 1 or names[0] not in _CONSTRAINTS:
        refuse(place, f"expected one constraint, got {constraint!r}: use one of {', '.join(_CONSTRAINTS)}, "
                      "each with a dash of its own")
    name, value = names[0], constraint[names[0]]
    if kind not in _CONSTRAINTS[name]:
        refuse(place, f"{name} can't be held against a {kind}: use it for {' or '.join(_CONSTRAINTS[name])}, "
                      "or take it out")
    if name in ("length", "range"):
        bounds = value if isinstance(value, dict) and value and set(value) <= {"min", "max"} else {"min": None}
        if not all(_is_number(bound) for bound in bounds.values()):
            refuse(place, f"expected {{min: number, max: number}}, got {value!r}: give one of them or both")
    elif name == "modulo":
        _check_modulo(value, place)
    elif name == "allowed_values" and not (isinstance(value, list) and value):
        refuse(place, f"expected a list of values, got {value!r}: list what is allowed")
    elif name == "allowed_pattern":
        try:
            re.compile(value)
        except (re.error, TypeError) as error:
            refuse(place, f"expected a regular expression, got {value!r}: correct it ({error})")


def _check_modulo(value: Any, place: str) -> None:
    given = value if isinstance(value, dict) and "step" in value and set(value) <= {"step", "offset"} else {"step": 0}
    step, offset = given["step"], given.get("offset", 0)
    whole = all(isinstance(number, int) and not isinstance(number, bool) for number in (step, offset))
    if not whole or not step or abs(offset) >= abs(step) or step * offset < 0:
        refuse(place, f"expected {{step: whole number but 0, offset: of its sign and nearer to 0}}, got {value!r}: "
                      "correct it")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _hold(constraint: Mapping[str, Any], value: Any, parameter: Parameter, place: str) -> None:
    """Refuse a value that breaks the constraint; its ``description`` says to users what was meant."""
    broken = _broken(constraint, value, parameter)
    if broken is not None:
        shown = "***" if parameter.hidden else repr(value)
        meant = constraint.get("description")
        refuse(place, f"expected {broken}, got {shown}: {meant or 'give a value that the constraint allows'}")


def _broken(constraint: Mapping[str, Any], value: Any, parameter: Parameter) -> str | None:
    """What the constraint expects, where ``value`` is not so."""
    name = next(key for key in constraint if key != "description")
    rule = constraint[name]
    if name == "length":
        return None if _within(len(value), rule) else f"a length {_from_to(rule)}"
    if name == "range":
        return None if _within(value, rule) else f"a number {_from_to(rule)}"
    if name == "modulo":
        step, offset = rule["step"], rule.get("offset", 0)
        return None if value % step == offset else f"a number that leaves {offset} when divided by {step}"
    if name == "allowed_pattern":
        return None if re.fullmatch(rule, value) else f"text that matches {rule!r}"
    if name == "allowed_values":
        allowed = [str(other) for other in rule]
        items = value if parameter.type == "comma_delimited_list" else [value]
        right = all(item in rule or str(item) in allowed for item in items)
        return None if right else f"one of {', '.join(allowed)}"
    return None


def _within(value: float, bounds: Mapping[str, float]) -> bool:
    return bounds.get("min", value) <= value <= bounds.get("max", value)


def _from_to(bounds: Mapping[str, float]) -> str:
    return f"from {bounds.get('min', 'any')} to {bounds.get('max', 'any')}"
