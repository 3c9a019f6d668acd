"""When a session may say that nothing waits for it at the broker: a member that can't is not caught up."""
import types

import pytest

from obsvc.listeners import session as sessions
from obsvc.listeners.session import ACK_INTERVAL, CHECK_INTERVAL, DRAINED_BELOW, Session
from obsvc.listeners.settings import BusSettings
from obsvc.listeners.settlement import Ledger
from obsvc.process.clock import ManualClock

PREFETCH = 10


class Stepped:
    """A session whose consumer takes ``arriving`` messages a step and needs ``took`` seconds for it."""

    def __init__(self, monkeypatch):
        self.clock, self.ledger, self.length, self.arriving, self.took = ManualClock(), Ledger(), 0, 0, 0.0
        self.session = Session(BusSettings("main", "amqp://a:b@127.0.0.1:1//", prefetch=PREFETCH), "q", None,
                               self.ledger, lambda _: None, self.clock)
        self.session._connection = object()
        self.session._consumer = types.SimpleNamespace(
            run=self._run, pause=lambda: None, resume=lambda: None, heartbeat=lambda: None,
            acknowledge=lambda tags, *, multiple: None)
        self.session._check_at = self.clock.monotonic() + CHECK_INTERVAL
        monkeypatch.setattr(sessions.topology, "queue_length", lambda connection, queue: self.length)
        monkeypatch.setattr(sessions.topology, "take_overflow", lambda connection, wanted: False)
        monkeypatch.setattr(Session, "_declare", lambda *_: types.SimpleNamespace(exchanges_were_missing=False))

    def _run(self, timeout):
        for _ in range(self.arriving):
            self.ledger.arrived(object(), self.clock.monotonic())
        self.clock.advance(self.took)
        return self.arriving

    def step(self, *, take=True, arriving=0, took=ACK_INTERVAL + 0.01):
        self.arriving, self.took = arriving, took
        self.session.step(take=take)
        return self.session.drained_at == self.clock.monotonic()


@pytest.fixture
def stepped(monkeypatch):
    return Stepped(monkeypatch)


def test_a_while_without_news_although_there_was_room(stepped):
    assert stepped.step()


def test_not_while_messages_come_nor_when_the_wait_was_cut_short(stepped):
    assert not stepped.step(arriving=1)
    assert not stepped.step(took=ACK_INTERVAL / 2)


def test_not_while_the_window_is_full_or_nothing_is_taken(stepped):
    assert not stepped.step(arriving=PREFETCH)
    assert not stepped.step()
    stepped.ledger.reset()
    assert not stepped.step(take=False)
    assert stepped.step(take=True)


@pytest.mark.parametrize(("length", "full", "drained"), [
    (0, True, True), (0, False, True), (DRAINED_BELOW, False, True), (DRAINED_BELOW + 1, False, False),
    (1, True, False),
])
def test_on_a_busy_bus_the_queue_is_asked_now_and_then(stepped, length, full, drained):
    stepped.length = length
    if full:
        stepped.step(arriving=PREFETCH)
    assert stepped.step(arriving=1 if not full else 0, took=CHECK_INTERVAL) is drained
