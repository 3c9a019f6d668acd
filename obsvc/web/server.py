"""HTTP serving that every process shares: gunicorn, health endpoints, basic authentication.

``serve`` takes over the calling process until it is told to end (SIGTERM, SIGINT); call it from the main thread.
``HealthServer`` runs beside other work on a thread of its own.
"""
from __future__ import annotations

import contextlib
import ctypes
import hashlib
import ipaddress
import json
import logging
import os
import pathlib
import signal
import socket
import socketserver
import threading
import time
import wsgiref.simple_server
from collections.abc import Callable, Iterable
from typing import Any

import falcon
import gunicorn.app.base
import gunicorn.glogging
import prometheus_client
from oslo_middleware import basic_auth

from obsvc.exceptions import ConfigError, TooLarge, Unauthorized
from obsvc.process import gc_tuning
from obsvc.web import metrics_sharing, request_ids
from obsvc.web import worker as web_worker
from obsvc.web.errors import add_error_handlers, refuse

LOG = logging.getLogger(__name__)

#: Seconds that requests under way have to end at a stop; long polls are woken, so nothing takes that long.
GRACEFUL_TIMEOUT = 5

#: Seconds that an idle connection is kept: longer than clients' beats, so that none pays for a new one.
KEEPALIVE = 75

#: Connections that may wait to be accepted: as many members as there are may come back at the same moment.  gunicorn
#: leaves a socket that listens already as it is.
BACKLOG = 2048

#: Seconds after which a client is given up that takes nothing of what is sent to it: it would hold a thread for good.
UNTAKEN = 60

#: Largest request body, bytes: 500 reports of a few kilobytes each are far below.
BODY_MAX = 64 * 1024 * 1024

Ready = Callable[[], str | None]


def is_loopback(host: str) -> bool:
    """Whether every address that ``host`` stands for is a loopback address."""
    try:
        found = {item[4][0] for item in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        return False
    return bool(found) and all(ipaddress.ip_address(str(one).split("%")[0]).is_loopback for one in found)


def check_bind(auth_strategy: str, host: str, port: int | None = None) -> None:
    """Raise ConfigError where noauth would be open to other hosts, or ``port`` (when given) can't be bound."""
    if auth_strategy == "noauth" and not is_loopback(host):
        raise ConfigError(
            f"expected a loopback address with auth_strategy = noauth, got bind_host = {host}: bind to 127.0.0.1 or "
            "choose an auth_strategy that asks who is calling"
        )
    if port is not None:
        bind_socket(host, port).close()


def bind_socket(host: str, port: int) -> socket.socket:
    """A socket bound to (host, port); ConfigError, one line, where that can't be."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, proto)
    except OSError as error:
        raise ConfigError(f"expected an address to bind to, got {host} ({error.strerror or error})") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(BACKLOG)  # two sockets may be bound with SO_REUSEADDR; only one may listen
    except OSError as error:
        bound.close()
        raise ConfigError(
            f"can't listen on {host} port {port}: {error.strerror or error}; choose another port or stop the process "
            "that has it"
        ) from error
    return bound


class _Logger(gunicorn.glogging.Logger):
    """gunicorn's log, through the process's own logging; no access log."""

    def setup(self, cfg: Any) -> None:
        self.error_log.propagate = True
        self.access_log.disabled = True

    def access(self, *args: Any, **kwargs: Any) -> None:
        return


class _Application(gunicorn.app.base.BaseApplication):
    def __init__(self, make_app: Callable[[], Any], options: dict[str, Any]) -> None:
        self._make_app = make_app
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            if name in self.cfg.settings:  # a few are known to newer versions of gunicorn only
                self.cfg.set(name, value)

    def load(self) -> Any:
        return self._make_app()


def serve(
    make_app: Callable[[], Any],
    *,
    host: str,
    port: int,
    processes: int,
    threads: int,
    on_ready: Callable[[int], None] | None = None,
    on_exit: Callable[[], None] | None = None,
    on_stop: Callable[[], None] | None = None,
) -> None:
    """Serve until told to end; does not return: ends by SystemExit.

    make_app: called once in each worker process, answers the WSGI application (so connections are made after the
        fork).  threads: requests at once per process.
    on_ready: called with the bound port, in the parent, once workers are being started.
    on_stop: called in a worker, from a signal handler, when it is asked to end: wake whatever waits.
    on_exit: called in the parent at the end.
    """
    bound = bind_socket(host, port)
    port = bound.getsockname()[1]
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; connections have it from the socket that accepts them
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNTAKEN * 1000)

    def post_worker_init(worker: Any) -> None:
        graceful = signal.getsignal(signal.SIGTERM)

        def ends(number: int, frame: Any) -> None:
            graceful(number, frame)  # type: ignore[operator]
            if on_stop is not None:
                on_stop()

        signal.signal(signal.SIGTERM, ends)
        gc_tuning.freeze_gc()

    options = {
        "bind": f"fd://{bound.fileno()}", "workers": processes, "threads": threads, "worker_class": web_worker.Worker,
        "worker_connections": threads * 2 + 1000, "limit_request_line": web_worker.LINE_MAX,
        "keepalive": KEEPALIVE, "graceful_timeout": GRACEFUL_TIMEOUT,
        "timeout": 120, "accesslog": None, "logger_class": _Logger, "proc_name": "obsvc",
        "worker_tmp_dir": "/dev/shm" if os.access("/dev/shm", os.W_OK) else None, "control_socket_disable": True,
        "post_fork": lambda arbiter, worker: die_with_parent(), "post_worker_init": post_worker_init,
        "when_ready": lambda arbiter: on_ready(port) if on_ready else None,
        "child_exit": lambda arbiter, worker: metrics_sharing.ended(worker.pid),
        "on_exit": lambda arbiter: on_exit() if on_exit else None,
    }
    _Application(make_app, options).run()


def free_threads(threads: int) -> int:
    """How many of ``threads`` long polls may hold, so that some stay free for beats, reports and health."""
    return max(1, threads - max(3, threads // 8))


def die_with_parent(number: int = signal.SIGTERM) -> None:
    """Have this process sent ``number`` when its parent ends (Linux; elsewhere nothing happens)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, number, 0, 0, 0)


