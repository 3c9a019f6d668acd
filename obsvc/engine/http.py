"""The engine's HTTP API: ``POST /v1/<operation>``, driven by the contract's table of operations.

The request struct comes as JSON and the reply struct goes as JSON; an error goes as ``contract.ErrorReply`` with
its class's HTTP status.  Beside it ``/v1/openapi.json``, ``/healthz``, ``/readyz`` and ``/metrics``.
"""
from __future__ import annotations

import logging
import time
from typing import Any

import falcon
import msgspec

from obsvc import metrics
from obsvc.engine import openapi
from obsvc.engine.service import EngineService
from obsvc.engine_client.contract import OPERATIONS, Engine, Operation
from obsvc.exceptions import Forbidden, InvalidInput, ObsvcError
from obsvc.web import request_ids
from obsvc.web.bodies import read_body
from obsvc.web.errors import add_error_handlers
from obsvc.web.health import add_health_routes

LOG = logging.getLogger(__name__)

#: Longest wait that is taken, seconds: no clock's timeouts hold what is far longer.
WAIT_MAX = 3600.0

_encode = msgspec.json.Encoder().encode


class _OperationResource:
    """One operation at its path."""

    def __init__(self, operation: Operation, engine: Engine) -> None:
        self._name = operation.name
        self._decode = msgspec.json.Decoder(operation.request).decode
        self._call = getattr(engine, operation.name)
        self._waits = "wait" in getattr(operation.request, "__struct_fields__", ())

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        began = time.monotonic()
        try:
            request = self._decoded(read_body(req))
            if not 0 <= getattr(request, "wait", 0) <= WAIT_MAX:
                raise InvalidInput(f"wait: expected 0 to {WAIT_MAX:g} seconds, got {request.wait:g}")
            reply = self._call(request)
        except Exception as error:
            code = error.code if isinstance(error, ObsvcError) else "internal"
            metrics.ENGINE_ERRORS.labels(operation=self._name, code=code).inc()
            raise
        if not (self._waits and getattr(request, "wait", 0) > 0):
            metrics.ENGINE_REQUESTS.labels(operation=self._name).observe(time.monotonic() - began)
        resp.content_type = falcon.MEDIA_JSON
        resp.data = _encode(reply)

    def _decoded(self, body: bytes) -> Any:
        try:
            return self._decode(body or b"{}")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidInput(f"the request of {self._name} can't be read: {error}") from error


class RefuseTokens:
    """falcon middleware: a token is a tenant's or a service's, and this API is for neither; it has its own users."""

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        if req.get_header("X-Auth-Token") is not None or req.get_header("X-Service-Token") is not None:
            raise Forbidden("expected a user of the engine's own htpasswd file, got a token: ask the public API")


class _Description:
    """This API as an OpenAPI 3.1 document."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.content_type = falcon.MEDIA_JSON
        resp.data = openapi.document()


def make_app(service: EngineService) -> falcon.App[falcon.Request, falcon.Response]:
    """The WSGI application of one engine process, without authentication."""
    app: falcon.App[falcon.Request, falcon.Response] = falcon.App(
        middleware=[request_ids.RequestIds(), RefuseTokens()])
    for operation in OPERATIONS.values():
        app.add_route(f"/v1/{operation.name}", _OperationResource(operation, service))
    app.add_route("/v1/openapi.json", _Description())
    add_health_routes(app, service.ready)
    add_error_handlers(app)
    return app
