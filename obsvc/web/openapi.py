"""What both OpenAPI documents have in common: schemas of msgspec types, the error shape, the document's frame.

OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.0); its schemas are JSON Schema 2020-12, as msgspec writes them.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from obsvc import exceptions
from obsvc.web import request_ids

REF = "#/components/schemas/{name}"

#: The header of every answer.
_HEADERS = {request_ids.HEADER: {
    "description": "The request's id: the caller's own where it sent one, else a new one.", "required": True,
    "schema": {"type": "string", "pattern": "^req-[0-9a-fA-F-]{36}$"}}}


#: What the HTTP server answers by itself, whatever the operation: a line or headers too long (obsvc.web.worker).
BY_SERVER = (400, 414, 431)


class ErrorBody(msgspec.Struct, frozen=True):
    """code: stable.  message: of this case.  expected, remedy: what would have been right, and what to do."""

    code: str
    message: str
    expected: str
    remedy: str
    request_id: str


class ErrorReply(msgspec.Struct, frozen=True):
    error: ErrorBody


class Schemas:
    """Schemas of the types that a document names; collected first, so that each is written once."""

    def __init__(self, kinds: Iterable[Any]) -> None:
        self._kinds = [*dict.fromkeys(kinds), ErrorReply]
        schemas, self.components = msgspec.json.schema_components(self._kinds, ref_template=REF)
        self._schemas = dict(zip(self._kinds, schemas, strict=True))

    def of(self, kind: Any) -> dict[str, Any]:
        """The schema of a type, or of a tuple of alternatives."""
        if isinstance(kind, tuple):
            return {"anyOf": [self.of(alternative) for alternative in kind]}
        schema: dict[str, Any] = self._schemas[kind]
        return schema

    def content(self, kind: Any) -> dict[str, Any]:
        return {"application/json": {"schema": self.of(kind)}}

    def events(self, kinds: Mapping[str, Any]) -> dict[str, Any]:
        """Server-sent events, as OpenAPI 3.2 describes one: the data of each name is JSON of a type."""
        return {"text/event-stream": {"schema": {
            "type": "object", "required": ["event", "data"],
            "properties": {"id": {"type": "string"}, "event": {"enum": list(kinds)}, "data": {"type": "string"}},
            "oneOf": [{"properties": {"event": {"const": name}, "data": {
                "contentMediaType": "application/json", "contentSchema": self.of(kind)}}}
                for name, kind in kinds.items()],
        }}}


def alternatives(kind: Any) -> tuple[Any, ...]:
    """The types that a kind (a type, a tuple of alternatives, or None) names."""
    return () if kind is None else kind if isinstance(kind, tuple) else (kind,)


def responses(
    schemas: Schemas, status: int, content: Mapping[str, Any] | None, errors: Iterable[int]
) -> dict[str, Any]:
    """The answers of one operation."""
    good: dict[str, Any] = {"description": "Done.", "headers": _HEADERS}
    if content is not None:
        good["content"] = dict(content)
    answers = {str(status): good}
    for code in sorted({*errors, *BY_SERVER}):
        headers = dict(_HEADERS)
        if code in (429, 503):
            headers["Retry-After"] = {"description": "Seconds.", "required": True, "schema": {"type": "integer"}}
        if code == 401:
            headers["WWW-Authenticate"] = {"description": "RFC 9110 11.6.1", "schema": {"type": "string"}}
        answers[str(code)] = {
            "description": _meaning(code), "headers": headers, "content": schemas.content(ErrorReply)}
    return answers


def not_modified() -> dict[str, Any]:
    """The answer to a conditional read where nothing has changed."""
    return {"description": "As the caller has it: If-None-Match names its ETag.", "headers": _HEADERS}


def document(title: str, version: str, description: str, paths: Mapping[str, object], schemas: Schemas,
             security: Mapping[str, object]) -> bytes:
    """The document as JSON text.  security: schemes by name, any one of which does."""
    return msgspec.json.encode({
        "openapi": "3.1.0", "info": {"title": title, "version": version, "description": description},
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "paths": paths, "components": {"schemas": schemas.components, "securitySchemes": security},
        "security": [{name: []} for name in security] + [{}],
    })


def _meaning(status: int) -> str:
    pending, meanings = [exceptions.ObsvcError], []
    while pending:
        cls = pending.pop()
        pending.extend(subclass for subclass in cls.__subclasses__() if subclass.__module__ == exceptions.__name__)
        if cls.http_status == status and "code" in cls.__dict__:
            meanings.append(f"`{cls.code}`: expected {cls.expected}; {cls.remedy}.")
    return " ".join(sorted(meanings))
