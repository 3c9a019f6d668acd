"""Notifications as oslo.messaging's AMQP driver puts them on the wire, sent from a thread of their own.

``emit`` never blocks and never fails: what can't be sent at once waits in a bounded buffer; when that is full the
oldest are dropped and counted.  The dials decide which are lost, doubled or late.  ``emit``, ``emit_raw`` and the
readers may be called from any thread; ``loop`` is the target of the one sending thread, which keeps the order of
what is equally late.

Wire format: oslo.messaging ``notify/messaging.py``, ``_drivers/common.py`` (envelope 2.0) and ``_drivers/amqp.py``
(``_unique_id``, ``_context_*``).
"""
from __future__ import annotations

import heapq
import itertools
import logging
import random
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from obsvc.messaging import wire
from obsvc.process.clock import Clock
from obsvc.process.outage_log import OutageLog
from obsvc.simcloud.dials import Panel

LOG = logging.getLogger(__name__)

#: Messages that wait while the broker is away.  200,000 of about 4 KB are under a gigabyte, and far more than any
#: demo or test sends.
BUFFER = 200_000
#: Seconds between two tries to reach the broker.
RETRY_PAUSE = 0.5
#: Entries of the log that ``GET /sim/v1/notifications`` reads.
LOG_LENGTH = 200_000

Send = Callable[[str, str, bytes], None]


@dataclass(frozen=True)
class Actor:
    """The originator of what a notification announces.  ids: 32 hex digits, request_id: req-UUID."""

    user_id: str
    user_name: str
    project_id: str
    project_name: str
    request_id: str
    roles: tuple[str, ...] = ("member", "reader")

    def context(self, now: float) -> dict[str, Any]:
        """The flat ``_context_*`` keys that nova, cinder and neutron send."""
        context = {
            "user": self.user_id, "project_id": self.project_id, "system_scope": None, "project": self.project_id,
            "domain": None, "user_domain": "default", "project_domain": "default", "is_admin": "admin" in self.roles,
            "read_only": False, "show_deleted": False, "auth_token": None, "request_id": self.request_id,
            "global_request_id": None, "resource_uuid": None, "roles": list(self.roles),
            "user_identity": f"{self.user_id} {self.project_id} - default default", "is_admin_project": True,
            "user_id": self.user_id, "read_deleted": "no", "remote_address": None,
            "timestamp": datetime.fromtimestamp(now, UTC).replace(tzinfo=None).isoformat(timespec="microseconds"),
            "quota_class": None, "user_name": self.user_name, "service_catalog": [],
            "project_name": self.project_name,
        }
        return {f"_context_{key}": value for key, value in context.items()}


@dataclass(frozen=True)
class Notice:
    """One notification to send.  resource_id: for the log alone.  actor None: no context (glance, keystone)."""

    exchange: str
    publisher_id: str
    event_type: str
    payload: Mapping[str, Any]
    priority: str = "INFO"
    topic: str = "notifications"
    actor: Actor | None = None
    resource_id: str | None = None


def envelope(notice: Notice, now: float) -> bytes:
    """The message body on the wire: the inner notification as JSON text inside the JSON envelope."""
    inner = {
        "message_id": str(uuid.uuid4()),
        "publisher_id": notice.publisher_id,
        "event_type": notice.event_type,
        "priority": notice.priority,
        "payload": notice.payload,
        "timestamp": str(datetime.fromtimestamp(now, UTC).replace(tzinfo=None)),
        "_unique_id": uuid.uuid4().hex,
        **(notice.actor.context(now) if notice.actor else {}),
    }
    return wire.pack(inner)


class Emitted(msgspec.Struct, frozen=True, gc=False):
    """An entry of the log: what was emitted when (epoch seconds), never a payload.  lost: by the dials."""

    seq: int
    time: float
    exchange: str
    routing_key: str
    event_type: str
    resource_id: str | None
    lost: bool


@dataclass
class Counts:
    """emitted: asked for.  lost, duplicated, delayed, reordered: by the dials.  published: confirmed.  dropped: buffer
    full."""

    emitted: int = 0
    lost: int = 0
    duplicated: int = 0
    delayed: int = 0
    published: int = 0
    dropped: int = 0
    failures: int = 0
    reordered: int = 0


@dataclass(order=True)
class _Waiting:
    due: float
    order: int
    exchange: str = field(compare=False)
    routing_key: str = field(compare=False)
    body: bytes = field(compare=False)


