"""gunicorn's threaded worker, whose own refusals have the one shape of errors.

A request that is not HTTP, or is too long, never reaches an application, and neither does the application answer an
unexpected error of a middleware in front of it: gunicorn does, with a page of HTML.  Clients expect every error in the
one shape, so these have it too.
"""
from __future__ import annotations

import contextlib
import http
import json
import socket
from typing import Any

from gunicorn.http import errors
from gunicorn.workers.gthread import ThreadWorker

from obsvc.exceptions import HeadersTooLarge, InvalidInput, ObsvcError, UriTooLong, one_line
from obsvc.web import request_ids
from obsvc.web.errors import error_body

#: Bytes of a request line, gunicorn's most: a listing's filters have room, and RFC 9112 3 asks for 8,000.
LINE_MAX = 8190

#: Seconds that a client has to read the refusal.
TAKEN_WITHIN = 5.0


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """See the module."""

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        """Answer a request that the application didn't; exc: why not."""
        error = refusal(exc)
        if error is None:
            self.log.exception("%s %s failed", getattr(req, "method", "a request"), getattr(req, "path", ""))
            error = ObsvcError(f"an error inside obsvc: {type(exc).__name__}; its log has the traceback")
        else:
            self.log.warning("a request from %s was refused: %s", addr[0] if addr else "a local socket", error.message)
        try:
            _read_away(client)
            client.settimeout(TAKEN_WITHIN)
            client.sendall(answer(error))
        except OSError as problem:
            self.log.debug("the refusal was not taken: %s", problem)


def refusal(exc: Exception) -> ObsvcError | None:
    """The error for an exception of gunicorn's parser; None where the client is not at fault."""
    detail = one_line(exc)[:200]
    if isinstance(exc, errors.LimitRequestLine):
        return UriTooLong(f"expected a request line of at most {LINE_MAX} bytes, got a longer one")
    if isinstance(exc, errors.LimitRequestHeaders):
        return HeadersTooLarge(f"expected fewer or shorter headers: {detail}")
    ours = errors.ConfigurationProblem, errors.InvalidResponseHeader, errors.InvalidResponseHeaderName
    if isinstance(exc, errors.ParseException) and not isinstance(exc, ours):
        return InvalidInput(f"expected an HTTP request: {detail}")
    return None


def _read_away(client: socket.socket) -> None:
    """Read what has arrived: closing a TCP connection with unread data resets it, and the answer is lost."""
    with contextlib.suppress(BlockingIOError):
        for _ in range(16):
            if not client.recv(65536, socket.MSG_DONTWAIT):
                return


def answer(error: ObsvcError) -> bytes:
    """A whole HTTP answer, after which the connection ends."""
    request_id = request_ids.new()
    with request_ids.bound(request_id):
        body = json.dumps(error_body(error)).encode()
    head = (
        f"HTTP/1.1 {error.http_status} {http.HTTPStatus(error.http_status).phrase}", "Connection: close",
        "Content-Type: application/json", f"Content-Length: {len(body)}", f"{request_ids.HEADER}: {request_id}", "", "",
    )
    return "\r\n".join(head).encode() + body
