"""One ``/metrics`` for all the processes of a service: gunicorn's workers, and the engine's child for due work.

prometheus-client's multiprocess mode: every process keeps its values in files of one folder, and whichever process
is asked adds them up.  It chooses the mode when it is imported, so :func:`shared` comes before that.  What it can't
add up is left out: ``process_*`` and ``python_*``.
"""
from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator

#: prometheus-client's own: the folder, and that the mode is on.
VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


@contextlib.contextmanager
def shared() -> Iterator[None]:
    """This process, and those that it forks or starts meanwhile, count together."""
    if "prometheus_client" in sys.modules:
        raise RuntimeError("expected to be called before prometheus_client is imported, got it imported")
    owner = os.getpid()
    folder = os.environ[VARIABLE] = tempfile.mkdtemp(prefix="obsvc-metrics-")
    try:
        yield
    finally:
        if os.getpid() == owner:  # gunicorn's workers also come through here
            shutil.rmtree(folder, ignore_errors=True)


def exposition() -> bytes:
    """The metrics in Prometheus's text format: of all the processes that share theirs, else of this one."""
    import prometheus_client
    from prometheus_client import multiprocess

    registry = prometheus_client.REGISTRY
    if VARIABLE in os.environ:
        registry = prometheus_client.CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # prometheus-client's
    return prometheus_client.generate_latest(registry)


def ended(pid: int) -> None:
    """The process ``pid`` has ended: its gauges no longer count, its counters still do."""
    from prometheus_client import multiprocess

    if VARIABLE in os.environ:
        multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]  # prometheus-client's
