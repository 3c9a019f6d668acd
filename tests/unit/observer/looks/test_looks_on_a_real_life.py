"""The work queue and the policy of looks on what a real nova sent during one server's life, in virtual time.

Only the timing of queue and policy is at stake here; ``tests/functional/test_real_server_life.py`` does it with a
broker and processes.
"""
from __future__ import annotations

import datetime
import random

import pytest

from obsvc import catalog
from obsvc.catalog.snapshots import snapshot
from obsvc.engine_client.reports import ReportOutcome, Verdict
from obsvc.listeners.decode import Decoder
from obsvc.model import Cause, Ref, Urgency
from obsvc.observer.fetching.result import FetchOutcome, FetchResult
from obsvc.observer.looks.after_fetch import after_fetch
from obsvc.observer.looks.announcements import answered, is_urgent
from obsvc.observer.looks.policy import after_report
from obsvc.observer.looks.values import LookSettings, Moment
from obsvc.observer.queue.work_queue import WorkQueue
from obsvc.observer.state.look_state import LookState
from obsvc.process.clock import ManualClock
from tests.support.shared_data import captured

CATALOG = catalog.load()
SERVER_TYPE = CATALOG.types["compute.server"]
SETTINGS = LookSettings()

#: Seconds of a GET; the answer is what the API showed half way.
LATENCY = 0.03


class Life:
    """The recorded life at ``pace`` times its own speed, from 0: notifications of the server, and its API."""

    def __init__(self, pace: float) -> None:
        bodies = captured("api/nova-server-life.bodies")
        self.start, self.pace = bodies[0]["at"], pace
        self.id = bodies[0]["server"]["id"]
        self.bodies = [(self._at(line["at"]), line["server"]) for line in bodies]
        timeline = captured("api/nova-server-life.timeline")
        self.gone = max(self._at(_epoch(line["at"])) for line in timeline)
        decoder = Decoder(CATALOG)
        self.messages, self.notifications = 0, []
        for line in captured("nova-server-life"):
            self.messages += 1
            at = self._at(_epoch(line["received_at"]))
            decoded = decoder.decode(line["body"], exchange=line["exchange"], routing_key=line["routing_key"])
            if decoded.look is not Urgency.NONE and any(ref.resource_id == self.id for ref in decoded.refs):
                self.notifications.append((at, decoded))

    def _at(self, time: float) -> float:
        return (time - self.start) / self.pace

    def shown(self, at: float) -> dict | None:
        """What the API answers at ``at``; None: 404."""
        if at >= self.gone:
            return None
        return [body for since, body in self.bodies if since <= at][-1] if at >= self.bodies[0][0] else None

    def settled_states(self) -> list[str]:
        """Every state in which the server rested, in order."""
        found = []
        for _, body in self.bodies:
            seen = snapshot(SERVER_TYPE, body)
            if seen.settled and (not found or found[-1] != seen.status):
                found.append(seen.status)
        return [*found, "deleted"]


class Observer:
    """One ref, one fetch at a time, an engine that answers at once."""

    def __init__(self, life: Life) -> None:
        self.life, self.clock, self.rng = life, ManualClock(0.0), random.Random(3)
        self.ref = Ref("RegionOne", "compute.server", life.id)
        self.queue = WorkQueue(clock=self.clock, rng=self.rng)
        self.state = LookState(0.0)
        self.fetches, self.reported = 0, []

    def live(self, until: float) -> None:
        """Take each notification at its time and make each look when it is due."""
        pending = list(self.life.notifications)
        self.queue.add(self.ref, Cause.STARTED)
        under_way = None
        while self.clock.monotonic() < until:
            now = self.clock.monotonic()
            while pending and pending[0][0] <= now:
                self._notified(pending.pop(0)[1])
            if under_way is not None and under_way[1] + LATENCY <= now:
                self._looked(*under_way)
                under_way = None
            if under_way is None and (look := self.queue.get()) is not None:
                under_way = look, now
            self.clock.advance(0.005)

    def _notified(self, notification) -> None:
        urgent = is_urgent(notification.look, notification.state, self.state)
        self.queue.add(self.ref, Cause.NOTIFIED, announced=notification.state, urgent=urgent)

    def _looked(self, look, began_at: float) -> None:
        self.fetches += 1
        body = self.life.shown(began_at + LATENCY / 2)
        seen = snapshot(SERVER_TYPE, body) if body is not None else None
        fetched = FetchResult(self.ref, FetchOutcome.FOUND if seen else FetchOutcome.ABSENT, began_at, began_at, seen)
        now = self.clock.monotonic()
        decision = after_fetch(self.state, look, fetched, Moment(now, now), SETTINGS, self.rng)
        self.state = decision.state
        if decision.report is not None:
            self.reported.append(decision.report)
            self.state, poll = after_report(self.state, ReportOutcome(Verdict.ACCEPTED), Moment(now, now),
                                                   SETTINGS, self.rng)
            assert poll is None
        if decision.next is not None:
            self.queue.add_after(self.ref, decision.next.delay, decision.next.cause)
        self.queue.done(look, shows=lambda word: answered(self.state, word))

    def settled_states(self) -> list[str]:
        found = []
        for seen in self.reported:
            word = seen.status if seen.exists else "deleted"
            if seen.settled and (not found or found[-1] != word):
                found.append(word)
        return found


@pytest.mark.parametrize("pace", [1.0, 10.0])
def test_a_real_servers_life(pace):
    life = Life(pace)
    assert len(life.notifications) > 100
    observer = Observer(life)
    observer.live(life.gone + 30.0)
    seen, real = observer.settled_states(), life.settled_states()
    print(f"pace {pace}: {observer.fetches} fetches for {life.messages} notifications; settled states {seen}")
    assert seen[-1] == "deleted"
    if pace == 1.0:
        assert seen == real
        assert observer.fetches <= life.messages / 2
    else:
        assert observer.fetches <= life.messages / 5
    remaining = iter(real)
    assert all(word in remaining for word in seen), "in the order in which they were"
    assert observer.queue.waiting == 0, "nothing is looked at any more"


def _epoch(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp()