class Notifier:
    """The outgoing side of the simulated cloud; send None: nothing is published, only counted and logged."""

    def __init__(
        self, send: Send | None, clock: Clock, panel: Panel, *, seed: int | None = None, buffer: int = BUFFER
    ) -> None:
        self.counts = Counts()
        self._send = send
        self._clock = clock
        self._panel = panel
        self._random = random.Random(seed)
        self._buffer = buffer
        self._waiting: list[_Waiting] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._log: list[Emitted] = []
        self._logged = 0
        self._outage = OutageLog(LOG, "notifications wait: the bus can't be reached", back="the bus is back")

    def emit(self, notice: Notice) -> None:
        """Queue one notification, subject to the dials."""
        now, dials = self._clock.time(), self._panel.now
        body = envelope(notice, now)
        key = f"{notice.topic}.{notice.priority.lower()}"
        with self._changed:
            self.counts.emitted += 1
            lost = notice.exchange in dials.silent_exchanges or self._random.random() < dials.lost_share
            self._note(now, notice.exchange, key, notice.event_type, notice.resource_id, lost=lost)
            if lost:
                self.counts.lost += 1
                return
            late = dials.delayed_seconds if dials.delayed_seconds and self._random.random() < dials.delayed_share else 0
            self.counts.delayed += bool(late)
            if dials.reordered_share and self._random.random() < dials.reordered_share:
                self.counts.reordered += 1
                late += self._random.uniform(0.0, dials.reordered_seconds)
            self._put(notice.exchange, key, body, late)
            if self._random.random() < dials.duplicated_share:
                self.counts.duplicated += 1
                self._put(notice.exchange, key, body, late)

    def emit_raw(self, exchange: str, routing_key: str, body: bytes, *, event_type: str = "") -> None:
        """Queue a message body as it is (a replay); the dials leave it alone."""
        with self._changed:
            self.counts.emitted += 1
            self._note(self._clock.time(), exchange, routing_key, event_type, None, lost=False)
            self._put(exchange, routing_key, body, 0)

    def _note(self, now: float, exchange: str, key: str, event: str, resource_id: str | None, *, lost: bool) -> None:
        self._logged += 1
        self._log.append(Emitted(self._logged, now, exchange, key, event, resource_id, lost))
        if len(self._log) > LOG_LENGTH:
            del self._log[: LOG_LENGTH // 10]

    def _put(self, exchange: str, key: str, body: bytes, late: float) -> None:
        if self._send is None:
            return
        if len(self._waiting) >= self._buffer:
            heapq.heappop(self._waiting)
            self.counts.dropped += 1
        due = self._clock.monotonic() + late
        heapq.heappush(self._waiting, _Waiting(due, next(self._order), exchange, key, body))
        self._changed.notify_all()

    def log(self, since: int, limit: int) -> list[Emitted]:
        """What was emitted (never a payload), from the entry after ``since`` on."""
        with self._changed:
            first = self._logged - len(self._log) + 1
            start = max(0, since + 1 - first)
            return self._log[start:start + limit]

    @property
    def waiting(self) -> int:
        """Messages that are not yet published."""
        return len(self._waiting)

    def take(self) -> _Waiting | None:
        """The next message that is due, left in the buffer until :meth:`done`; None: nothing is due."""
        with self._changed:
            if self._waiting and self._waiting[0].due <= self._clock.monotonic():
                return self._waiting[0]
            return None

    def done(self, message: _Waiting) -> None:
        """The broker has confirmed it."""
        with self._changed:
            self.counts.published += 1
            # It is still the first, unless the full buffer has dropped it meanwhile or an earlier one came.
            if self._waiting and self._waiting[0] is message:
                heapq.heappop(self._waiting)
            elif message in self._waiting:
                self._waiting.remove(message)
                heapq.heapify(self._waiting)

    def loop(self, stop: threading.Event) -> None:
        """Send what is due until ``stop``; a failed send is tried again, so a message may arrive twice."""
        send = self._send
        if send is None:  # nothing is ever published
            return
        while not stop.is_set():
            message = self.take()
            if message is None:
                with self._changed:
                    wait = self._waiting[0].due - self._clock.monotonic() if self._waiting else 0.5
                    if wait > 0:
                        self._changed.wait(min(wait, 0.5))
                continue
            try:
                send(message.exchange, message.routing_key, message.body)
            except Exception as error:  # noqa: BLE001 - whatever the broker's failure, the cloud goes on
                self.counts.failures += 1
                self._outage.failed(error)
                stop.wait(RETRY_PAUSE)
                continue
            self._outage.recovered()
            self.done(message)
