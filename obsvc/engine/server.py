"""The engine as a process: gunicorn's workers, and the child that runs what is due.

``run`` takes over the calling process (main thread).  A wrong start ends with one ConfigError; a database that is
away for now is waited for: the process serves, answers ``unavailable``, and ``/readyz`` says why.
"""
from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

from oslo_config import cfg

from obsvc.engine import http
from obsvc.engine.database.databases import shown
from obsvc.engine.database.schema_version import check_schema
from obsvc.engine.database.store import Store
from obsvc.engine.due_process import PARENT_VARIABLE
from obsvc.engine.service import EngineService
from obsvc.exceptions import ConfigError, Unavailable
from obsvc.process.threads import Loop
from obsvc.web import metrics_sharing
from obsvc.web.basic_auth import BasicAuth, check_user_file
from obsvc.web.serving import long_poll_slots, serve
from obsvc.web.sockets import check_bind

LOG = logging.getLogger(__name__)

#: Seconds between a death of the due child and its new start, and that it has to end by itself.
CHILD_PAUSE = 1.0
CHILD_PATIENCE = 6.0


def run(conf: cfg.ConfigOpts, child_arguments: Sequence[str] = ()) -> None:
    """Serve until told to end.  child_arguments: options of oslo.config for the due child (``--config-file`` …)."""
    options = conf.engine
    check_bind(options.auth_strategy, options.bind_host)
    if options.auth_strategy == "http_basic":
        check_user_file(options.http_basic_auth_user_file)
    _check_database(conf)
    child = DueChild(child_arguments)
    services: list[EngineService] = []

    def make_app() -> Any:
        service = EngineService(Store.from_conf(conf), waiters_limit=long_poll_slots(options.threads))
        services.append(service)
        app = http.make_app(service)
        if options.auth_strategy == "http_basic":
            return BasicAuth(app, options.http_basic_auth_user_file)
        return app

    def ready(port: int) -> None:
        LOG.info("engine serves on %s port %d, database %s", options.bind_host, port, shown(conf.database.url))
        child.start()

    def stop() -> None:
        for service in services:
            service.shutdown()

    serve(
        make_app, host=options.bind_host, port=options.bind_port, processes=options.processes,
        threads=options.threads, on_ready=ready, on_exit=child.stop, on_stop=stop,
    )


def _check_database(conf: cfg.ConfigOpts) -> None:
    store = Store.from_conf(conf)
    try:
        check_schema(store)
        EngineService(store).prepare()
    except Unavailable as error:
        LOG.warning("the engine waits for its database: %s", error.message)
    except ConfigError:
        raise
    finally:
        store.close()


class DueChild:
    """The process ``obsvc.engine.due_process``, started again whenever it ends; it ends by itself without us."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._command = [sys.executable, "-m", "obsvc.engine.due_process", *arguments]
        self._process: subprocess.Popen[bytes] | None = None
        self._loop = Loop("due-child", self._run)
        self._stopping = threading.Event()
        # Popen waits until the program has begun, by a pipe that a worker forked meanwhile would keep open for good
        self._forking = threading.Lock()
        os.register_at_fork(
            before=self._forking.acquire, after_in_parent=self._forking.release, after_in_child=self._forking.release
        )

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        """End it, by force after CHILD_PATIENCE seconds."""
        self._stopping.set()
        self._loop.stop()
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(CHILD_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set() and not self._stopping.is_set():
            with self._forking:
                process = self._process = subprocess.Popen(
                    self._command, stdin=subprocess.DEVNULL, env={**os.environ, PARENT_VARIABLE: str(os.getpid())}
                )
            # gunicorn's arbiter reaps every child, so its exit status may be gone: only that it ended is certain
            while process.poll() is None and not stop.wait(0.2):
                pass
            metrics_sharing.ended(process.pid)
            if not stop.is_set():
                LOG.warning("the process for due work ended and starts again in %.0f s", CHILD_PAUSE)
                stop.wait(CHILD_PAUSE)
