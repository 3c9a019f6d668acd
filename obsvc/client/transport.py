"""How the client library's requests reach the API: one pool of connections, typed answers, errors by their codes."""
from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec
import urllib3

import obsvc
from obsvc.client.auth import Auth, Fixed
from obsvc.exceptions import (
    ConfigError,
    ObsvcError,
    TooManyRequests,
    Unavailable,
    UndecodableMessage,
    by_code,
    one_line,
)

T = TypeVar("T")

#: Seconds to wait for an answer, beside the wait of a long poll.
TIMEOUT = 15.0
#: Rows of one page.
PAGE = 500


class Transport:
    """Requests to the API at ``url``; any thread.  Raises ObsvcError, Unavailable when it can't be reached."""

    def __init__(self, url: str, *, auth: Auth | None = None, cafile: str | None = None, threads: int = 4) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"--api-url: expected http://… or https://…, got {url!r}")
        self._url = url.rstrip("/")
        self._auth = auth or Fixed()
        self._pool = urllib3.PoolManager(maxsize=threads, ca_certs=cafile, retries=False)

    def pages(self, path: str, key: str, kind: type[T], filters: Mapping[str, Any]) -> Iterator[T]:
        """Every row of a listing."""
        marker: str | None = None
        while True:
            answer = self.call("GET", path, dict, params={**filters, "marker": marker, "limit": PAGE})
            yield from typed_list(answer[key], kind)
            marker = answer["marker"]
            if marker is None:
                return

    def call(
        self, method: str, path: str, kind: type[T], *, body: object = None, params: Mapping[str, Any] | None = None,
        wait: float = 0.0,
    ) -> T:
        """The answer as ``kind``.  wait: seconds that the request asks the API to wait."""
        url = self._at(path, params or {})
        response = self._request(method, url, body, wait)
        try:
            return msgspec.json.decode(response.data, type=kind)
        except msgspec.MsgspecError as error:
            raise ObsvcError(f"expected an answer of the obsvc API from {url}, got another ({error}): check the URL"
                             ) from error

    def call_without_answer(self, method: str, path: str) -> None:
        """A request whose answer has no body."""
        self._request(method, self._at(path, {}), None, 0.0)

    def stream(self, path: str, params: Mapping[str, Any], *, silence: float) -> Stream:
        """Server-sent events, not read yet.  silence: seconds without any event after which the stream is dropped."""
        url = self._at(path, params)
        response = self._request("GET", url, None, silence, stream=True)
        if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
            response.close()
            raise ObsvcError(f"expected a stream of events from {url}, got {response.headers.get('Content-Type')}: "
                             "check the URL")
        return Stream(response)

    def _at(self, path: str, params: Mapping[str, Any]) -> str:
        query = urlencode({key: value for key, value in params.items() if value is not None})
        return f"{self._url}{path}?{query}" if query else f"{self._url}{path}"

    def _request(
        self, method: str, url: str, body: object, wait: float, *, stream: bool = False
    ) -> urllib3.BaseHTTPResponse:
        """An answer below 400; stream: its body is yet to be read.  Raises what the API's error stands for."""
        response = self._send(method, url, body, wait, stream=stream)
        if response.status == 401 and self._auth.renew():
            response = self._send(method, url, body, wait, stream=stream)
        if response.status >= 400:
            raise _error(response)
        return response

    def _send(self, method: str, url: str, body: object, wait: float, *, stream: bool) -> urllib3.BaseHTTPResponse:
        headers = {"User-Agent": f"obsvc/{obsvc.__version__} (client)", "Accept": "application/json",
                   **self._auth.headers()}
        data = None
        if body is not None:
            data = msgspec.json.encode(body)
            headers["Content-Type"] = "application/json"
        try:
            timeout = urllib3.Timeout(connect=TIMEOUT, read=wait if stream else TIMEOUT + wait)
            response = self._pool.request(method, url, body=data, headers=headers, timeout=timeout,
                                          preload_content=not stream)
            if response.status >= 400:
                response.read(cache_content=True)
            return response
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(f"the obsvc API at {self._url} can't be reached ({_brief(error)}): start `obsvc api`, or "
                              "correct --api-url or OBSVC_API_URL") from error


class Stream:
    """The body of an answer, in pieces as they come; Unavailable when it breaks off."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._response.stream(65536, decode_content=False)
        except (urllib3.exceptions.HTTPError, OSError, ValueError, AttributeError) as error:  # the last two: closed
            raise Unavailable(f"the stream of changes broke off ({_brief(error)})") from error

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._response.shutdown()  # wakes the reader
        with contextlib.suppress(Exception):
            self._response.close()


def _error(response: urllib3.BaseHTTPResponse) -> ObsvcError:
    try:
        body = msgspec.json.decode(response.data)["error"]
        code, message = str(body["code"]), str(body["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        code = "unavailable" if response.status in (502, 503, 504) else "internal"
        message = f"the API answered {response.status}: {response.data[:200].decode('utf-8', 'replace')}"
    known = by_code(code)
    if known in (ConfigError, UndecodableMessage):  # these describe the API's configuration, not ours
        known = ObsvcError
    if known is TooManyRequests:
        after = response.headers.get("Retry-After", "")
        return TooManyRequests(message, retry_after=int(after) if after.isdecimal() else 1, code=code)
    return known(message, code=code)


def typed_list(value: object, kind: type[T]) -> list[T]:
    """What a page has under one key, as its types."""
    return msgspec.convert(value, list[kind])  # type: ignore[valid-type]  # a type made at run time


def _brief(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return one_line(reason)
