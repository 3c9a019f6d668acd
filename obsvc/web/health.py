"""The health routes ``/healthz``, ``/readyz`` and ``/metrics``: as part of an API, or served beside other work.

``HealthServer`` runs on a thread of its own.
"""
from __future__ import annotations

import json
import logging
import socketserver
import wsgiref.simple_server
from collections.abc import Callable
from typing import Any

import falcon
import prometheus_client

from obsvc.process.threads import Loop
from obsvc.web import metrics_sharing
from obsvc.web.errors import add_error_handlers
from obsvc.web.sockets import bind_socket

LOG = logging.getLogger(__name__)

#: Why a process is not ready, in one sentence; None when it is.
Ready = Callable[[], str | None]

#: Paths that ask for no authentication.
HEALTH_PATHS = ("/healthz", "/readyz", "/metrics")


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


def add_health_routes(app: falcon.App[falcon.Request, falcon.Response], ready: Ready) -> None:
    """``/healthz`` (the process is up), ``/readyz`` (``ready()``: None, or why not), ``/metrics``."""
    app.add_route("/healthz", _Healthz())
    app.add_route("/readyz", _Readyz(ready))
    app.add_route("/metrics", _Metrics())


def health_app(ready: Ready) -> falcon.App[falcon.Request, falcon.Response]:
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
        Loop("health", lambda _stop: server.serve_forever(0.1)).start()
        return self

    def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
