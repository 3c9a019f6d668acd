"""Every route of the public API, in one place: what it is called with, answers, and which policy rule guards it.

``add_routes`` makes the application's routes of this table and refuses one that does not fit its resource class; the
OpenAPI document is written from it, and the tenancy matrix of the tests must name each of its operations.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import falcon

from obsvc.api.context import Api
from obsvc.api.resources import changes, cluster, dead_letters, observations, refs, selectors, stacks, versions
from obsvc.api.schemas import requests
from obsvc.api.schemas.answers import (
    Check,
    DeadLetter,
    DeadLetters,
    Drained,
    Duties,
    Events,
    Members,
    Nodes,
    Observations,
    Partitions,
    Replayed,
    Resources,
    Selectors,
    StackPlan,
    Stacks,
    StartedMany,
    StoppedMany,
    Versions,
)
from obsvc.api.streaming import sse
from obsvc.client import types


@dataclass(frozen=True)
class Operation:
    """One method of a route.  Its description is its responder's docstring.

    rule: the policy rule without ``obsvc:``; None: open to everybody.  query: parameters, each described in
    ``obsvc.api.openapi.PARAMETERS``.  body, reply: types as JSON has them; None: none; a tuple: one of those; ``Any``:
    any.  raises: statuses beside those that every operation may answer.  headers: of the request, as ``query``.
    events: names and types where the reply is a stream of server-sent events.  conditional: answered with an ETag.
    """

    method: str
    summary: str
    rule: str | None
    reply: Any = None
    status: int = 200
    query: tuple[str, ...] = ()
    body: Any = None
    raises: tuple[int, ...] = ()
    headers: tuple[str, ...] = ()
    events: tuple[tuple[str, Any], ...] = ()
    conditional: bool = False


@dataclass(frozen=True)
class Route:
    """A path, the class that answers it, and its operations.  suffix: of its responders, as falcon has it."""

    path: str
    resource: Callable[[Api], Any]
    operations: tuple[Operation, ...]
    suffix: str | None = None


def _turn(turn: str, summary: str, body: Any = None) -> Route:
    return Route(f"/v1/stacks/{{stack}}/{turn}", stacks.StackByName, (
        Operation("POST", summary, "stack:update", types.Stack, 202, body=body, raises=(404, 409)),), turn)


ROUTES: tuple[Route, ...] = (
    Route("/", versions.Versions, (Operation("GET", "Which versions there are", None, Versions),)),
    Route("/v1", versions.Versions, (Operation("GET", "Which versions there are", None, Versions),)),
    Route("/v1/openapi.json", versions.Description, (Operation("GET", "This document", None, Any),)),
    Route("/v1/observations", observations.Observations, (
        Operation("GET", "List observations", "observation:read", Observations, query=(
            "resource_type", "resource_id", "region", "stack_id", "project_id", "label", "condition", "member",
            "marker", "limit")),
        Operation("POST", "Start observing", "observation:start", (types.Observation, Observations), 201,
                  body=(requests.StartBody, requests.StartManyBody, requests.StartList, requests.StartStackBody),
                  raises=(404,)),
    )),
    Route("/v1/observations/start", observations.Observations, (
        Operation("POST", "Start observing many, each by itself", "observation:start", StartedMany,
                  body=requests.StartEachBody),
    ), "start"),
    Route("/v1/observations/stop", observations.Observations, (
        Operation("POST", "Stop observing many, each by itself", "observation:stop", StoppedMany,
                  body=requests.StopManyBody),
    ), "stop"),
    Route("/v1/observations/{observation_id}", observations.ObservationById, (
        Operation("GET", "Show an observation", "observation:read", types.Observation, raises=(404,),
                  conditional=True),
        Operation("DELETE", "Stop observing", "observation:stop", None, 204, raises=(404,)),
    )),
    Route("/v1/observations/{observation_id}/wait", observations.ObservationWait, (
        Operation("GET", "Wait for an observation's goal", "observation:read", types.Waited,
                  query=("timeout", "since"), raises=(404,)),
    )),
    Route("/v1/selectors", selectors.Selectors, (
        Operation("GET", "List selectors", "selector:read", Selectors, query=(
            "resource_type", "region", "project_id", "marker", "limit")),
        Operation("POST", "Observe all of a type in a project", "selector:start", types.Selector, 201,
                  body=requests.SelectorBody, raises=(409,)),
    )),
    Route("/v1/selectors/{selector_id}", selectors.Selectors, (
        Operation("GET", "Show a selector", "selector:read", types.Selector, raises=(404,), conditional=True),
        Operation("DELETE", "Stop a selector", "selector:stop", None, 204, raises=(404,)),
    ), "one"),
    Route("/v1/resources", refs.Resources, (
        Operation("GET", "List resources as they were last seen", "resource:read", Resources, query=(
            "resource_type", "resource_id", "region", "condition", "stack_id", "project_id", "label", "since",
            "marker", "limit")),
    )),
    Route("/v1/resources/{resource_type}/{resource_id}", refs.ResourceByRef, (
        Operation("GET", "Read a resource's actual state, or wait for it", "resource:read", types.Resource,
                  query=("region", "wait", "since", "until", "trail"), raises=(404, 409), conditional=True),
    )),
    Route("/v1/resources/{resource_type}/{resource_id}/check", refs.ResourceByRef, (
        Operation("POST", "Have a resource looked at now", "resource:check", Check, 202, query=("region",),
                  raises=(404, 409)),
    ), "check"),
    Route("/v1/resources/{resource_type}/{resource_id}/owner", refs.ResourceByRef, (
        Operation("GET", "Who owns a resource, and why", "resource:owner", types.Owner, query=("region",)),
    ), "owner"),
    Route("/v1/changes", changes.Changes, (
        Operation("GET", "Changes after a version", "changes:read", types.Changes, query=(
            "since", "wait", "limit", "resource_type", "resource_id", "region", "stack_id", "project_id",
            "label"), raises=(410,)),
    )),
    Route("/v1/watch", changes.Watch, (
        Operation("GET", "Changes as they come", "changes:read", query=(
            "since", "timeout", "heartbeat", "resource_type", "resource_id", "region", "stack_id", "project_id",
            "label"), raises=(410,), headers=("Last-Event-ID",), events=sse.EVENTS),
    )),
    Route("/v1/stacks", stacks.Stacks, (
        Operation("GET", "List stacks", "stack:read", Stacks, query=("project_id", "marker", "limit")),
        Operation("POST", "Create a stack", "stack:create", types.Stack, 201, body=requests.StackBody, raises=(409,)),
    )),
    Route("/v1/stacks/{stack}", stacks.StackByName, (
        Operation("GET", "Show a stack, or wait for it", "stack:read", types.Stack, query=("wait",), raises=(404, 409)),
        Operation("PUT", "Give a stack another goal", "stack:update", types.Stack, 202, body=requests.StackGoalBody,
                  raises=(404, 409)),
        Operation("DELETE", "Delete a stack", "stack:delete", types.Stack, 202, raises=(404, 409)),
    )),
    Route("/v1/stacks/{stack}/resources", stacks.StackByName, (
        Operation("GET", "The resources of a stack", "stack:read", Nodes, raises=(404, 409)),
    ), "resources"),
    Route("/v1/stacks/{stack}/events", stacks.StackByName, (
        Operation("GET", "What happened to a stack", "stack:read", Events, query=("after", "wait", "limit"),
                  raises=(404, 409)),
    ), "events"),
    Route("/v1/stacks/{stack}/preview", stacks.StackByName, (
        Operation("POST", "What another goal would change", "stack:preview", StackPlan, body=requests.StackGoalBody,
                  raises=(404, 409)),
    ), "preview"),
    _turn("rollback", "Take a stack back to the last goal that was reached"),
    _turn("cancel", "Stop what a stack has in progress", requests.StackCancelBody),
    _turn("resume", "Go on with what has failed in a stack"),
    Route("/v1/status", cluster.ClusterStatus, (
        Operation("GET", "How the cluster stands", "cluster:read", types.Status),)),
    Route("/v1/members", cluster.Members, (Operation("GET", "List members", "cluster:read", Members),)),
    Route("/v1/members/{name}/drain", cluster.Members, (
        Operation("PUT", "Have a member hand over what it owns", "member:drain", Drained, raises=(404,)),
        Operation("DELETE", "Have a member take part again", "member:drain", Drained, raises=(404,)),
    ), "drain"),
    Route("/v1/partitions", cluster.Partitions, (
        Operation("GET", "List partitions", "cluster:read", Partitions, query=("owner", "differs")),
    )),
    Route("/v1/partitions/{partition}", cluster.Partitions, (
        Operation("GET", "Show a partition", "cluster:read", types.Partition, raises=(404,)),
    ), "one"),
    Route("/v1/duties", cluster.Duties, (Operation("GET", "List duties", "cluster:read", Duties),)),
    Route("/v1/dead-letters", dead_letters.DeadLetters, (
        Operation("GET", "List messages that could not be read", "dead_letter:read", DeadLetters,
                  query=("limit", "before")),
    )),
    Route("/v1/dead-letters/{letter}", dead_letters.DeadLetters, (
        Operation("GET", "Show a message that could not be read", "dead_letter:read", DeadLetter, raises=(404,)),
    ), "one"),
    Route("/v1/dead-letters/{letter}/replay", dead_letters.DeadLetters, (
        Operation("POST", "Read a message again", "dead_letter:replay", Replayed, 202, raises=(404, 409)),
    ), "replay"),
)

#: Paths without identity: they say nothing about anyone's resources.
OPEN = frozenset({route.path for route in ROUTES if all(each.rule is None for each in route.operations)}
                 | {"/healthz", "/readyz", "/metrics"})


def add_routes(app: falcon.App, api: Api) -> None:
    """Make every route of the table; ValueError for one whose operations are not those of its class."""
    made: dict[Any, Any] = {}
    for route in ROUTES:
        resource = made.setdefault(route.resource, None) or route.resource(api)
        made[route.resource] = resource
        found = responders(resource, route.suffix)
        declared = {operation.method for operation in route.operations}
        if found != declared:
            raise ValueError(f"{route.path}: expected {sorted(declared)} as in ROUTES, its class has {sorted(found)}")
        app.add_route(route.path, resource, **({"suffix": route.suffix} if route.suffix else {}))


def responders(resource: Any, suffix: str | None) -> set[str]:
    """The methods that ``resource`` answers under ``suffix``."""
    end = f"_{suffix}" if suffix else ""
    return {method for method in falcon.HTTP_METHODS if hasattr(resource, f"on_{method.lower()}{end}")}
