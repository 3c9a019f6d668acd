"""The gate in front of every responder: authorizes a request, then reads its query and its body, as the table says.

A responder is given those of ``caller``, ``query`` and ``body`` that its signature names.  What a caller sees is
decided in this order: who asks (401, 429), whether the path and the method exist (404, 405), whether the policy lets
the caller (403), the query and then the body (400, 413), and only then what the responder finds.
"""
from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import falcon

from obsvc.api.access.policy import Policy
from obsvc.api.caller import Caller
from obsvc.api.operations import Operation, Route
from obsvc.api.schemas.bodies import read_as, read_json
from obsvc.api.schemas.queries import read_query

#: What a responder may ask for by naming it.
_GIVEN = frozenset({"caller", "query", "body"})


@dataclass(frozen=True)
class _Guarded:
    operation: Operation
    wanted: frozenset[str]


class Guard:
    """falcon middleware, behind the one that finds out who asks.

    Raises ValueError for a route whose responder does not name the query or the body that the table says it takes, or
    names one that it does not take.
    """

    def __init__(self, policy: Policy, routes: Iterable[Route]) -> None:
        self._policy = policy
        self._guarded = {
            (route.path, operation.method): _Guarded(operation, _wanted(route, operation))
            for route in routes for operation in route.operations if operation.rule is not None}

    def process_resource(
        self, req: falcon.Request, resp: falcon.Response, resource: object, params: dict[str, Any]
    ) -> None:
        guarded = self._guarded.get((req.uri_template or "", req.method))
        if guarded is None or guarded.operation.rule is None:  # open to everybody, or no such method
            return
        operation = guarded.operation
        caller: Caller = req.context.caller
        self._policy.authorize(caller, guarded.operation.rule)
        given: dict[str, object] = {"caller": caller, "query": read_query(req, operation.query)}
        if operation.body is not None:
            given["body"] = read_json(req)
            if not isinstance(operation.body, tuple):  # which of several it is, the responder decides
                given["body"] = read_as(given["body"], operation.body)
        params.update((name, given[name]) for name in guarded.wanted)


def _wanted(route: Route, operation: Operation) -> frozenset[str]:
    """What the responder asks for."""
    responder = getattr(route.resource, route.responder(operation.method))
    wanted = _GIVEN.intersection(inspect.signature(responder).parameters)
    declared = {name for name, kind in (("query", operation.query), ("body", operation.body)) if kind is not None}
    if wanted - {"caller"} != declared:
        raise ValueError(f"{operation.method} {route.path}: expected a responder with the parameters "
                         f"{sorted(declared)} as in ROUTES, it has {sorted(wanted - {'caller'})}")
    return wanted
