"""HOT templates: text → checked :class:`Template` → values, with nothing half taken.

A template is refused whole, before anything is written, with the place in it and the remedy
(``resources.port1.properties.network: …``).  Pure: no database, no clock, no import of a plugin.

Source of the format: Heat Orchestration Template specification
(https://docs.openstack.org/heat/latest/template_guide/hot_spec.html).  What is taken of it stands in
``docs/templates.md``; whatever else a template has is refused, never passed over.
"""
from __future__ import annotations

import enum
import importlib.metadata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from obsvc.engine.templates.functions import FUNCTIONS, Call, Facts, Place, Resolver, calls, refuse
from obsvc.engine.templates.graph import Graph
from obsvc.engine.templates.parameters import Parameter, bind, parse_parameter
from obsvc.engine.templates.text import load

__all__ = [
    "ANY_TYPE", "FUNCTIONS", "DeletionPolicy", "Facts", "Output", "Parameter", "Resource", "Template",
    "bind_parameters", "known_types", "parse", "resolve",
]

#: The entry point group whose names are the resource types that workers can make.
PLUGIN_GROUP = "obsvc.worker.plugins"

#: Parameters that every template has.
PSEUDO_PARAMETERS = ("OS::stack_name", "OS::stack_id", "OS::project_id")

_SECTIONS = ("heat_template_version", "description", "parameters", "parameter_groups", "resources", "outputs")
_RESOURCE_KEYS = ("type", "properties", "depends_on", "deletion_policy", "metadata")
_OUTPUT_KEYS = ("value", "description")


class DeletionPolicy(enum.StrEnum):
    """What becomes of a resource that the goal, or the whole stack, has no use for any more."""

    DELETE = "Delete"
    RETAIN = "Retain"  #: it stays in the cloud, and is nobody's


