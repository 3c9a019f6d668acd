"""The order of what is due: two priorities, first in first out, and no lane in another's way."""
from __future__ import annotations

import pytest

from obsvc.model import Ref
from obsvc.observer.queue.entry import Priority
from obsvc.observer.queue.lanes import ALIKE_SEARCHED, Lanes, OpenGate, one_lane

HIGH, LOW = Priority.HIGH, Priority.LOW


def ref(name, kind="nova"):
    return Ref("R", kind, str(name))


class Doors:
    """A gate whose lanes are opened and shut by the test; it notes who entered."""

    def __init__(self, **waits):
        self.waits, self.entered = {("R", name): wait for name, wait in waits.items()}, []

    def enter(self, lane, now):
        wait = self.waits.get(lane, 0.0)
        if not wait:
            self.entered.append(lane)
        return wait

    def leave(self, lane, now):
        self.entered.remove(lane)

    def shut(self, lane, now):
        return bool(self.waits.get(lane))


@pytest.fixture
def lanes():
    return Lanes(lambda one: (one.region, one.resource_type))


def push(lanes, *refs, priority=HIGH):
    for one in refs:
        lanes.push(one, priority)


def taken(lanes, gate=None, most=100):
    """Every ref that may go on, in order."""
    refs = []
    while len(refs) < most and (taken_ref := lanes.take(gate or OpenGate(), 0.0)[0]) is not None:
        refs.append(taken_ref)
    return refs


def test_first_in_first_out_over_all_lanes(lanes):
    order = [ref(1), ref(1, "cinder"), ref(2), ref(2, "cinder")]
    push(lanes, *order)
    assert len(lanes) == 4 and taken(lanes) == order and len(lanes) == 0


def test_a_lane_that_may_not_go_on_holds_nobody_back_and_keeps_its_place(lanes):
    gate = Doors(nova=5.0)
    push(lanes, ref(1), ref(1, "cinder"), ref(2), ref(2, "cinder"))
    assert taken(lanes, gate) == [ref(1, "cinder"), ref(2, "cinder")]
    gate.waits.clear()
    assert taken(lanes, gate) == [ref(1), ref(2)]
    assert gate.entered == [("R", "cinder")] * 2 + [("R", "nova")] * 2, "entered once for each"


def test_the_shortest_time_until_a_lane_may_go_on_is_answered(lanes):
    assert lanes.take(OpenGate(), 0.0) == (None, float("inf"))
    push(lanes, ref(1), ref(1, "cinder"))
    assert lanes.take(Doors(nova=5.0, cinder=2.0), 0.0) == (None, 2.0)


def test_one_in_five_takes_belongs_to_the_lower_priority(lanes):
    push(lanes, *map(ref, range(20)))
    push(lanes, *(ref(number) for number in range(100, 120)), priority=LOW)
    low = [int(one.resource_id) >= 100 for one in taken(lanes, most=25)]
    assert [place for place, lower in enumerate(low) if lower] == [4, 9, 14, 19, 24]


def test_takes_while_nothing_of_the_lower_priority_waits_are_not_counted(lanes):
    push(lanes, *map(ref, range(20)))
    taken(lanes, most=10)
    push(lanes, ref(100), priority=LOW)
    assert ref(100) not in taken(lanes, most=4)


def test_a_lane_that_is_refused_is_asked_once_for_both_priorities(lanes):
    asked = []

    class Counting(Doors):
        def enter(self, lane, now):
            asked.append(lane)
            return super().enter(lane, now)

    push(lanes, ref(1))
    push(lanes, ref(2), priority=LOW)
    lanes.take(Counting(nova=5.0), 0.0)
    assert asked == [("R", "nova")]


def test_what_is_removed_is_not_taken_and_leaves_no_empty_lane(lanes):
    push(lanes, ref(1), ref(2), ref(1, "cinder"))
    lanes.remove(ref(1, "cinder"), HIGH)
    lanes.remove(ref(1), HIGH)
    assert lanes.depths() == {("R", "nova"): 1} and taken(lanes) == [ref(2)]


def test_depths_count_both_priorities(lanes):
    push(lanes, ref(1), ref(1, "cinder"))
    push(lanes, ref(2), priority=LOW)
    assert lanes.depths() == {("R", "nova"): 2, ("R", "cinder"): 1}


def test_those_alike_are_taken_in_order_without_the_gate(lanes):
    push(lanes, ref(1), ref(2, "cinder"), ref(3), ref(4))
    push(lanes, ref(5), priority=LOW)
    assert lanes.take_alike(("R", "nova"), lambda one: one != ref(3), 2) == [ref(1), ref(4)]
    assert taken(lanes) == [ref(2, "cinder"), ref(3), ref(5)]


def test_the_search_for_those_alike_is_bounded(lanes):
    push(lanes, *map(ref, range(ALIKE_SEARCHED + 1)))
    assert lanes.take_alike(("R", "nova"), lambda one: one == ref(ALIKE_SEARCHED), 1) == []


def test_without_a_word_all_refs_are_of_one_lane():
    assert one_lane(ref(1)) == one_lane(ref(2, "cinder"))
