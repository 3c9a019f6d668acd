"""The public API as an OpenAPI 3.1 document, written from ``obsvc.api.routes.ROUTES``."""
from __future__ import annotations

import inspect
import re
from collections.abc import Collection
from typing import Any

import obsvc
from obsvc.api.routes import ROUTES, Operation, Route
from obsvc.api.schemas.requests import WHOLE_MAX
from obsvc.model import Condition
from obsvc.web import openapi

_TEXT = {"type": "string", "minLength": 1}
_WHOLE = {"type": "integer", "minimum": 0, "maximum": WHOLE_MAX}
_SECONDS = {"type": "number", "minimum": 0}
_CONDITION = {"type": "string", "enum": [each.value for each in Condition]}

#: Every query parameter: what it is, and its schema.
PARAMETERS: dict[str, tuple[str, dict[str, Any]]] = {
    "after": ("Only what came after this event.", _WHOLE),
    "before": ("Only those older than this one.", _WHOLE),
    "condition": ("Only where the resource is in this condition.", _CONDITION),
    "differs": ("Whether proposal and grant differ.", {"type": "string", "enum": ["true", "false", "1", "0"]}),
    "heartbeat": ("Seconds between two heartbeats, 1 to 60.", _SECONDS),
    "label": ("Only with this label, KEY=VALUE.", {"type": "string", "pattern": "^[^=]+="}),
    "limit": ("Rows of a page; more than 1000 count as 1000.", {"type": "integer", "minimum": 1, "maximum": WHOLE_MAX}),
    "marker": ("`marker` of the page before.", _TEXT),
    "member": ("Only of resources whose partition this member owns; for admin and service.", _TEXT),
    "owner": ("Only those granted to this member, or proposed for it.", _TEXT),
    "project_id": ("Only those of this project; for admin and service.", _TEXT),
    "region": ("The region, where an id alone is not enough.", _TEXT),
    "resource_id": ("Only of the resource with this id.", _TEXT),
    "resource_type": ("Only of resources of this type.", _TEXT),
    "since": ("Only what is newer than this version.", _WHOLE),
    "stack_id": ("Only of this stack.", _TEXT),
    "timeout": ("Seconds to wait.", _SECONDS),
    "trail": ("Whether the owner's trail is asked for.", {"type": "string", "enum": ["true", "false", "1", "0"]}),
    "until": ("The condition to wait for.", _CONDITION),
    "wait": ("Seconds to wait for something new.", _SECONDS),
}

#: Headers of requests, likewise.
HEADERS: dict[str, tuple[str, dict[str, Any]]] = {
    "If-None-Match": ("ETags of what the caller has: 304 where it is still so.", {"type": "string"}),
    "Last-Event-ID": ("The id of the last event that came: as `since`, and before it.  Empty: none came.",
                      {"type": "string", "pattern": "^[0-9]{0,18}$"}),
}

#: Path parameters that are no free text.
_PATH = {"partition": _WHOLE, "letter": _WHOLE}

_GUARDED = (400, 401, 403, 429, 500, 503)

SECURITY = {
    "keystone": {"type": "apiKey", "in": "header", "name": "X-Auth-Token",
                 "description": "A Keystone token (auth_strategy = keystone)."},
    "basic": {"type": "http", "scheme": "basic", "description": "A user of the htpasswd file (http_basic)."},
}


def document(types: Collection[str] | None = None) -> bytes:
    """The document as JSON text.  types: resource types that can be observed; None: any text."""
    named = [kind for route in ROUTES for each in route.operations
             for kind in (*openapi.alternatives(each.reply), *openapi.alternatives(each.body),
                          *(kind for _, kind in each.events))]
    schemas = openapi.Schemas(named)
    if types:
        for name in ("StartBody", "SelectorBody"):
            schemas.components[name]["properties"]["resource_type"] = {"type": "string", "enum": sorted(types)}
    paths: dict[str, Any] = {}
    for route in ROUTES:
        item = paths.setdefault(route.path, {})
        for operation in route.operations:
            item[operation.method.lower()] = _operation(route, operation, schemas)
    return openapi.document(
        "obsvc", obsvc.__version__, "Watch the resources of an OpenStack cloud: their actual state, waits and changes.",
        paths, schemas, SECURITY)


def _operation(route: Route, operation: Operation, schemas: openapi.Schemas) -> dict[str, Any]:
    end = f"_{route.suffix}" if route.suffix else ""
    responder = getattr(route.resource, f"on_{operation.method.lower()}{end}")
    parameters = [{"name": name, "in": "path", "required": True, "schema": _PATH.get(name, _TEXT)}
                  for name in re.findall(r"\{(\w+)\}", route.path)]
    for name in operation.query:
        text, schema = PARAMETERS[name]
        parameters.append({"name": name, "in": "query", "description": text, "schema": schema})
    for name in (*operation.headers, *(("If-None-Match",) if operation.conditional else ())):
        text, schema = HEADERS[name]
        parameters.append({"name": name, "in": "header", "description": text, "schema": schema})
    errors = (*(_GUARDED if operation.rule else (400, 500)), *operation.raises, *((413,) if operation.body else ()))
    content = schemas.content(operation.reply) if operation.reply is not None else None
    if operation.events:
        content = schemas.events(dict(operation.events))
    described: dict[str, Any] = {
        "operationId": f"{operation.method.lower()}{re.sub(r'[^a-z0-9]+', '_', route.path)}".strip("_"),
        "summary": operation.summary, "parameters": parameters,
        "responses": openapi.responses(schemas, operation.status, content, errors),
    }
    if operation.conditional:
        described["responses"]["304"] = openapi.not_modified()
    if doc := inspect.getdoc(responder):
        described["description"] = doc
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": schemas.content(operation.body)}
    if operation.rule is None:
        described["security"] = []
    else:
        described["x-policy"] = f"obsvc:{operation.rule}"
    return described
