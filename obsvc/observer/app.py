"""The observer process: the engine is waited for, the observer is run, a signal ends it.

SIGTERM or SIGINT hands every partition over and ends (within ``[observer] drain_timeout``); a second one ends at once.
Whatever makes a start impossible is raised as a ConfigError or IncompatibleContract: one line, no traceback.
"""
from __future__ import annotations

import logging
import os
import socket
import threading

from oslo_config import cfg

import obsvc
from obsvc import catalog as catalogs
from obsvc import engine_client
from obsvc.observer.assembly import Observer
from obsvc.partitioning.engine_check import check_engine, wait_for_engine
from obsvc.process import gc_tuning
from obsvc.process.signals import on_termination
from obsvc.web.health import HealthServer

LOG = logging.getLogger(__name__)

#: Exit code of a process that ended before everything was handed over.
EXIT_NOT_DRAINED = 1


class Signals:
    """``ending`` is set by the first signal, ``now`` by the second."""

    def __init__(self) -> None:
        self.ending = threading.Event()
        self.now = threading.Event()

    def install(self) -> Signals:
        """Take SIGTERM and SIGINT; for the main thread."""
        on_termination(self.received)
        return self

    def received(self) -> None:
        """A signal came."""
        (self.now if self.ending.is_set() else self.ending).set()


class _Readiness:
    """What the health server says: nothing is ready before there is an observer."""

    def __init__(self) -> None:
        self.observer: Observer | None = None

    def not_ready(self) -> str | None:
        return "waits for the engine" if self.observer is None else self.observer.not_ready()


def run(conf: cfg.ConfigOpts, *, signals: Signals | None = None) -> int:
    """Run until told to end; returns the exit code.

    Raises ConfigError, for whatever can be known from the options before anything is waited for.
    """
    # Loaded again when the observer is made; what is wrong with it is raised here, before the engine is waited for.
    catalogs.load(conf.catalog.folders, trust_payload=conf.catalog.trust_payload)
    signals = signals or Signals().install()
    host = conf.host or socket.gethostname()
    name = conf.observer.name or host
    user_agent = f"obsvc/{obsvc.__version__} (observer {name})"
    readiness = _Readiness()
    health = HealthServer(conf.observer.health_host, conf.observer.health_port, readiness.not_ready)
    health.start()
    try:
        engine = engine_client.from_conf(conf, user_agent)
        info = wait_for_engine(engine, signals.ending)
        if info is None:
            return 0
        check_engine(info, conf.coordination.partitions or info.partitions)
        observer = readiness.observer = Observer(
            conf, name=name, user_agent=user_agent, engine=engine, info=info, host=host,
            address=f"{conf.observer.health_host}:{health.port}",
        )
        return _serve(observer, signals, conf.observer.drain_timeout)
    finally:
        health.stop()


def _serve(observer: Observer, signals: Signals, drain_timeout: float) -> int:
    observer.start()
    gc_tuning.freeze_gc()
    LOG.info("observer %s runs, process %d", observer.member, os.getpid())
    signals.ending.wait()
    LOG.info("observer %s ends: its partitions are handed over", observer.member)
    drained = threading.Event()

    def drain() -> None:
        if observer.drain(drain_timeout):
            drained.set()

    draining = threading.Thread(target=drain, daemon=True)
    draining.start()
    while draining.is_alive() and not signals.now.is_set():
        draining.join(0.1)
    observer.stop()
    return 0 if drained.is_set() else EXIT_NOT_DRAINED
