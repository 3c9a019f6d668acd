"""Error answers, each service's in its own shape."""
from __future__ import annotations

from typing import Any


class Fault(Exception):
    """An answer other than success: HTTP status, and a body (an object becomes JSON, text HTML)."""

    def __init__(self, status: int, body: dict[str, Any] | str, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body
        self.headers = headers or {}


_TITLES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 409: "Conflict",
           429: "Too Many Requests", 500: "Internal Server Error", 503: "Service Unavailable"}
_NOVA = {400: "badRequest", 401: "unauthorized", 403: "forbidden", 404: "itemNotFound", 409: "conflictingRequest",
         429: "overLimit"}


def keystone(status: int, message: str) -> Fault:
    return Fault(status, {"error": {"code": status, "title": _TITLES[status], "message": message}})


def nova(status: int, message: str) -> Fault:
    """Nova's and cinder's: one key that names the kind of the fault."""
    return Fault(status, {_NOVA.get(status, "computeFault"): {"code": status, "message": message}})


def neutron(status: int, kind: str, message: str) -> Fault:
    return Fault(status, {"NeutronError": {"type": kind, "message": message, "detail": ""}})


def glance(status: int, message: str) -> Fault:
    """Glance answers errors in HTML."""
    title = f"{status} {_TITLES[status]}"
    return Fault(status, f"<html><head><title>{title}</title></head>"
                         f"<body><h1>{title}</h1>{message}<br /><br /></body></html>")


def plain(status: int, message: str, **more: Any) -> Fault:
    """Of the simulated cloud's own API."""
    return Fault(status, {"error": {"code": status, "title": _TITLES[status], "message": message, **more}})


def down(service: str) -> Fault:
    """A service that is down, as the proxy in front of it says."""
    return Fault(503, f"<html><body><h1>503 Service Unavailable</h1>No server is available to handle this request"
                      f" ({service}).</body></html>")


def throttled(retry_after: int) -> Fault:
    body = {"overLimit": {"code": 429, "message": "This request was rate-limited.", "retryAfter": str(retry_after)}}
    return Fault(429, body, {"Retry-After": str(retry_after)})


def unauthorized() -> Fault:
    """What keystonemiddleware answers in front of every service."""
    fault = keystone(401, "The request you have made requires authentication.")
    fault.headers["WWW-Authenticate"] = "Keystone uri=\"/identity\""
    return fault
