"""Due looks of one type and region share one request: which of them are taken along."""
from __future__ import annotations

import random

from obsvc.model import Cause, Ref
from obsvc.observer.fetching.gate import GateSettings, ServiceGate
from obsvc.observer.queue.work_queue import WorkQueue
from obsvc.process.clock import ManualClock

PORTS = [Ref("R", "network.port", f"p{number}") for number in range(4)]
LANE = ("R", "neutron")


def queue_of(*refs, gate=None, clock=None):
    queue = WorkQueue(clock=clock or ManualClock(), gate=gate, rng=random.Random(1),
                      lane_of=lambda ref: (ref.region, "neutron"))
    for ref in refs:
        queue.add(ref, Cause.STARTED)
    return queue


def companions(queue, look, most=10, may=lambda ref: True):
    return [each.ref for each in queue.get_with(look, most, may)]


def test_only_what_is_due_of_the_same_type_and_region_rides_along_in_order():
    other_type, other_region = Ref("R", "network.subnet", "s"), Ref("S", "network.port", "p9")
    queue = queue_of(PORTS[0], other_type, PORTS[1], other_region, PORTS[2], PORTS[3])
    queue.add_after(Ref("R", "network.port", "later"), 5.0, Cause.STARTED)
    look = queue.get()
    assert companions(queue, look, 2, lambda ref: ref != PORTS[1]) == PORTS[2:]
    assert queue.processing == {PORTS[0], PORTS[2], PORTS[3]}
    assert [queue.get().ref for _ in range(3)] == [other_type, PORTS[1], other_region]


def test_a_companion_is_processed_never_twice_and_what_comes_meanwhile_is_looked_at_after():
    queue = queue_of(*PORTS[:2])
    look = queue.get()
    (other,) = queue.get_with(look, 10, lambda ref: True)
    queue.add(PORTS[1], Cause.MARKED)
    assert queue.get() is None
    queue.done(other)
    assert queue.get().ref == PORTS[1]


def test_what_failed_is_made_again_alone():
    clock = ManualClock()
    queue = queue_of(PORTS[1], clock=clock)
    queue.retry(queue.get())
    clock.advance(60.0)
    queue.add(PORTS[0], Cause.STARTED)
    queue.add(PORTS[2], Cause.STARTED)
    look = queue.get()
    while look.ref == PORTS[1]:
        look = queue.get()
    assert PORTS[1] not in companions(queue, look)


def test_companions_cost_one_entry_of_the_gate():
    gate = ServiceGate(GateSettings(requests_per_second=2.0, threads=2))
    clock = ManualClock()
    queue = queue_of(*PORTS, gate=gate, clock=clock)
    look = queue.get()
    others = queue.get_with(look, 10, lambda ref: True)
    assert len(others) == 3
    for each in [*others, look]:
        queue.done(each)
    assert gate._inside == 0, "left as often as entered"
    assert gate.enter(LANE, clock.monotonic()) == 0.0, "one request of two was spent"
