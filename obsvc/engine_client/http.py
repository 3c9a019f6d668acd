"""The HTTP carrier: ``POST /v1/<operation>`` with the request struct as JSON, answered by the reply struct.

Any thread may call; connections are pooled and kept alive, one a call under way.  Make it after a fork.

What it promises about failures (the contract's rule: ``Unavailable`` means that the outcome is unknown):

- Endpoints are tried in turn: the one that answered last is kept until it fails.  A call moves on to the next
  endpoint by itself when it can't have been carried out (no connection), or when it may safely be sent twice.
- A kept-alive connection that the server closed meanwhile is not an error: the call is sent once more to the same
  endpoint, unless it is one that must not be sent twice.
- A time-out waiting for the answer is raised at once, never multiplied by the number of endpoints; the next call
  begins at the next endpoint.
"""
from __future__ import annotations

import base64
import contextlib
import logging
import os
import socket
import threading
import urllib.parse
import weakref
from collections.abc import Callable, Sequence

import msgspec
import urllib3
import urllib3.connection
from oslo_config import cfg
from urllib3 import exceptions as http_errors

from obsvc.engine_client.carrier import Carrier, encoded, error_from
from obsvc.engine_client.contract import Operation
from obsvc.exceptions import ConfigError, Forbidden, IncompatibleContract, ObsvcError, Unavailable
from obsvc.web import request_ids

LOG = logging.getLogger(__name__)

#: Operations that must not be sent a second time when the first may have been carried out (see the contract).
NOT_REPEATABLE = frozenset({"create_stack"})

#: Connections kept per endpoint: more callers than this still get one each, but it is not kept afterwards.
POOL_SIZE = 64

#: Seconds to wait for a connection at most: a host that is gone must not use up the whole time-out before the next
#: endpoint is tried.
CONNECT_TIMEOUT = 3.0

#: Answers with which another engine process may well do better: gateway errors, starting or stopping, overload.
_TRY_ANOTHER = frozenset({429, 502, 503, 504})


class _Failed(Exception):
    """One endpoint did not do it.  ``sent``: the call may have been carried out."""

    def __init__(self, why: str, *, sent: bool, final: bool = False) -> None:
        super().__init__(why)
        self.sent = sent
        self.final = final