@dataclass(frozen=True)
class Resource:
    """One resource as the template has it; requires: names that must be complete before it, implied or said."""

    name: str
    type: str
    properties: dict[str, Any]
    requires: tuple[str, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    deletion_policy: DeletionPolicy = DeletionPolicy.DELETE

    @property
    def retain(self) -> bool:
        return self.deletion_policy is DeletionPolicy.RETAIN


@dataclass(frozen=True)
class Output:
    name: str
    value: Any
    description: str = ""


@dataclass(frozen=True)
class Template:
    """A template that was taken whole: every reference in it exists and its graph has no cycle."""

    version: str
    description: str
    parameters: dict[str, Parameter]
    resources: dict[str, Resource]
    outputs: dict[str, Output]

    @property
    def graph(self) -> Graph:
        return Graph({name: resource.requires for name, resource in self.resources.items()})


class _AnyType(frozenset[str]):
    """Every type: what was taken once is not refused on reading."""

    def __contains__(self, item: object) -> bool:
        return True


ANY_TYPE: frozenset[str] = _AnyType()


def known_types() -> frozenset[str]:
    """The resource types that installed plugins make, by the names of their entry points (none is imported)."""
    return frozenset(point.name for point in importlib.metadata.entry_points(group=PLUGIN_GROUP))


def parse(text: str, *, types: Collection[str]) -> Template:
    """Read a template (YAML or JSON).

    types: the resource types that may be used.  Raises InvalidInput with the place in the template and the remedy.
    """
    raw = load(text)
    _only_keys(raw, _SECTIONS, "template")
    version = raw.get("heat_template_version")
    if not isinstance(version, str | int) or isinstance(version, bool):
        refuse("heat_template_version", f"expected a version, got {version!r}: add heat_template_version: 2018-08-31")
    parameters = {
        name: parse_parameter(name, body) for name, body in _mapping(raw.get("parameters"), "parameters").items()
    }
    bodies = _mapping(raw.get("resources"), "resources")
    if not bodies:
        refuse("resources", "expected at least one resource, found none: add one, a stack without any has no goal")
    scope = _Scope(frozenset(parameters) | frozenset(PSEUDO_PARAMETERS), frozenset(bodies))
    resources = {name: _resource(name, body, scope, types) for name, body in bodies.items()}
    outputs = {
        name: _output(name, body, scope) for name, body in _mapping(raw.get("outputs"), "outputs").items()
    }
    template = Template(
        str(version), str(raw.get("description") or ""), parameters, resources, outputs
    )
    cycle = template.graph.cycle()
    if cycle is not None:
        refuse(
            f"resources.{cycle[0]}",
            f"requires itself by {' -> '.join(cycle)}: take one of these references or depends_on entries out",
        )
    return template


def bind_parameters(template: Template, given: Mapping[str, Any]) -> dict[str, Any]:
    """The value of every parameter, defaults applied; InvalidInput for a missing, unknown or wrong one.

    What can be worked out from parameters alone is worked out once here, so that a path into one that leads nowhere
    is refused now and not when half of the resources are made.
    """
    values = bind(template.parameters, given)
    resolver = Resolver({**dict.fromkeys(PSEUDO_PARAMETERS, ""), **values}, {})
    for name, resource in template.resources.items():
        resolver.try_out(resource.properties, Place(f"resources.{name}.properties"))
    for name, output in template.outputs.items():
        resolver.try_out(output.value, Place(f"outputs.{name}.value"))
    return values


def resolve(value: Any, place: str, parameters: Mapping[str, Any], facts: Mapping[str, Facts]) -> Any:
    """``value`` with its functions carried out.

    parameters: as :func:`bind_parameters` gave them, pseudo parameters added.
    facts: what is known of each resource by name.  Raises InvalidInput where an attribute does not exist.
    """
    return Resolver(parameters, facts).resolve(value, Place(place))


@dataclass(frozen=True)
class _Scope:
    """The names that functions may refer to."""

    parameters: frozenset[str]
    resources: frozenset[str]

    def check(self, call: Call) -> str | None:
        """The resource that the call refers to, if any; InvalidInput where what it refers to does not exist."""
        if call.parameter is not None and call.parameter not in self.parameters:
            refuse(call.place, f"expected a parameter of the template, got {call.parameter!r}: "
                               f"{_choice(self.parameters, 'add it to parameters')}")
        if call.resource is not None and call.resource not in self.resources:
            refuse(call.place, f"expected a resource of the template, got {call.resource!r}: {_choice(self.resources)}")
        return call.resource


def _resource(name: str, body: Any, scope: _Scope, types: Collection[str]) -> Resource:
    place = f"resources.{name[:255]}"
    if not name or len(name) > 255 or "/" in name:
        refuse(place, "expected a name of 1 to 255 characters without '/': rename the resource")
    body = _mapping(body, place, empty=False)
    _only_keys(body, _RESOURCE_KEYS, place)
    kind = body.get("type")
    if not isinstance(kind, str):
        refuse(f"{place}.type", f"expected a resource type, got {kind!r}: {_choice(types)}")
    if kind not in types:
        refuse(f"{place}.type", f"no worker plugin makes {kind!r}: "
                                f"{_choice(types, f'install a plugin for it (entry point group {PLUGIN_GROUP})')}")
    properties = _mapping(body.get("properties"), f"{place}.properties")
    metadata = _mapping(body.get("metadata"), f"{place}.metadata")
    requires = list(_depends_on(body.get("depends_on"), f"{place}.depends_on", scope))
    for call in [*calls(properties, Place(f"{place}.properties")), *calls(metadata, Place(f"{place}.metadata"))]:
        wanted = scope.check(call)
        if wanted is not None:
            requires.append(wanted)
    policy = _deletion_policy(body.get("deletion_policy"), f"{place}.deletion_policy")
    return Resource(name, kind, properties, tuple(dict.fromkeys(requires)), metadata, policy)


def _deletion_policy(value: Any, place: str) -> DeletionPolicy:
    if value is None:
        return DeletionPolicy.DELETE
    spelt = {spelling: policy for policy in DeletionPolicy for spelling in (policy.value, policy.lower())}
    if not isinstance(value, str) or value not in spelt:
        refuse(place, f"expected a policy, got {value!r}: use one of {', '.join(DeletionPolicy)}")
    return spelt[value]


def _depends_on(value: Any, place: str, scope: _Scope) -> Iterator[str]:
    names = [value] if isinstance(value, str) else value or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        refuse(place, f"expected a resource name or a list of them, got {value!r}: write it so")
    for name in names:
        if name not in scope.resources:
            refuse(place, f"expected a resource of the template, got {name!r}: {_choice(scope.resources)}")
        yield name


def _output(name: str, body: Any, scope: _Scope) -> Output:
    place = f"outputs.{name}"
    body = _mapping(body, place, empty=False)
    _only_keys(body, _OUTPUT_KEYS, place)
    if "value" not in body:
        refuse(f"{place}.value", "expected this key, found none: say what the output shows")
    for call in calls(body["value"], Place(f"{place}.value")):
        scope.check(call)
    return Output(name, body["value"], str(body.get("description") or ""))


def _mapping(value: Any, place: str, *, empty: bool = True) -> dict[str, Any]:
    if value is None and empty:
        return {}
    if not isinstance(value, dict):
        refuse(place, f"expected a mapping of names to values, got {type(value).__name__}: check the indentation")
    return value


def _only_keys(body: Mapping[str, Any], known: Collection[str], place: str) -> None:
    for key in body:
        if key not in known:
            refuse(place, f"unknown section {key!r}: obsvc takes {', '.join(known)}; take it out")


def _choice(names: Collection[str], otherwise: str = "") -> str:
    """The remedy: one of these names or, where there is another way or none of them, ``otherwise``."""
    if not names:
        return otherwise or "there is none to choose from"
    shown = sorted(names)
    more = f" and {len(shown) - 12} more" if len(shown) > 12 else ""
    return f"use one of {', '.join(shown[:12])}{more}{f', or {otherwise}' if otherwise else ''}"
