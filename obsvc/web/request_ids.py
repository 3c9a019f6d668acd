"""Request ids, as OpenStack services have them: taken from ``X-Openstack-Request-Id`` or made, given back, carried on.

One id stands for a request from the caller on, through our processes, to the calls that it causes: in each answer's
header and error, in the header of each call, and in each log line (oslo.log reads oslo.context).  Any thread may call;
the present id is the calling thread's.
"""
from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Iterator
from typing import Any

import falcon
from oslo_context import context

HEADER = "X-Openstack-Request-Id"

#: As oslo.middleware and keystoneauth make them.  Nothing else is accepted: arbitrary text must not get into logs.
_SHAPE = re.compile(r"req-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_KEY = "obsvc.request_id"


def new() -> str:
    """A new id."""
    return f"req-{uuid.uuid4()}"


def current() -> str | None:
    """The id of the request that this thread works for."""
    present = context.get_current()
    return present.request_id if present is not None else None


def carried() -> dict[str, str]:
    """The headers that name the present request to the next service."""
    request_id = current()
    return {HEADER: request_id} if request_id is not None else {}


def begin(environ: dict[str, Any]) -> str:
    """The id of the request in a WSGI environment, this thread's from now: the caller's, or else a new one.

    A second call for the same request gives the same id.
    """
    request_id = environ.get(_KEY)
    if request_id is None:
        given = environ.get("HTTP_X_OPENSTACK_REQUEST_ID", "")
        request_id = environ[_KEY] = given if _SHAPE.fullmatch(given) else new()
    context.RequestContext(request_id=request_id, overwrite=True)
    return request_id


def end() -> None:
    """This thread no longer works for a request."""
    if context.get_current() is not None:
        del context._request_store.context  # as oslo.context's own fixture does: it has no call for this


@contextlib.contextmanager
def bound(request_id: str) -> Iterator[None]:
    """Within the context, this thread works for that request."""
    before = context.get_current()
    context.RequestContext(request_id=request_id, overwrite=True)
    try:
        yield
    finally:
        end()
        if before is not None:
            before.update_store()


class RequestIds:
    """falcon middleware, the first: each request has an id, and each answer names it."""

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.set_header(HEADER, begin(req.env))

    def process_response(self, req: falcon.Request, resp: falcon.Response, resource: object, succeeded: bool) -> None:
        resp.set_header(HEADER, req.env.get(_KEY, ""))
        end()