class HttpEngine(Carrier):
    """An engine behind one or several HTTP endpoints.

    endpoints: base URLs, tried in turn.  timeout: seconds to wait for an answer, beside the ``wait`` of a long
    poll.  cafile: CA bundle for https, None for the system's.  user_agent: ``obsvc/<version> (<role> <name>)``.
    Raises ConfigError for an endpoint or bundle that can't be used.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        timeout: float = 10.0,
        username: str | None = None,
        password: str | None = None,
        cafile: str | None = None,
        user_agent: str = "obsvc",
    ) -> None:
        self._endpoints = tuple(_checked(endpoint) for endpoint in endpoints)
        if not self._endpoints:
            raise ConfigError("[engine_client] endpoints: expected at least one URL of an engine, got none")
        if cafile is not None and not os.path.isfile(cafile):
            raise ConfigError(f"[engine_client] cafile: expected a file of CA certificates at {cafile}, found none")
        self._timeout = timeout
        self._headers = {"User-Agent": user_agent, "Content-Type": "application/json", "Accept": "application/json"}
        if username is not None:
            pair = f"{username}:{password or ''}".encode()
            self._headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()
        self._pool = urllib3.PoolManager(
            num_pools=len(self._endpoints), maxsize=POOL_SIZE, retries=False, ca_certs=cafile, cert_reqs="CERT_REQUIRED"
        )
        self._lock = threading.Lock()
        self._connections: weakref.WeakSet[urllib3.connection.HTTPConnection] = weakref.WeakSet()
        self._aborted = False
        self._pool.pool_classes_by_scheme = _noting(self._connected)
        self._current = 0

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts, user_agent: str) -> HttpEngine:
        """From the options of ``[engine_client]``."""
        group = conf.engine_client
        return cls(
            group.endpoints, timeout=group.timeout, username=group.username, password=group.password,
            cafile=group.cafile, user_agent=user_agent,
        )

    @property
    def endpoint(self) -> str:
        """The endpoint that the next call tries first."""
        return self._endpoints[self._current]

    def close(self) -> None:
        """Close the connections that are kept; a later call opens new ones."""
        self._pool.clear()

    def abort(self) -> None:
        """Have every call under way, and every later one, raise Unavailable at once: the process is to end."""
        self._aborted = True
        with self._lock:
            live = list(self._connections)
        for connection in live:
            _cut(connection)

    def _connected(self, connection: urllib3.connection.HTTPConnection) -> None:
        with self._lock:
            self._connections.add(connection)
        if self._aborted:
            _cut(connection)

    def call(self, operation: Operation, request: msgspec.Struct) -> msgspec.Struct:
        """Carry one request over; see the module's promises.  Raises ObsvcError, Unavailable among them."""
        body = encoded(operation, request)
        repeatable = operation.name not in NOT_REPEATABLE
        first = self._current
        failures = []
        for step in range(len(self._endpoints)):
            index = (first + step) % len(self._endpoints)
            try:
                return self._try(index, operation, body, getattr(request, "wait", 0.0) or 0.0, repeatable=repeatable)
            except _Failed as failed:
                self._move_on(index)
                failures.append(f"{self._endpoints[index]}: {failed}")
                if failed.final or (failed.sent and not repeatable):
                    break
        raise Unavailable(f"the engine did not answer {operation.name} ({'; '.join(failures)}): to be tried again")

    def _try(
        self, index: int, operation: Operation, body: bytes, wait: float, *, repeatable: bool
    ) -> msgspec.Struct:
        url = f"{self._endpoints[index]}/v1/{operation.name}"
        timeout = urllib3.Timeout(connect=min(self._timeout, CONNECT_TIMEOUT), read=self._timeout + wait)
        for again in (repeatable, False):
            try:
                response = self._pool.request(
                    "POST", url, body=body, headers=self._headers | request_ids.carried(), timeout=timeout,
                    redirect=False,
                )
                return self._answer(url, response, operation)
            except (http_errors.NewConnectionError, http_errors.ConnectTimeoutError) as error:
                raise _Failed(f"no connection ({_reason(error)})", sent=False) from error
            except http_errors.SSLError as error:
                raise _Failed(f"no TLS connection ({_reason(error)})", sent=False) from error
            except http_errors.TimeoutError as error:
                raise _Failed(f"no answer within {self._timeout + wait:g} s", sent=True, final=True) from error
            except http_errors.ProtocolError as error:
                if self._aborted:
                    raise Unavailable("this process ends: send the request again, to another one") from error
                if not again:
                    raise _Failed(f"connection lost ({_reason(error)})", sent=True) from error
                LOG.debug("connection to %s was closed under way, %s is sent again", url, operation.name)
            except http_errors.HTTPError as error:
                raise _Failed(_reason(error), sent=True) from error
        raise AssertionError("not reached: the second round never repeats")

    def _answer(self, url: str, response: urllib3.BaseHTTPResponse, operation: Operation) -> msgspec.Struct:
        if response.status == 200:
            try:
                return msgspec.json.decode(response.data, type=operation.reply)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise IncompatibleContract(
                    f"expected a {operation.reply.__name__} from {url}, got something else ({error}): check that "
                    f"[engine_client] endpoints name obsvc engines of a fitting version"
                ) from error
        refusal = error_from(response.data)
        detail = f"HTTP {response.status}" + (f", {refusal.message}" if refusal is not None else "")
        if response.status in _TRY_ANOTHER:
            raise _Failed(detail, sent=True)
        if response.status >= 500:
            raise Unavailable(f"the engine at {url} failed ({detail}): see its log")
        raise refusal if refusal is not None else _unshaped(url, response.status)

    def _move_on(self, failed: int) -> None:
        with self._lock:
            if self._current == failed:
                self._current = (failed + 1) % len(self._endpoints)


def _noting(connected: Callable[[urllib3.connection.HTTPConnection], None]) -> dict[str, type]:
    """urllib3's pools by scheme, which tell ``connected`` of each connection that they make."""

    class Http(urllib3.connection.HTTPConnection):
        def connect(self) -> None:
            super().connect()
            connected(self)

    class Https(urllib3.connection.HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            connected(self)

    class HttpPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Http

    class HttpsPool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Https

    return {"http": HttpPool, "https": HttpsPool}


def _cut(connection: urllib3.connection.HTTPConnection) -> None:
    """End a connection under the thread that reads from it, which sees it closed by the server."""
    sock = connection.sock
    if sock is not None:
        with contextlib.suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _checked(endpoint: str) -> str:
    parts = urllib.parse.urlsplit(endpoint.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            f"[engine_client] endpoints: expected URLs such as http://127.0.0.1:9190, got {endpoint!r}: correct it"
        )
    return endpoint.strip().rstrip("/")


def _unshaped(url: str, status: int) -> ObsvcError:
    """What to raise for an answer that no obsvc engine gives."""
    if status in (401, 403):
        return Forbidden(
            f"{url} refused our credentials (HTTP {status}): check [engine_client] username and password"
        )
    return IncompatibleContract(
        f"expected an obsvc engine at {url}, got HTTP {status}: check [engine_client] endpoints and its version"
    )


def _reason(error: BaseException) -> str:
    """The innermost error's own words, without urllib3's wrapping of objects' addresses."""
    cause: BaseException = error
    while cause.__cause__ is not None or (cause.args and isinstance(cause.args[-1], BaseException)):
        cause = cause.__cause__ if cause.__cause__ is not None else cause.args[-1]
    strerror = getattr(cause, "strerror", None)
    return strerror or f"{type(cause).__name__}: {cause}".rstrip(": ")
