"""Serving a WSGI application with gunicorn.

``serve`` takes over the calling process until it is told to end (SIGTERM, SIGINT); call it from the main thread.
"""
from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any
from wsgiref.types import WSGIApplication

import gunicorn.app.base
import gunicorn.glogging

from obsvc.process import gc_tuning
from obsvc.web import metrics_sharing
from obsvc.web import worker as web_worker
from obsvc.web.sockets import bind_socket

#: Seconds that requests under way have to end at a stop; long polls are woken, so nothing takes that long.
GRACEFUL_TIMEOUT = 5

#: Seconds that an idle connection is kept: longer than clients' heartbeats are apart, so that none pays for a new one.
KEEPALIVE = 75

#: Seconds after which the kernel drops a client that acknowledges nothing of what is sent to it: it would hold a
#: thread for good.
TCP_USER_TIMEOUT = 60


class _Logger(gunicorn.glogging.Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's log, through the process's own logging; no access log."""

    def setup(self, cfg: Any) -> None:
        self.error_log.propagate = True
        self.access_log.disabled = True

    def access(self, *args: Any, **kwargs: Any) -> None:
        return


class GunicornApplication(gunicorn.app.base.BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn with options of ours in place of its command line; ``make_app`` is called in each worker."""

    def __init__(self, make_app: Callable[[], WSGIApplication], options: Mapping[str, object]) -> None:
        self._make_app = make_app
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            if name in self.cfg.settings:  # a few are known to newer versions of gunicorn only
                self.cfg.set(name, value)

    def load(self) -> WSGIApplication:
        return self._make_app()


def serve(
    make_app: Callable[[], WSGIApplication],
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
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TCP_USER_TIMEOUT * 1000)

    options = {
        "bind": f"fd://{bound.fileno()}", "workers": processes, "threads": threads, "worker_class": web_worker.Worker,
        "worker_connections": threads * 2 + 1000, "limit_request_line": web_worker.LINE_MAX,
        "keepalive": KEEPALIVE, "graceful_timeout": GRACEFUL_TIMEOUT,
        "timeout": 120, "accesslog": None, "logger_class": _Logger, "proc_name": "obsvc",
        "worker_tmp_dir": "/dev/shm" if os.access("/dev/shm", os.W_OK) else None, "control_socket_disable": True,
        "post_fork": lambda arbiter, worker: die_with_parent(),
        "post_worker_init": lambda worker: _worker_ready(on_stop),
        "when_ready": lambda arbiter: on_ready(port) if on_ready else None,
        "child_exit": lambda arbiter, worker: metrics_sharing.ended(worker.pid),
        "on_exit": lambda arbiter: on_exit() if on_exit else None,
    }
    GunicornApplication(make_app, options).run()


def _worker_ready(on_stop: Callable[[], None] | None) -> None:
    """Last in a worker's start: from now on SIGTERM also calls ``on_stop``, after gunicorn's own handler."""
    graceful = signal.getsignal(signal.SIGTERM)

    def ends(number: int, frame: FrameType | None) -> None:
        if callable(graceful):
            graceful(number, frame)
        if on_stop is not None:
            on_stop()

    signal.signal(signal.SIGTERM, ends)
    gc_tuning.freeze_gc()


def long_poll_slots(threads: int) -> int:
    """How many of ``threads`` long polls may hold, so that some stay free for heartbeats, reports and health."""
    return max(1, threads - max(3, threads // 8))


def die_with_parent(number: int = signal.SIGTERM) -> None:
    """Have this process sent ``number`` when its parent ends (Linux; elsewhere nothing happens)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, number, 0, 0, 0)
