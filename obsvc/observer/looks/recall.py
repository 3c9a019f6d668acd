"""Notification recall: how many of the changes that this member found did a notification announce?

A change is an accepted report that differs from the snapshot before.  It is *seen* when a notification that no look
had answered yet made the look, or was waiting when the change was found otherwise (by a sweep's mark, a poll, a
resync), or comes within ``grace`` seconds afterwards and leads to nothing new; else it is *missed*.  What was found by
a look with another reason (a start, a takeover, an operator) says nothing about the bus and is not counted.

A duplicate of one notification can stand for another that was lost: so where notifications are duplicated, the recall
is an upper bound.

Any thread may call; nothing blocks.
"""
from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable

from oslo_config import cfg

from obsvc import metrics
from obsvc.catalog import Catalog
from obsvc.engine_client.duties import SWEPT, RecallCount
from obsvc.model import Cause, Ref
from obsvc.process.clock import Clock
from obsvc.process.recency_map import RecencyMap

#: Refs whose last notification is remembered, and changes that wait for theirs; the oldest are forgotten beyond.
KEPT = 50_000

#: Seconds that a change waits for the look which its notification asked for, at most.
LOOK_MAX = 300.0

#: Changes counted in the window, at most.
COUNTED_MAX = 50_000


class Recall:
    """grace, window: seconds, see ``[sweep]``.  service_of: resource type → service name."""

    def __init__(self, *, grace: float, window: float, service_of: Callable[[str], str], clock: Clock) -> None:
        self._grace = grace
        self._window = window
        self._service_of = service_of
        self._clock = clock
        self._lock = threading.Lock()
        self._arrived: RecencyMap[Ref, float] = RecencyMap(KEPT)  # the newest notification that no look has answered
        self._origin: RecencyMap[Ref, bool | None] = RecencyMap(KEPT)  # of the look that a settle look follows
        self._waiting: RecencyMap[Ref, list[float]] = RecencyMap(KEPT)  # changes found without a notification
        self._counted: deque[tuple[float, str, str, bool]] = deque(maxlen=COUNTED_MAX)

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts, catalog: Catalog, clock: Clock) -> Recall:
        """As ``[sweep]`` says."""
        services = {name: catalog.service_of(name).service for name in catalog.types}
        return cls(
            grace=conf.sweep.grace, window=conf.sweep.recall_window, clock=clock,
            service_of=lambda name: services.get(name, name),
        )

    def notified(self, ref: Ref) -> None:
        """A notification that asks for a look at ``ref``, which is observed here, has arrived."""
        now = self._clock.monotonic()
        with self._lock:
            self._expire(now)
            self._arrived.put(ref, now)

    def begun(self, ref: Ref, cause: Cause, mark_reason: str | None) -> None:
        """A look at ``ref`` begins."""
        if cause not in (Cause.SETTLE, Cause.RETRY):
            with self._lock:
                self._origin.put(ref, _counts(cause, mark_reason))

    def reported(self, ref: Ref, began: float, *, changed: bool) -> None:
        """A look at ``ref`` that began at ``began`` (monotonic seconds) was accepted; changed: it differed."""
        now = self._clock.monotonic()
        with self._lock:
            self._expire(now)
            arrived = self._arrived.get(ref)
            answers = arrived if arrived is not None and arrived < began else None
            if changed:
                notified = self._origin.get(ref)
                if notified or arrived is not None:
                    self._count(ref, now, seen=True, late=0.0)
                elif notified is False:
                    self._waiting.put(ref, [*self._waiting.get(ref, ()), now])
            elif answers is not None and ref in self._waiting:
                self._late(ref, answers, now)
            if answers is not None:
                del self._arrived[ref]

    def _late(self, ref: Ref, arrived: float, now: float) -> None:
        """A notification led to nothing new: it told of a change that had been found before."""
        found_at = self._waiting[ref]
        late = arrived - found_at.pop(0)
        self._count(ref, now, seen=late <= self._grace, late=max(0.0, late))
        if not found_at:
            del self._waiting[ref]

    def read(self) -> tuple[RecallCount, ...]:
        """What was counted within the window, for the beat."""
        now = self._clock.monotonic()
        with self._lock:
            self._expire(now)
            while self._counted and self._counted[0][0] < now - self._window:
                self._counted.popleft()
            counts = Counter(change[1:] for change in self._counted)
        kinds = sorted({(region, name) for region, name, _seen in counts})
        return tuple(
            RecallCount(region, self._service_of(name), name, counts[region, name, True], counts[region, name, False])
            for region, name in kinds
        )

    def _expire(self, now: float) -> None:
        """Changes whose notification has not come in time were missed; one that came may wait for its look yet."""
        over = []
        for ref, found_at in self._waiting.items():
            if found_at[-1] > now - self._grace:
                break  # in the order of their newest change
            if self._arrived.get(ref, now) > found_at[-1] + self._grace or now > found_at[-1] + LOOK_MAX:
                over.append(ref)
        for ref in over:
            for _change in self._waiting.pop(ref):
                self._count(ref, now, seen=False)

    def _count(self, ref: Ref, now: float, *, seen: bool, late: float = 0.0) -> None:
        self._counted.append((now, ref.region, ref.resource_type, seen))
        metrics.RECALL_CHANGES.labels(ref.region, ref.resource_type, "seen" if seen else "missed").inc()
        if seen:
            metrics.RECALL_LATE.labels(ref.region, ref.resource_type).observe(late)


def _counts(cause: Cause, mark_reason: str | None) -> bool | None:
    """True: a notification asked for the look.  False: it found by itself what there was.  None: neither."""
    if cause is Cause.NOTIFIED:
        return True
    if cause in (Cause.POLLED, Cause.RESYNC) or (cause is Cause.MARKED and mark_reason == SWEPT):
        return False
    return None
