"""Looks that a takeover or a gap asks for: one at each ref, paced, and which of them are still to come.

While any are to come the member does not call itself caught up.  Any thread may call; nothing blocks.
"""
from __future__ import annotations

import logging
import random
import threading
from collections.abc import Iterable
from typing import Protocol

from obsvc.model import Cause, Ref
from obsvc.observer.queue.work_queue import WorkQueue
from obsvc.observer.state.holdings import Holdings

LOG = logging.getLogger(__name__)

#: Share of a service's request budget that the looks of a resync add at most, so that what is notified meanwhile has
#: room.
BUDGET_SHARE = 0.5


class Budget(Protocol):
    """What services may be asked (:class:`obsvc.observer.fetching.gate.ServiceGate`)."""

    @property
    def rate(self) -> float:
        """Requests a second that this member may make of one service."""


class CatchUp:
    """spread: seconds over which the looks are spread at least (``[observer] takeover_spread``)."""

    def __init__(self, *, queue: WorkQueue, holdings: Holdings, budget: Budget, spread: float,
                 rng: random.Random | None = None) -> None:
        self._queue = queue
        self._holdings = holdings
        self._budget = budget
        self._spread = spread
        self._rng = rng or random.Random()
        self._lock = threading.Lock()
        self._pending: set[Ref] = set()

    def __len__(self) -> int:
        """How many refs were not looked at yet."""
        return len(self._pending)

    def resync(self, region: str, reason: str) -> int:
        """Notifications from ``region`` may have been missed: every ref held there gets one paced look with low
        priority, from here; a sweep lists the services as well.  Answers how many."""
        refs = self._holdings.refs(region)
        if refs:
            LOG.warning("%d observed resources of %s get a look: %s", len(refs), region, reason)
            self.pace(refs, Cause.RESYNC)
        return len(refs)

    def pace(self, refs: list[Ref], cause: Cause) -> None:
        """One look at each of ``refs``, spread evenly, in any order."""
        span = max(self._spread, len(refs) / (BUDGET_SHARE * self._budget.rate))
        self._rng.shuffle(refs)
        for place, ref in enumerate(refs):
            if self._request(ref):
                self._queue.add_after(ref, span * place / len(refs), cause)

    def look_now(self, ref: Ref) -> None:
        """One look at ``ref``, of which notifications may have been missed before it was taken over."""
        if self._request(ref):
            self._queue.add(ref, Cause.TAKEOVER)

    def looked(self, ref: Ref) -> None:
        """A look at ``ref`` was reported."""
        if self._pending:
            with self._lock:
                self._pending.discard(ref)

    def forget(self, refs: Iterable[Ref]) -> None:
        """``refs`` are not ours to look at any more."""
        with self._lock:
            self._pending.difference_update(refs)

    def _request(self, ref: Ref) -> bool:
        """Note that a look at ``ref`` is due; False when the ref is not observed here any more."""
        with self._lock:
            self._pending.add(ref)  # before it is asked: who lets go of the ref afterwards takes it out again
        if self._holdings.request_look(ref) is not None:
            return True
        with self._lock:
            self._pending.discard(ref)
        return False