def read_body(req: falcon.Request) -> bytes:
    """The request's body; TooLarge where it is larger than BODY_MAX."""
    if (req.content_length or 0) > BODY_MAX:
        raise TooLarge(f"expected a body of at most {BODY_MAX} bytes, got {req.content_length}")
    return req.bounded_stream.read()


# health


class _Healthz:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.text = '{"status": "up"}'


class _Readyz:
    def __init__(self, ready: Ready) -> None:
        self._ready = ready

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        reason = self._ready()
        resp.status = 200 if reason is None else 503
        resp.text = json.dumps({"ready": reason is None} | ({} if reason is None else {"reason": reason}))


class _Metrics:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.content_type = prometheus_client.CONTENT_TYPE_LATEST
        resp.data = metrics_sharing.exposition()


#: Paths that ask for no authentication.
HEALTH_PATHS = ("/healthz", "/readyz", "/metrics")


def add_health_routes(app: falcon.App, ready: Ready) -> None:
    """``/healthz`` (the process is up), ``/readyz`` (``ready()``: None, or why not), ``/metrics``."""
    app.add_route("/healthz", _Healthz())
    app.add_route("/readyz", _Readyz(ready))
    app.add_route("/metrics", _Metrics())


def health_app(ready: Ready) -> falcon.App:
    """An application of the health routes alone."""
    app = falcon.App()
    add_health_routes(app, ready)
    add_error_handlers(app)
    return app


class _ThreadingServer(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True
    allow_reuse_address = True


class _QuietHandler(wsgiref.simple_server.WSGIRequestHandler):
    timeout = 10

    def log_message(self, format: str, *args: Any) -> None:
        LOG.debug(format, *args)


class HealthServer:
    """The health routes on a thread of their own; port 0: any free one, see ``port`` after ``start``."""

    def __init__(self, host: str, port: int, ready: Ready) -> None:
        self.host = host
        self.port = port
        self._ready = ready
        self._server: _ThreadingServer | None = None

    def start(self) -> HealthServer:
        """Bind and serve; ConfigError where the port can't be bound."""
        bound = bind_socket(self.host, self.port)
        self.port = bound.getsockname()[1]
        server = _ThreadingServer((self.host, self.port), _QuietHandler, bind_and_activate=False)
        server.socket.close()
        server.socket = bound
        server.server_name, server.server_port = self.host, self.port
        server.setup_environ()
        server.server_activate()
        server.set_app(health_app(self._ready))
        self._server = server
        threading.Thread(target=server.serve_forever, args=(0.1,), name="health", daemon=True).start()
        return self

    def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()


# basic authentication


class BasicAuth(basic_auth.BasicAuthMiddleware):
    """oslo.middleware's HTTP basic authentication over an htpasswd file (bcrypt), answering in our error shape.

    A right password is remembered for ``MEMORY`` seconds (as a digest), while the file is unchanged: bcrypt takes
    tenths of a second of CPU on purpose, and members call several times a second.
    """

    MEMORY = 60.0

    def __init__(self, application: Any, user_file: str, *, open_paths: Iterable[str] = HEALTH_PATHS) -> None:
        try:
            basic_auth.validate_auth_file(user_file)
        except Exception as error:  # oslo.middleware's own classes, and whatever reading a file raises
            detail = getattr(error, "detail", None) or " ".join(str(error).split())
            raise ConfigError(
                f"expected an htpasswd file with bcrypt passwords at {user_file} ({detail}): make it with htpasswd -B"
            ) from error
        super(basic_auth.BasicAuthMiddleware, self).__init__(application, None)
        self.auth_file = user_file
        self._open_paths = frozenset(open_paths)
        self._good: dict[bytes, tuple[float, float]] = {}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        request_ids.begin(environ)
        digest = self._digest(environ)  # now: oslo.middleware takes the header out of the environment
        if environ.get("PATH_INFO") in self._open_paths or self._remembered(digest):
            return self.application(environ, start_response)
        try:
            username, password = basic_auth.parse_token(basic_auth.parse_header(environ))
            environ.update(basic_auth.authenticate(self.auth_file, username, password))
        except Exception as error:  # noqa: BLE001 - whatever goes wrong here means: not let in
            LOG.info("a request for %s was refused: %s", environ.get("PATH_INFO"), error)
            return refuse(
                environ, start_response, Unauthorized("expected a user and a password that the htpasswd file has"),
                ("WWW-Authenticate", 'Basic realm="obsvc"'))
        if len(self._good) > 1000:
            self._good.clear()
        if digest is not None:
            self._good[digest] = (time.monotonic() + self.MEMORY, self._changed_at())
        return self.application(environ, start_response)

    def _remembered(self, digest: bytes | None) -> bool:
        found = self._good.get(digest) if digest is not None else None
        return found is not None and found[0] > time.monotonic() and found[1] == self._changed_at()

    @staticmethod
    def _digest(environ: dict[str, Any]) -> bytes | None:
        """Of the request's credentials; None where it has none."""
        header = environ.get("HTTP_AUTHORIZATION")
        return hashlib.sha256(header.encode("utf-8", "surrogateescape")).digest() if header else None

    def _changed_at(self) -> float:
        with contextlib.suppress(OSError):
            return pathlib.Path(self.auth_file).stat().st_mtime
        return -1.0
