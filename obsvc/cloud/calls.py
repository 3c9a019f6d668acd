"""One request to a cloud API and its answer, or an error that says whether trying again can help.

Any thread may call.  keystoneauth's exceptions and the services' different error bodies do not leave this module:
callers see :class:`Answer` or :class:`CallFailed`.  Nothing here waits or retries (except that keystoneauth gets a new
token once after a 401).
"""
from __future__ import annotations

import json as jsonlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from keystoneauth1 import exceptions

from obsvc.cloud import retry_after as retry_after_header
from obsvc.exceptions import ObsvcError, one_line
from obsvc.web import request_ids

#: 4xx that may go away by themselves: a token that just expired, a time-out, a conflicting operation, a rate limit.
RETRIABLE_CLIENT_ERRORS = frozenset({401, 408, 409, 425, 429})

#: Characters of a service's own explanation that are kept.
_MESSAGE_LIMIT = 500


class CallFailed(ObsvcError):
    """A cloud API did not do what it was asked.

    status: the HTTP status, None where there was no answer (the outcome is unknown then).  retriable: trying again
    may help.  retry_after: seconds that the service asked for.  request_id: the service's, where it named one.
    """

    code = "cloud_call_failed"
    http_status = 502

    def __init__(
        self, message: str, *, status: int | None = None, retriable: bool, retry_after: float | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retriable = retriable
        self.retry_after = retry_after
        self.request_id = request_id


@dataclass(frozen=True)
class Answer:
    """A successful answer: HTTP status, decoded JSON body ({} for none), the service's request id."""

    status: int
    body: dict[str, Any]
    request_id: str | None


def call(
    adapter: Any,
    method: str,
    path: str,
    *,
    json: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    version_prefix: str = "",
    microversion: str | None = None,
    timeout: float | None = None,
) -> Answer:
    """Send one request by a keystoneauth ``adapter``.

    path: behind the service's endpoint, or a whole URL (a ``next`` link).  version_prefix: put before ``path`` when
    the endpoint names no version (``/v2.0`` for neutron, ``/v2`` for glance).
    timeout: seconds to wait for the answer, where it must be less than the session's.
    Raises CallFailed for any status from 400, and where no answer came.
    """
    headers = {"Accept": "application/json"} | request_ids.carried()
    extra: dict[str, Any] = {}
    if json is not None:
        extra["json"] = dict(json)
    if params:
        extra["params"] = dict(params)
    if microversion is not None:
        extra["microversion"] = microversion
    if timeout is not None:
        extra["timeout"] = timeout
    try:
        if version_prefix and path.startswith("/"):
            path = versioned(adapter.get_endpoint() or "", version_prefix, path)
        response = adapter.request(path, method, raise_exc=False, headers=headers, **extra)
    except exceptions.ClientException as error:
        raise _from_exception(error, method, path) from error
    request_id = response.headers.get("x-openstack-request-id") or response.headers.get("x-compute-request-id")
    body = _decode(response)
    if response.status_code >= 400:
        raise failure(method, path, response.status_code, body if body is not None else response.text,
                      response.headers.get("Retry-After"), request_id)
    return Answer(response.status_code, body if isinstance(body, dict) else {}, request_id)


def versioned(endpoint: str, prefix: str, path: str) -> str:
    """``path`` with the version prefix before it, unless ``endpoint`` ends in a version already."""
    return path if re.search(r"/v\d+(\.\d+)?(/[0-9a-f-]*)?/?$", endpoint) else f"{prefix}{path}"


def failure(
    method: str, path: str, status: int, body: Any, retry_after: str | None, request_id: str | None
) -> CallFailed:
    """The error for an answer with ``status`` from 400; ``body`` as decoded, or its text."""
    return CallFailed(
        f"{method} {path} answered {status}: {explanation(body)}",
        status=status,
        retriable=status >= 500 or status in RETRIABLE_CLIENT_ERRORS,
        retry_after=retry_after_header.seconds(retry_after, time.time()),
        request_id=request_id,
    )


def explanation(body: Any) -> str:
    """The message in an error body of nova, neutron, cinder, glance or keystone; else its text."""
    if isinstance(body, Mapping):
        for value in body.values():
            if isinstance(value, Mapping) and "message" in value:
                return str(value["message"])[:_MESSAGE_LIMIT]
            if isinstance(value, str):
                return value[:_MESSAGE_LIMIT]
        body = jsonlib.dumps(dict(body))
    text = " ".join(re.sub(r"<[^>]*>", " ", str(body)).split())
    return text[:_MESSAGE_LIMIT] or "no explanation"


def _decode(response: Any) -> Any:
    if not response.content:
        return {}
    try:
        return response.json()
    except ValueError:
        return None


def _from_exception(error: exceptions.ClientException, method: str, path: str) -> CallFailed:
    """No answer from the service itself: it could not be reached, found, or no token was to be had."""
    status = getattr(error, "http_status", None) if isinstance(error, exceptions.HttpError) else None
    hint = "see [cloud] in the configuration" if isinstance(
        error, exceptions.CatalogException | exceptions.MissingAuthPlugin) else "the outcome is unknown"
    text = one_line(error)[:_MESSAGE_LIMIT]
    return CallFailed(f"{method} {path} got no answer: {type(error).__name__}: {text} ({hint})", status=status,
                      retriable=True)
