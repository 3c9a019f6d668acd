"""Fetch threads, queue, gate and sessions together: a service that hangs holds nobody back."""
from __future__ import annotations

import socket
import threading

import pytest
from keystoneauth1 import session as ks_session
from keystoneauth1 import token_endpoint

from obsvc import catalog
from obsvc.cloud.sessions import CloudSessions
from obsvc.model import Cause, Ref
from obsvc.observer.fetching.fetcher import Fetcher
from obsvc.observer.fetching.gate import GateSettings, ServiceGate
from obsvc.observer.fetching.result import FetchOutcome
from obsvc.observer.queue.work_queue import WorkQueue
from tests.support.processes.servers import free_port, wait_until

CATALOG = catalog.load()
THREADS = 4


class Sessions:
    """Nova takes connections and never answers; neutron's port is closed: it fails at once."""

    def __init__(self, nova_port: int) -> None:
        self._nova = _sessions(nova_port, timeout=20.0)
        self._neutron = _sessions(free_port(), timeout=20.0)

    def get(self, region, service_type, path, **options):
        sessions = self._nova if service_type == "compute" else self._neutron
        return sessions.get(region, service_type, path, **options)


def _sessions(port: int, *, timeout: float) -> CloudSessions:
    auth = token_endpoint.Token(f"http://127.0.0.1:{port}", "token")
    return CloudSessions(ks_session.Session(auth=auth), timeout=timeout)


@pytest.fixture
def silent():
    listener = socket.create_server(("127.0.0.1", 0), backlog=200)
    yield listener.getsockname()[1]
    listener.close()


def test_a_service_that_hangs_takes_half_of_the_threads_and_no_more(silent):
    gate = ServiceGate(GateSettings(threads=THREADS, requests_per_second=1000.0, breaker_failures=1000))
    fetcher = Fetcher(CATALOG, Sessions(silent), gate=gate)
    queue = WorkQueue(lane_of=fetcher.lane_of, gate=gate)
    tried: set[Ref] = set()

    def run() -> None:
        while (look := queue.get(timeout=60.0)) is not None:
            fetched = fetcher.fetch(look.ref)
            assert fetched.outcome is FetchOutcome.FAILED
            tried.add(look.ref)
            queue.done(look)

    servers = [Ref("R", "compute.server", str(number)) for number in range(50)]
    ports = [Ref("R", "network.port", str(number)) for number in range(50)]
    threads = [threading.Thread(target=run, daemon=True) for _ in range(THREADS)]
    for ref in (*servers, *ports):
        queue.add(ref, Cause.NOTIFIED)
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: tried.issuperset(ports), bound=15, what="every port looked at while nova hangs")
        assert len(queue.processing) == THREADS // 2 and queue.processing <= set(servers)
    finally:
        queue.close()
