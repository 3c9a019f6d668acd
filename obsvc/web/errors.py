"""The one shape of an error that an HTTP answer has."""
from __future__ import annotations

import http
import json
import logging
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import falcon

from obsvc.exceptions import (
    InvalidInput,
    MethodNotAllowed,
    NotFound,
    ObsvcError,
    TooLarge,
    TooManyRequests,
    Unavailable,
)
from obsvc.web import request_ids

LOG = logging.getLogger(__name__)

_LATER = (Unavailable, TooManyRequests)


def error_body(error: ObsvcError) -> dict[str, Any]:
    """``{"error": {…}}`` as ``engine_client.contract.ErrorBody``, with the request's id where there is one."""
    request_id = request_ids.current()
    body = {"code": error.code, "message": error.message, "expected": error.expected, "remedy": error.remedy}
    return {"error": body | ({"request_id": request_id} if request_id else {})}


def add_error_handlers(app: falcon.App[falcon.Request, falcon.Response]) -> None:
    """Every error of ``app`` is answered in the one shape; what nobody expected is logged with its traceback."""

    def known(req: falcon.Request, resp: falcon.Response, error: ObsvcError, _params: dict[str, Any]) -> None:
        _answer(resp, error)

    def by_falcon(req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError, _params: dict[str, Any]) -> None:
        status = falcon.http_status_to_code(error.status)
        text = error.description or error.title or error.status
        if isinstance(error, falcon.HTTPRouteNotFound):  # as for every request meant for another service
            text = f"{req.method} {req.url}: nothing is served there; check the address, and the service's version"
        kind = {404: NotFound, 405: MethodNotAllowed, 413: TooLarge}.get(status, InvalidInput)
        _answer(resp, (kind if status < 500 else ObsvcError)(str(text)), status)
        if error.headers:
            resp.set_headers(error.headers)

    def unexpected(req: falcon.Request, resp: falcon.Response, error: Exception, _params: dict[str, Any]) -> None:
        LOG.exception("%s %s failed", req.method, req.path)
        _answer(resp, ObsvcError(f"an error inside obsvc: {type(error).__name__}; its log has the traceback"))

    app.add_error_handler(Exception, unexpected)
    app.add_error_handler(falcon.HTTPError, by_falcon)
    app.add_error_handler(ObsvcError, known)


def refuse(
    environ: WSGIEnvironment, start_response: StartResponse, error: ObsvcError, *headers: tuple[str, str]
) -> list[bytes]:
    """The answer of a WSGI middleware to a request that it refuses."""
    request_id = request_ids.begin(environ)
    body = json.dumps(error_body(error)).encode()
    request_ids.end()
    more = [("Retry-After", _retry_after(error))] if isinstance(error, _LATER) else []
    start_response(f"{error.http_status} {http.HTTPStatus(error.http_status).phrase}", [
        ("Content-Type", "application/json"), ("Content-Length", str(len(body))), (request_ids.HEADER, request_id),
        *more, *headers])
    return [body]


def _retry_after(error: ObsvcError) -> str:
    return str(getattr(error, "retry_after", 1))


def _answer(resp: falcon.Response, error: ObsvcError, status: int | None = None) -> None:
    resp.status = status or error.http_status
    resp.content_type = falcon.MEDIA_JSON
    resp.text = json.dumps(error_body(error))
    if isinstance(error, _LATER):
        resp.set_header("Retry-After", _retry_after(error))
