"""A cloud compared with a goal, resource by resource and property by property.  Pure; asks no engine.

The goal's functions are resolved against what the cloud really has: a property that refers to another resource has to
hold the id, or the attribute, of the copy that lives.
"""
from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from obsvc.engine.templates.functions import Facts
from obsvc.engine.templates.hot import resolve
from obsvc.exceptions import InvalidInput
from tests.support.scenarios.goals import Goal, called


def live(truth: Iterable[Mapping[str, Any]], stack: str) -> list[Mapping[str, Any]]:
    """The stack's resources that there are, by their names."""
    return [one for one in truth if one["exists"] and str(one["name"]).startswith(f"{stack}.")]


def differences(
    goal: Goal, stack: str, truth: Iterable[Mapping[str, Any]], *, retained: Collection[str] = ()
) -> list[str]:
    """Where the cloud is not as the goal has it: one sentence each.

    truth: the simulated cloud's own records.  retained: ids of copies that have to be there beside those of the goal.
    """
    there = live(truth, stack)
    found = [f"retained {each}: gone" for each in sorted(set(retained) - {one["id"] for one in there})]
    mine: dict[str, Mapping[str, Any]] = {}
    for name in goal:
        copies = [one for one in there if one["name"] == called(stack, name) and one["id"] not in retained]
        if len(copies) == 1:
            mine[name] = copies[0]
        else:
            found.append(f"{name}: expected one copy, found {[one['id'] for one in copies]}")
    names = {called(stack, name) for name in goal}
    found += [f"{one['name']}: is not part of the goal, and there: {one['id']} {one['status']}"
              for one in there if one["name"] not in names and one["id"] not in retained]
    facts = {
        name: Facts(one["id"], {"name": one["name"], "status": one["status"], "properties": one["properties"]})
        for name, one in mine.items()
    }
    for name, one in mine.items():
        found += _of_one(goal, name, stack, one, facts)
    return found


def _of_one(
    goal: Goal, name: str, stack: str, real: Mapping[str, Any], facts: Mapping[str, Facts]
) -> list[str]:
    found = [] if real["status"] == "ACTIVE" else [f"{name}: {real['id']} is {real['status']}"]
    try:
        wanted = resolve({"name": called(stack, name), **goal[name].properties}, name, {}, facts)
    except InvalidInput as error:
        return [*found, f"{name}: {error.message}"]
    has = real["properties"] or {}
    return found + [
        f"{name}.{key}: expected {wanted.get(key, 'nothing')!r}, found {has.get(key, 'nothing')!r}"
        for key in sorted({*wanted, *has}) if wanted.get(key) != has.get(key)
    ]
