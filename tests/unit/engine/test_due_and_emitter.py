"""Due work is never lost and never a tight loop; what is emitted leaves the outbox only when confirmed."""
from __future__ import annotations

import pytest
import sqlalchemy as sa

from obsvc.engine.database import due, outbox
from obsvc.engine.emitter import Emitter
from obsvc.engine.schema import stacks
from obsvc.exceptions import Unavailable
from obsvc.messaging import wire
from tests.support.engine_store import new_store


@pytest.fixture
def store():
    made = new_store()
    made.emitting = True
    return made


@pytest.fixture
def ran(monkeypatch):
    """Kinds ``good`` and ``bad``; what they were called with."""
    calls = []

    def bad(tx, key):
        tx.execute(sa.insert(stacks.outbox).values(
            event_type="x", priority="INFO", message_id="m", created_at=0, payload="{}", claimed_until=0))
        calls.append(key)
        raise RuntimeError("no")

    monkeypatch.setitem(due._handlers, "good", lambda tx, key: calls.append(key))
    monkeypatch.setitem(due._handlers, "bad", bad)
    return calls


def rows(store, table=stacks.due):
    return store.read(lambda tx: tx.execute(sa.select(table)).all())


def plan(store, kind, key, after):
    store.run(lambda tx: due.schedule(tx, kind, key, tx.now + after))


def test_work_is_carried_out_once_when_its_time_has_come(store, ran):
    plan(store, "good", "k", 10)
    plan(store, "good", "later", 99)
    assert due.run_due(store) == 0
    store.clock.advance(10)
    assert due.run_due(store) == 1 and due.run_due(store) == 0
    assert ran == ["k"] and [row.key for row in rows(store)] == ["later"]


def test_a_new_time_replaces_the_old_and_cancel_forgets(store, ran):
    plan(store, "good", "k", 1)
    plan(store, "good", "k", 50)
    plan(store, "good", "c", 1)
    store.run(lambda tx: due.cancel(tx, "good", "c"))
    store.clock.advance(5)
    assert due.run_due(store) == 0
    store.clock.advance(50)
    assert due.run_due(store) == 1 and ran == ["k"]


def test_a_handler_that_raises_is_rolled_back_and_tried_again_after_growing_pauses(store, ran):
    plan(store, "bad", "k", 0)
    plan(store, "good", "g", 0)
    waited = []
    for _ in range(5):
        seconds = 0.0
        while not due.run_due(store):
            store.clock.advance(0.25)
            seconds += 0.25
        waited.append(seconds)
    assert ran.count("k") == 5 and ran.count("g") == 1
    assert waited[0] == 0 and waited[1] > 0 and waited[4] > waited[1]
    assert rows(store, stacks.outbox) == []


def test_a_run_that_was_killed_is_repeated(store, ran, monkeypatch):
    plan(store, "good", "k", 0)
    monkeypatch.setattr(due, "_carry_out", lambda *_: None)
    assert due.run_due(store) == 1
    monkeypatch.undo()
    due._handlers["good"] = lambda tx, key: ran.append(key)
    try:
        assert due.run_due(store) == 0
        store.clock.advance(due.CLAIM_SECONDS + 1)
        assert due.run_due(store) == 1 and ran == ["k"]
    finally:
        del due._handlers["good"]


def test_what_a_handler_schedules_anew_stays(store, monkeypatch):
    monkeypatch.setitem(due._handlers, "again", lambda tx, key: due.schedule(tx, "again", key, tx.now + 5))
    plan(store, "again", "k", 0)
    assert due.run_due(store) == 1 and due.run_due(store) == 0
    store.clock.advance(6)
    assert due.run_due(store) == 1 and len(rows(store)) == 1


def test_an_unknown_kind_is_put_off_and_holds_up_nothing(store, ran):
    plan(store, "from the future", "k", 0)
    plan(store, "good", "g", 0)
    assert due.run_due(store) == 2 and ran == ["g"] and due.run_due(store) == 0
    assert len(rows(store)) == 1


class Bus:
    def __init__(self):
        self.sent, self.room = [], None

    def publish(self, routing_key, body):
        if self.room is not None and len(self.sent) >= self.room:
            raise Unavailable("the broker is away")
        self.sent.append((routing_key, wire.unpack(body)))


def fill(store, count):
    def work(tx):
        for number in range(count):
            outbox.put(tx, "obsvc.stack.drift", {"n": number}, priority="WARN")

    store.run(work)


def test_what_no_table_describes_is_not_emitted(store):
    with pytest.raises(ValueError, match="obsvc.stack.surprise"):
        store.run(lambda tx: outbox.put(tx, "obsvc.stack.surprise", {}))


def emitter(store, bus, **more):
    return Emitter(store, bus, topic="notifications", publisher_id="obsvc.here", **more)


def test_rows_become_ordinary_notifications_in_order_and_leave_the_outbox(store):
    bus = Bus()
    fill(store, 3)
    assert emitter(store, bus).run_once() == 3 and rows(store, stacks.outbox) == []
    key, first = bus.sent[0]
    assert key == "notifications.warn" and [one["payload"]["n"] for _, one in bus.sent] == [0, 1, 2]
    assert (first["event_type"], first["priority"]) == ("obsvc.stack.drift", "WARN")
    assert first["publisher_id"] == "obsvc.here"
    assert first["timestamp"] == "1970-01-12 13:46:40.000000" and len(first["message_id"]) == 36
    assert first["_unique_id"]


def test_what_is_not_confirmed_stays_and_goes_out_when_the_broker_is_back_with_one_line_of_log(store, caplog):
    bus, fill_count = Bus(), 5
    fill(store, fill_count)
    one = emitter(store, bus)
    bus.room = 2
    for _ in range(3):
        with pytest.raises(Unavailable):
            one.run_once()
    assert len(rows(store, stacks.outbox)) == 3
    assert len([record for record in caplog.records if "nothing can be emitted" in record.message]) == 1
    bus.room = None
    assert one.run_once() == 3
    assert [one["payload"]["n"] for _, one in bus.sent] == [0, 1, 2, 3, 4]


def test_a_killed_emitters_rows_are_taken_up_by_another(store):
    fill(store, 1)
    store.run(lambda tx: emitter(store, Bus())._claim(tx, 0))
    bus = Bus()
    assert emitter(store, bus).run_once() == 0
    store.clock.advance(61)
    assert emitter(store, bus).run_once() == 1


def test_the_outbox_is_bounded_the_oldest_go(store):
    bus = Bus()
    fill(store, 8)
    assert emitter(store, bus, limit=5).run_once() == 5
    assert [one["payload"]["n"] for _, one in bus.sent] == [3, 4, 5, 6, 7]
