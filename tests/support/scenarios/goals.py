"""Goals as scripts write them: ``{"net": node(size=1), "port": node(network=ref("net"))}``; their templates."""
from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Node:
    """One resource of a goal."""

    depends_on: tuple[str, ...] = ()
    retain: bool = False
    properties: dict[str, Any] = field(default_factory=dict)
    type: str = "Sim::Resource"


Goal = dict[str, Node]


def node(*depends_on: str, retain: bool = False, **properties: Any) -> Node:
    """A resource with these properties; ``fixed`` is the one that can't be changed in place."""
    spelt = {"!fixed" if name == "fixed" else name: value for name, value in properties.items()}
    return Node(depends_on, retain, spelt)


def ref(name: str) -> dict[str, Any]:
    """Its id."""
    return {"get_resource": name}


def attr(name: str, of: str) -> dict[str, Any]:
    """A property of it, as the cloud shows it."""
    return {"get_attr": [name, "properties", "!fixed" if of == "fixed" else of]}


def without(goal: Goal, *names: str) -> Goal:
    """The goal less these."""
    return {name: one for name, one in goal.items() if name not in names}


def chain(length: int, **properties: Any) -> Goal:
    """``n0 ← n1 ← …``, each with the id of the one before."""
    first = {"n0": node(**properties)}
    return first | {f"n{at}": node(before=ref(f"n{at - 1}")) for at in range(1, length)}


def fan(width: int, **properties: Any) -> Goal:
    """``hub`` and many that refer to it."""
    return {"hub": node(**properties)} | {f"leaf{at}": node(hub=ref("hub")) for at in range(width)}


def called(stack: str, name: str) -> str:
    """What the cloud calls the resource: a property of the goal, so that no engine is asked which one it is."""
    return f"{stack}.{name}"


def template_of(goal: Goal, stack: str) -> str:
    """The goal as a HOT template."""
    resources = {}
    for name, one in goal.items():
        body: dict[str, Any] = {
            "type": one.type, "properties": {"name": called(stack, name), **one.properties}}
        if one.depends_on:
            body["depends_on"] = list(one.depends_on)
        if one.retain:
            body["deletion_policy"] = "Retain"
        resources[name] = body
    outputs = {"ids": {"value": [ref(name) for name in goal]}}
    return json.dumps({"heat_template_version": "2018-08-31", "resources": resources, "outputs": outputs})
