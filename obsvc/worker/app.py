"""The worker process: plugins, cloud sessions, engine client, health server, and the wait for a signal."""
from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterable
from typing import Any

import stevedore
from oslo_config import cfg

import obsvc
from obsvc import engine_client
from obsvc.cloud.sessions import CloudSessions
from obsvc.exceptions import ConfigError, one_line
from obsvc.process.signals import on_termination
from obsvc.web.health import HealthServer
from obsvc.worker.clients import CloudClients
from obsvc.worker.loop import Worker
from obsvc.worker.plugins.contract import Plugin

LOG = logging.getLogger(__name__)

NAMESPACE = "obsvc.worker.plugins"


def load_plugins(namespace: str = NAMESPACE) -> dict[str, Plugin]:
    """The plugins by HOT type; one that can't be loaded is one line in the log, and the others go on."""

    def on_failure(_manager: object, entry_point: object, error: BaseException) -> None:
        LOG.error("plugin %s can't be loaded and is left out: %s: %s", entry_point, type(error).__name__,
                  one_line(error))

    manager: Iterable[Any] = stevedore.ExtensionManager(
        namespace, invoke_on_load=True, on_load_failure_callback=on_failure)
    return {extension.name: extension.obj for extension in manager}


def worker_name(conf: cfg.ConfigOpts) -> str:
    """This worker's name: from the configuration, else host and process id."""
    return conf.worker.name or f"{conf.host or socket.gethostname()}.{os.getpid()}"


def run(conf: cfg.ConfigOpts, *, stop: threading.Event | None = None) -> int:
    """Work until SIGTERM or SIGINT (or ``stop``); the exit code: 0, or 1 when jobs were left unfinished."""
    plugins = load_plugins()
    if not plugins:
        raise ConfigError(f"no plugin of the namespace {NAMESPACE} could be loaded: is obsvc installed (pip install)?")
    name = worker_name(conf)
    user_agent = f"obsvc/{obsvc.__version__} (worker {name})"
    if stop is None:
        stop = threading.Event()
        on_termination(stop.set)
    engine = engine_client.from_conf(conf, user_agent)
    worker = Worker(
        engine, plugins, CloudClients(CloudSessions.from_conf(conf, user_agent)), name=name,
        threads=conf.worker.threads, drain_timeout=conf.worker.drain_timeout,
        request_timeout=conf.cloud.request_timeout,
    )
    health = HealthServer(conf.worker.health_host, conf.worker.health_port, worker.ready)
    health.start()
    worker.start()
    stop.wait()
    LOG.info("worker %s stops: no more jobs are taken", name)
    finished = worker.stop()
    health.stop()
    return 0 if finished else 1
