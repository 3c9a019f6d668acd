"""Every route of the public API, in one place: what it takes and answers, and which policy rule guards it.

``add_routes`` makes the application's routes of this table and refuses one that does not fit its resource class;
``access.guard`` authorizes requests and reads their queries and bodies by it; the policy's documented operations and
the OpenAPI document are derived from it; and the tenancy matrix of the tests must name each of its operations.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import falcon

from obsvc import api_types as types
from obsvc.api import openapi
from obsvc.api.context import Api
from obsvc.api.operations import Operation, Route
from obsvc.api.resources import changes, cluster, dead_letters, observations, refs, selectors, stacks, versions
from obsvc.api.schemas import bodies, queries
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


class Description:
    """This table as an OpenAPI document."""

    def __init__(self, api: Api) -> None:
        self._types = api.types

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """This API as an OpenAPI 3.1 document, written from the table of its routes."""
        resp.content_type = falcon.MEDIA_JSON
        resp.data = openapi.document(ROUTES, self._types)


def _stack_action(action: str, summary: str, body: Any = None) -> Route:
    """What changes the course of a stack without a new goal."""
    return Route(f"/v1/stacks/{{stack}}/{action}", stacks.StackByName, (
        Operation("POST", summary, "stack:update", types.Stack, 202, body=body, raises=(404, 409)),), action)


ROUTES: tuple[Route, ...] = (
    Route("/", versions.Versions, (Operation("GET", "Which versions there are", None, Versions),)),
    Route("/v1", versions.Versions, (Operation("GET", "Which versions there are", None, Versions),)),
    Route("/v1/openapi.json", Description, (Operation("GET", "This document", None, Any),)),
    Route("/v1/observations", observations.Observations, (
        Operation("GET", "List observations", "observation:read", Observations, query=queries.ObservationsQuery),
        Operation("POST", "Start observing", "observation:start", (types.Observation, Observations), 201,
                  body=(bodies.StartBody, bodies.StartManyBody, bodies.StartList, bodies.StartStackBody),
                  raises=(404,)),
    )),
    Route("/v1/observations/start", observations.Observations, (
        Operation("POST", "Start observing many, each by itself", "observation:start", StartedMany,
                  body=bodies.StartEachBody),
    ), "start"),
    Route("/v1/observations/{observation_id}", observations.ObservationById, (
        Operation("GET", "Show an observation", "observation:read", types.Observation, raises=(404,),
                  conditional=True),
        Operation("DELETE", "Stop observing", "observation:stop", None, 204, raises=(404,)),
    )),
    Route("/v1/observations/stop", observations.Observations, (
        Operation("POST", "Stop observing many, each by itself", "observation:stop", StoppedMany,
                  body=bodies.StopManyBody),
    ), "stop"),
    Route("/v1/observations/{observation_id}/wait", observations.ObservationWait, (
        Operation("GET", "Wait for an observation's goal", "observation:read", types.Waited,
                  query=queries.ObservationWaitQuery, raises=(404,)),
    )),
    Route("/v1/selectors", selectors.Selectors, (
        Operation("GET", "List selectors", "selector:read", Selectors, query=queries.SelectorsQuery),
        Operation("POST", "Observe all of a type in a project", "selector:start", types.Selector, 201,
                  body=bodies.SelectorBody, raises=(409,)),
    )),
    Route("/v1/selectors/{selector_id}", selectors.Selectors, (
        Operation("GET", "Show a selector", "selector:read", types.Selector, raises=(404,), conditional=True),
        Operation("DELETE", "Stop a selector", "selector:stop", None, 204, raises=(404,)),
    ), "one"),
    Route("/v1/resources", refs.Resources, (
        Operation("GET", "List resources as they were last seen", "resource:read", Resources,
                  query=queries.ResourcesQuery),
    )),
    Route("/v1/resources/{resource_type}/{resource_id}", refs.ResourceByRef, (
        Operation("GET", "Read a resource's actual state, or wait for it", "resource:read", types.Resource,
                  query=queries.ResourceQuery, raises=(404, 409), conditional=True),
    )),
    Route("/v1/resources/{resource_type}/{resource_id}/check", refs.ResourceByRef, (
        Operation("POST", "Have a resource looked at now", "resource:check", Check, 202, query=queries.RegionQuery,
                  raises=(404, 409)),
    ), "check"),
    Route("/v1/resources/{resource_type}/{resource_id}/owner", refs.ResourceByRef, (
        Operation("GET", "Who owns a resource, and why", "resource:owner", types.Owner, query=queries.RegionQuery),
    ), "owner"),
    Route("/v1/changes", changes.Changes, (
        Operation("GET", "Changes after a version", "changes:read", types.Changes,
                  query=queries.ChangesQuery, raises=(410,)),
    )),
    Route("/v1/watch", changes.Watch, (
        Operation("GET", "Changes as they come", "changes:read", query=queries.WatchQuery,
                  raises=(410,), headers=("Last-Event-ID",), events=sse.EVENTS),
    )),
    Route("/v1/stacks", stacks.Stacks, (
        Operation("GET", "List stacks", "stack:read", Stacks, query=queries.StacksQuery),
        Operation("POST", "Create a stack", "stack:create", types.Stack, 201, body=bodies.StackBody, raises=(409,)),
    )),
    Route("/v1/stacks/{stack}", stacks.StackByName, (
        Operation("GET", "Show a stack, or wait for it", "stack:read", types.Stack, query=queries.StackQuery,
                  raises=(404, 409)),
        Operation("PUT", "Give a stack another goal", "stack:update", types.Stack, 202, body=bodies.StackGoalBody,
                  raises=(404, 409)),
        Operation("DELETE", "Delete a stack", "stack:delete", types.Stack, 202, raises=(404, 409)),
    )),
    Route("/v1/stacks/{stack}/resources", stacks.StackByName, (
        Operation("GET", "The resources of a stack", "stack:read", Nodes, raises=(404, 409)),
    ), "resources"),
    Route("/v1/stacks/{stack}/events", stacks.StackByName, (
        Operation("GET", "What happened to a stack", "stack:read", Events, query=queries.StackEventsQuery,
                  raises=(404, 409)),
    ), "events"),
    Route("/v1/stacks/{stack}/preview", stacks.StackByName, (
        Operation("POST", "What another goal would change", "stack:preview", StackPlan, body=bodies.StackGoalBody,
                  raises=(404, 409)),
    ), "preview"),
    _stack_action("rollback", "Take a stack back to the last goal that was reached"),
    _stack_action("cancel", "Stop what a stack has in progress", bodies.StackCancelBody),
    _stack_action("resume", "Go on with what has failed in a stack"),
    Route("/v1/status", cluster.ClusterStatus, (
        Operation("GET", "How the cluster stands", "cluster:read", types.Status),)),
    Route("/v1/members", cluster.Members, (Operation("GET", "List members", "cluster:read", Members),)),
    Route("/v1/members/{name}/drain", cluster.Members, (
        Operation("PUT", "Have a member hand over what it owns", "member:drain", Drained, raises=(404,)),
        Operation("DELETE", "Have a member take part again", "member:drain", Drained, raises=(404,)),
    ), "drain"),
    Route("/v1/partitions", cluster.Partitions, (
        Operation("GET", "List partitions", "cluster:read", Partitions, query=queries.PartitionsQuery),
    )),
    Route("/v1/partitions/{partition}", cluster.Partitions, (
        Operation("GET", "Show a partition", "cluster:read", types.Partition, raises=(404,)),
    ), "one"),
    Route("/v1/duties", cluster.Duties, (Operation("GET", "List duties", "cluster:read", Duties),)),
    Route("/v1/dead-letters", dead_letters.DeadLetters, (
        Operation("GET", "List messages that could not be read", "dead_letter:read", DeadLetters,
                  query=queries.DeadLettersQuery),
    )),
    Route("/v1/dead-letters/{letter}", dead_letters.DeadLetters, (
        Operation("GET", "Show a message that could not be read", "dead_letter:read", DeadLetter, raises=(404,)),
    ), "one"),
    Route("/v1/dead-letters/{letter}/replay", dead_letters.DeadLetters, (
        Operation("POST", "Read a message again", "dead_letter:replay", Replayed, 202, raises=(404, 409)),
    ), "replay"),
)

#: Paths without identity: they say nothing about anyone's resources.
OPEN = frozenset({route.path for route in ROUTES if all(operation.rule is None for operation in route.operations)}
                 | {"/healthz", "/readyz", "/metrics"})


def add_routes(app: falcon.App[falcon.Request, falcon.Response], api: Api) -> None:
    """Make every route of the table; ValueError for one whose operations are not those of its class."""
    resources: dict[Callable[[Api], object], object] = {}
    for route in ROUTES:
        if route.resource not in resources:
            resources[route.resource] = route.resource(api)
        resource = resources[route.resource]
        responders = {method for method in falcon.HTTP_METHODS if hasattr(resource, route.responder(method))}
        declared = {operation.method for operation in route.operations}
        if responders != declared:
            raise ValueError(
                f"{route.path}: expected {sorted(declared)} as in ROUTES, its class has {sorted(responders)}")
        app.add_route(route.path, resource, **({"suffix": route.suffix} if route.suffix else {}))
