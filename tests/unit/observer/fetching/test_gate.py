"""Which service may be asked now, in virtual time."""
from __future__ import annotations

from obsvc.model import Cause, Ref
from obsvc.observer.fetching.gate import GateSettings, ServiceGate
from obsvc.observer.queue.work_queue import WorkQueue
from obsvc.process.clock import ManualClock

NOVA, NEUTRON, CINDER = (("R", name) for name in ("nova", "neutron", "cinder"))


def ref(name, kind="compute.server"):
    return Ref("R", kind, str(name))


def fill(gate, lane):
    entered = 0
    while gate.enter(lane, 0.0) == 0.0:
        entered += 1
    return entered


def test_one_service_takes_half_of_the_threads_and_there_is_always_one_free():
    gate = ServiceGate(GateSettings(threads=32, requests_per_second=1000.0))
    assert fill(gate, NOVA) == 16
    assert fill(gate, NEUTRON) == 8
    assert fill(gate, CINDER) >= 1


def test_one_thread_is_enough():
    gate = ServiceGate(GateSettings(threads=1))
    assert gate.enter(NOVA, 0.0) == 0.0
    assert gate.enter(NOVA, 0.0) > 0
    gate.leave(NOVA, 0.0)
    assert gate.enter(NOVA, 0.0) == 0.0


def test_a_throttled_service_is_left_alone_and_the_others_are_not():
    gate = ServiceGate(GateSettings())
    gate.throttled(NOVA, 0.0, 7.0)
    assert gate.enter(NOVA, 1.0) == 6.0
    assert gate.shut(NOVA, 1.0)
    assert gate.enter(NEUTRON, 1.0) == 0.0
    assert gate.enter(NOVA, 7.0) == 0.0


def test_the_open_breaker_is_named_and_shut():
    gate = ServiceGate(GateSettings(breaker_failures=2))
    for name in "ab":
        gate.enter(NOVA, 0.0)
        gate.failed(NOVA, ref(name), 0.0)
        gate.leave(NOVA, 0.0)
    assert gate.open_breakers(0.0) == ("R/nova",)
    assert gate.shut(NOVA, 0.0) and not gate.shut(NEUTRON, 0.0)
    assert gate.enter(NOVA, 5.0) == 0.0
    gate.answered(NOVA, 5.0)
    gate.leave(NOVA, 5.0)
    assert gate.open_breakers(5.0) == ()


def test_a_dead_service_delays_nobody_else():
    """With every nova look failing, each neutron look goes at once, for two minutes."""
    clock = ManualClock()
    gate = ServiceGate(GateSettings(threads=4, requests_per_second=1000.0))
    lane_of = {"compute.server": NOVA, "network.port": NEUTRON}
    queue = WorkQueue(clock=clock, lane_of=lambda one: lane_of[one.resource_type], gate=gate)
    tried = 0
    for second in range(120):
        for number in range(20):
            queue.add(ref(number), Cause.NOTIFIED)
        queue.add(ref(second, "network.port"), Cause.NOTIFIED)
        seen = []
        while (look := queue.get()) is not None:
            seen.append(look.ref)
            if look.ref.resource_type == "compute.server":
                tried += 1
                gate.failed(NOVA, look.ref, clock.monotonic())
                queue.retry(look)
            else:
                gate.answered(NEUTRON, clock.monotonic())
                queue.done(look)
        assert ref(second, "network.port") in seen
        clock.advance(1.0)
    assert tried < 25, "a service that is down is left alone"
    assert gate.open_breakers(clock.monotonic()) == ("R/nova",)


def spend(gate, lane, now):
    spent = 0
    while gate.enter(lane, now) == 0.0:
        gate.leave(lane, now)
        spent += 1
    return spent


def test_members_share_the_clusters_limit():
    """Three members, ten seconds: together as much as the limit allows, each the same."""
    gates = [ServiceGate(GateSettings(requests_per_second=30.0)) for _ in range(3)]
    for gate in gates:
        gate.share(3, 0.0)
        spend(gate, NOVA, 0.0)
    spent = [sum(spend(gate, NOVA, tenth / 10) for tenth in range(1, 101)) for gate in gates]
    assert spent == [100, 100, 100]


def test_a_member_that_leaves_gives_its_share_to_the_others():
    gate = ServiceGate(GateSettings(requests_per_second=30.0))
    gate.share(3, 0.0)
    assert spend(gate, NOVA, 0.0) == 10
    gate.share(1, 1.0)
    assert spend(gate, NOVA, 1.0) == 10, "what was saved up was saved at the old rate"
    assert sum(spend(gate, NOVA, 1.0 + tenth / 10) for tenth in range(1, 11)) == 30
    assert spend(gate, NEUTRON, 1.0) == 30, "a lane that is new begins with the new share"


def test_a_member_that_joins_takes_its_share_at_once():
    gate = ServiceGate(GateSettings(requests_per_second=30.0))
    assert gate.enter(NOVA, 0.0) == 0.0
    gate.share(3, 0.0)
    assert spend(gate, NOVA, 0.0) == 10, "a burst saved up for the whole cluster is cut to the share"
    gate.share(0, 0.0)
    assert gate.rate == 10.0, "a view of nobody changes nothing"


def test_when_a_service_is_back_what_failed_there_does_not_wait_for_its_backoff():
    clock = ManualClock()
    gate = ServiceGate(GateSettings(breaker_failures=2, breaker_pause=5.0))
    queue = WorkQueue(clock=clock, lane_of=lambda one: ("R", one.resource_type), gate=gate)
    gate.on_back = queue.retry_now
    lane, other = ("R", "compute.server"), ref("port", "network.port")
    for number in range(3):
        queue.add(ref(number), Cause.NOTIFIED)
    for _ in range(2):
        look = queue.get()
        gate.failed(lane, look.ref, clock.monotonic())
        queue.retry(look, after=300.0)
    queue.add(other, Cause.NOTIFIED)
    queue.retry(queue.get(), after=300.0)
    clock.advance(5.0)
    probe = queue.get()
    assert probe.ref == ref(2) and queue.get() is None
    gate.answered(lane, clock.monotonic())
    queue.done(probe)
    back = [queue.get(), queue.get()]
    assert {look.ref for look in back} == {ref(0), ref(1)} and queue.get() is None, "the other service's waits"
