"""Helpers for tests of the listener: a listener that keeps what it got, and a publisher that is oslo.messaging's."""
from __future__ import annotations

import contextlib
import json
import threading
import uuid
from collections.abc import Iterator

from obsvc.catalog import load
from obsvc.listeners.decode import Decoder
from obsvc.listeners.listener import BusListener, Receiver
from obsvc.listeners.settings import BusSettings
from obsvc.messaging import Broker
from obsvc.messaging.connection import release
from tests.support.processes.servers import wait_until

DECODER = Decoder(load())


class Heard:
    """A listener on ``bus`` and everything that it called; ``settle`` False leaves deliveries open."""

    def __init__(self, bus: BusSettings, member: str = "obs-1", *, settle: bool = True) -> None:
        self.notifications, self.deliveries, self.gaps, self.letters = [], [], [], []
        self.settle = settle
        self.taking = True
        self.bury_error: Exception | None = None
        self._lock = threading.Lock()
        self.listener = BusListener(
            bus, member, DECODER,
            Receiver(self._sink, on_gap=lambda bus, reason: self.gaps.append(reason), store_dead_letter=self._bury,
                     may_take=lambda: self.taking),
        )

    def _sink(self, notification, delivery):
        with self._lock:
            self.notifications.append(notification)
            self.deliveries.append(delivery)
        if self.settle:
            delivery.settle()

    def _bury(self, letter):
        if self.bury_error is not None:
            raise self.bury_error
        self.letters.append(letter)

    def ids(self):
        return [notification.refs[0].resource_id for notification in self.notifications]

    def wait_consuming(self):
        wait_until(lambda: self.listener.consuming, bound=60, what="the listener consumes")

    def wait_count(self, count: int, bound: float = 30):
        wait_until(lambda: len(self.notifications) >= count, bound=bound, what=f"{count} notifications")


@contextlib.contextmanager
def hearing(bus: BusSettings, member: str = "obs-1", *, settle: bool = True, wait: bool = True) -> Iterator[Heard]:
    """A started :class:`Heard`, stopped at the end."""
    heard = Heard(bus, member, settle=settle)
    heard.listener.start()
    try:
        if wait:
            heard.wait_consuming()
        yield heard
    finally:
        assert heard.listener.stop(10), "the listener's threads end"


def instance_update(server_id: str, state: str = "active") -> dict:
    """An unversioned nova notification, as little of it as decides."""
    return {
        "event_type": "compute.instance.update", "publisher_id": "compute.host", "priority": "INFO",
        "message_id": str(uuid.uuid4()), "timestamp": "2026-01-01 00:00:00.000000",
        "payload": {"instance_id": server_id, "tenant_id": "p", "state": state, "state_description": ""},
    }


@contextlib.contextmanager
def connected(url: str):
    """A kombu connection for a test's own questions."""
    connection = Broker(url).connect()
    try:
        yield connection
    finally:
        release(connection)


def body(text: str) -> dict:
    return json.loads(json.loads(text)["oslo.message"])
