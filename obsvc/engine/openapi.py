"""The engine's internal API as an OpenAPI 3.1 document, written from the contract's table of operations."""
from __future__ import annotations

from typing import Any

import msgspec

import obsvc
from obsvc.engine_client.contract import OPERATIONS, Engine
from obsvc.web import openapi

#: What any operation may answer beside its reply; 412: another contract version or number of partitions.
_ERRORS = (400, 401, 403, 404, 409, 410, 412, 413, 500, 503)

SECURITY = {"basic": {"type": "http", "scheme": "basic", "description": "A user of the engine's htpasswd file."}}


def document() -> bytes:
    """The document as JSON text."""
    schemas = openapi.Schemas(
        kind for operation in OPERATIONS.values() for kind in (operation.request, operation.reply))
    paths: dict[str, Any] = {}
    for operation in OPERATIONS.values():
        paths[f"/v1/{operation.name}"] = {"post": {
            "operationId": operation.name, "summary": operation.name.replace("_", " "),
            "description": getattr(Engine, operation.name).__doc__ or operation.request.__doc__ or "",
            "requestBody": {"required": any(field.required for field in msgspec.structs.fields(operation.request)),
                            "content": schemas.content(operation.request)},
            "responses": openapi.responses(schemas, 200, schemas.content(operation.reply), _ERRORS),
        }}
    return openapi.document("obsvc engine", obsvc.__version__, "The contract between an engine and its clients.",
                            paths, schemas, SECURITY)
