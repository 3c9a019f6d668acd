"""Leaders and their sweeps over the real engine and the real ownership, in virtual time, with a played cloud."""
from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa

from obsvc.cloud.sessions import Answer, RequestFailed
from obsvc.engine.schema import core
from obsvc.engine_client.duties import SWEPT, DutyRequest
from obsvc.model import partition_of_id
from obsvc.observer.duties.pace import Evidence
from obsvc.observer.duties.sweep import Lead
from tests.support.duty_cluster import DUTY, PACE, REGION, Cloudy, take_over, with_servers
from tests.support.partitioning_cluster import PARTITIONS


@pytest.fixture
def cloudy() -> Cloudy:
    world = Cloudy()
    for name in ("a", "b", "c"):
        world.add(name)
    world.settle()
    return world


def test_one_member_sweeps_and_what_differs_is_marked(cloudy):
    same, changed, gone = with_servers(cloudy, 3)
    cloudy.nova.put(changed.resource_id, "ERROR")
    del cloudy.nova.servers[gone.resource_id]
    assert cloudy.turn() == 1
    assert len(cloudy.nova.lists) == 1
    assert [cloudy.mark(ref) is not None for ref in (same, changed, gone)] == [False, True, True]
    record = cloudy.record()
    assert (record.name, record.partition) == (DUTY, partition_of_id(DUTY, PARTITIONS))
    assert (record.leader, record.last_error) == (cloudy.leading().node.member, None)
    assert {word: record.result[word] for word in ("lists", "pages", "listed", "changed", "absent", "marked")} == {
        "lists": 1, "pages": 1, "listed": 2, "changed": 1, "absent": 1, "marked": 2}
    [reason] = {row.mark_reason for row in _rows(cloudy) if row.mark is not None}
    assert reason == SWEPT


def _rows(world: Cloudy):
    return world.members.store.read(lambda tx: tx.execute(sa.select(core.resource)).all())


def test_a_listing_of_many_pages_is_read_to_its_end(cloudy):
    refs = with_servers(cloudy, 7)
    cloudy.nova.put(refs[6].resource_id, "ERROR")
    cloudy.turn()
    assert (cloudy.record().result["pages"], cloudy.record().result["listed"]) == (4, 7)
    assert cloudy.mark(refs[6]) is not None


def test_the_pace_slows_down_and_each_third_list_is_full(cloudy):
    with_servers(cloudy, 1)
    times = []
    for _ in range(120):
        if cloudy.turn(12.0):
            times.append(cloudy.record().last_run_at)
    gaps = [after - before for before, after in zip(times, times[1:], strict=False)]
    assert gaps == sorted(gaps) and 60 <= gaps[0] < 80 and 300 <= gaps[-1] < 320
    assert ["changes-since" in query for query in cloudy.nova.lists[:6]] == [
        False, True, True, False, True, True]


def test_a_bus_that_is_not_heard_and_changes_that_were_missed_make_it_fast(cloudy):
    with_servers(cloudy, 1)
    cloudy.turn(70.0)
    cloudy.turn(70.0)
    before = len(cloudy.nova.lists)
    for one in cloudy.leaders:
        one.consumes = False
    cloudy.turn(30.0)
    cloudy.turn(30.0)
    assert len(cloudy.nova.lists) == before + 2


def test_a_request_brings_a_full_sweep_soon(cloudy):
    with_servers(cloudy, 1)
    for _ in range(2):
        cloudy.turn(310.0)
    assert "changes-since" in cloudy.nova.lists[-1]
    before = len(cloudy.nova.lists)
    cloudy.engine.request_duty(DutyRequest(REGION, "a gap"))
    cloudy.wait(32.0)
    cloudy.turn()
    assert len(cloudy.nova.lists) == before + 1 and "changes-since" not in cloudy.nova.lists[-1]
    assert cloudy.record().requested_at is None


@pytest.mark.parametrize("trouble", [
    Answer(500, b"down"), Answer(403, b"{}"), Answer(200, b"<html>"), Answer(200, b'{"servers": [{}]}'),
    RequestFailed("no answer", reason="timeout"),
])
def test_a_list_that_cannot_be_read_proves_nothing(cloudy, trouble):
    [ref] = with_servers(cloudy, 1)
    cloudy.nova.trouble = trouble
    cloudy.turn()
    assert cloudy.mark(ref) is None
    record = cloudy.record()
    assert "compute.server" in record.last_error and record.running_since is None
    assert record.next_run_at - record.last_ended_at == PACE.fast
    cloudy.nova.trouble = None
    cloudy.nova.put(ref.resource_id, "ERROR")
    cloudy.turn(31.0)
    cloudy.turn()
    assert cloudy.mark(ref) is not None and cloudy.record().last_error is None


def test_the_number_of_listings_does_not_grow_with_the_members():
    lists = []
    for members in (1, 3, 10):
        world = Cloudy()
        for place in range(members):
            world.add(f"m{place}")
        world.settle()
        with_servers(world, 2)
        for _ in range(14):
            world.turn(24.0)
        lists.append(len(world.nova.lists))
    assert lists[0] > 2
    assert max(lists) - min(lists) <= 1  # the edge of the time


def test_at_most_one_listing_too_many_for_each_takeover():
    take_over(8)


def test_a_leader_that_slept_has_no_effect(cloudy):
    """It goes on after another has taken over: its batch is refused, whatever it believes."""
    [ref] = with_servers(cloudy, 1)
    cloudy.turn()
    cloudy.wait(310.0)
    old = cloudy.leading()
    lead = old.leader.take_due()
    asleep = threading.Event()
    real_get = cloudy.nova.get

    def slow_get(*args, **kwargs):
        if not asleep.is_set():
            asleep.set()
            answer = real_get(*args, **kwargs)
            old.node.running = False  # sleeps; the others find it gone
            cloudy.members.die(old.node)
            cloudy.members.rounds(12)
            return answer
        return real_get(*args, **kwargs)

    cloudy.nova.get = slow_get
    cloudy.nova.put(ref.resource_id, "ERROR")
    believes = Lead(lead.duty, lead.generation, lambda: True)
    assert not old.leader._sweeper.sweep(believes, Evidence(), threading.Event())
    assert cloudy.mark(ref) is None
    assert cloudy.record().running_since is not None
    cloudy.turn()
    assert cloudy.mark(ref) is not None

