"""The public API as an OpenAPI 3.1 document, written from the table of its routes."""
from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import obsvc
from obsvc.api.operations import Operation, Route
from obsvc.api.schemas.queries import INTEGER_SCHEMA, PARAMETERS, TEXT_SCHEMA
from obsvc.web import openapi

#: Headers of requests: what each is, and its schema.
HEADERS: dict[str, tuple[str, dict[str, Any]]] = {
    "If-None-Match": ("ETags of what the caller has: 304 where it is still so.", {"type": "string"}),
    "Last-Event-ID": ("The id of the last event that came: as `since`, and before it.  Empty: none came.",
                      {"type": "string", "pattern": "^[0-9]{0,18}$"}),
}

#: Path parameters that are not free text.
_PATH = {"partition": INTEGER_SCHEMA, "letter": INTEGER_SCHEMA}

_GUARDED = (400, 401, 403, 429, 500, 503)

SECURITY = {
    "keystone": {"type": "apiKey", "in": "header", "name": "X-Auth-Token",
                 "description": "A Keystone token (auth_strategy = keystone)."},
    "basic": {"type": "http", "scheme": "basic", "description": "A user of the htpasswd file (http_basic)."},
}


def document(routes: Sequence[Route], types: Collection[str] | None = None) -> bytes:
    """The document as JSON text.  types: resource types that can be observed; None: any text."""
    schemas = openapi.Schemas(_kinds(routes))
    if types:
        for name in ("StartBody", "SelectorBody"):
            schemas.components[name]["properties"]["resource_type"] = {"type": "string", "enum": sorted(types)}
    paths: dict[str, Any] = {}
    for route in routes:
        item = paths.setdefault(route.path, {})
        for operation in route.operations:
            item[operation.method.lower()] = _operation(route, operation, schemas)
    return openapi.document(
        "obsvc", obsvc.__version__, "Watch the resources of an OpenStack cloud: their actual state, waits and changes.",
        paths, schemas, SECURITY)


def _kinds(routes: Iterable[Route]) -> Iterable[Any]:
    """Every type that an operation takes or answers."""
    for route in routes:
        for operation in route.operations:
            yield from openapi.alternatives(operation.reply)
            yield from openapi.alternatives(operation.body)
            yield from (kind for _, kind in operation.events)


def _operation(route: Route, operation: Operation, schemas: openapi.Schemas) -> dict[str, Any]:
    errors = (*(_GUARDED if operation.rule else (400, 500)), *operation.raises, *((413,) if operation.body else ()))
    content = schemas.content(operation.reply) if operation.reply is not None else None
    if operation.events:
        content = schemas.events(dict(operation.events))
    described: dict[str, Any] = {
        "operationId": f"{operation.method.lower()}{re.sub(r'[^a-z0-9]+', '_', route.path)}".strip("_"),
        "summary": operation.summary, "parameters": _parameters(route, operation),
        "responses": openapi.responses(schemas, operation.status, content, errors),
    }
    if operation.conditional:
        described["responses"]["304"] = openapi.not_modified()
    if doc := inspect.getdoc(getattr(route.resource, route.responder(operation.method))):
        described["description"] = doc
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": schemas.content(operation.body)}
    if operation.rule is None:
        described["security"] = []
    else:
        described["x-policy"] = f"obsvc:{operation.rule}"
    return described


def _parameters(route: Route, operation: Operation) -> list[dict[str, Any]]:
    """The parameters of the path, the query and the headers."""
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": _PATH.get(name, TEXT_SCHEMA)}
        for name in re.findall(r"\{(\w+)\}", route.path)]
    for name in operation.query.__struct_fields__ if operation.query is not None else ():
        parameter = PARAMETERS[name]
        parameters.append(
            {"name": name, "in": "query", "description": parameter.description, "schema": parameter.schema})
    for name in (*operation.headers, *(("If-None-Match",) if operation.conditional else ())):
        text, schema = HEADERS[name]
        parameters.append({"name": name, "in": "header", "description": text, "schema": schema})
    return parameters
