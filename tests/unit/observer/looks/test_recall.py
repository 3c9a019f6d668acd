"""Notification recall: which changes count as told of, and which as missed."""
from __future__ import annotations

import pytest

from obsvc.engine_client.duties import SWEPT, RecallCount
from obsvc.model import Cause, Ref
from obsvc.observer.looks.recall import Recall
from obsvc.process.clock import ManualClock

REF, OTHER = Ref("R", "sim.resource", "one"), Ref("R", "sim.resource", "two")


class World:
    def __init__(self) -> None:
        self.clock = ManualClock(100.0)
        self.recall = Recall(grace=10.0, window=600.0, service_of=lambda name: "sim", clock=self.clock)

    def look(self, cause=Cause.MARKED, reason: str | None = SWEPT, *, changed=True, ref=REF) -> None:
        self.recall.begun(ref, cause, reason)
        self.clock.advance(0.1)
        self.recall.reported(ref, self.clock.monotonic() - 0.1, changed=changed)

    def notified(self, ref=REF) -> None:
        self.recall.notified(ref)
        self.clock.advance(0.01)

    def counts(self) -> tuple[int, int]:
        """(seen, missed) after the grace."""
        self.clock.advance(20.0)
        found = self.recall.read()
        assert all((one.region, one.service, one.resource_type) == ("R", "sim", "sim.resource") for one in found)
        return sum(one.seen for one in found), sum(one.missed for one in found)


@pytest.fixture
def world() -> World:
    return World()


def test_a_change_that_a_notification_led_to_is_seen(world):
    world.notified()
    world.look(Cause.NOTIFIED, None)
    assert world.counts() == (1, 0)


@pytest.mark.parametrize("cause, reason", [(Cause.MARKED, SWEPT), (Cause.POLLED, None), (Cause.RESYNC, None)])
def test_a_change_found_without_a_notification_is_missed(world, cause, reason):
    world.look(cause, reason)
    assert world.recall.read() == ()  # within the grace it may come yet
    assert world.counts() == (0, 1)


@pytest.mark.parametrize("cause, reason", [
    (Cause.STARTED, None), (Cause.TAKEOVER, None), (Cause.MARKED, "check"), (Cause.MARKED, None)])
def test_a_look_that_somebody_else_asked_for_says_nothing_of_the_bus(world, cause, reason):
    world.look(cause, reason)
    assert world.counts() == (0, 0)


def test_a_look_that_found_nothing_new_counts_nothing(world):
    world.look(changed=False)
    assert world.counts() == (0, 0)


def test_a_notification_within_the_grace_makes_it_seen(world):
    world.look()
    world.clock.advance(9.0)
    world.notified()
    world.look(Cause.NOTIFIED, None, changed=False)
    assert world.counts() == (1, 0)


def test_a_notification_after_the_grace_is_too_late(world):
    world.look()
    world.clock.advance(10.5)
    world.notified()
    assert world.counts() == (0, 1)


def test_a_notification_that_waits_when_the_change_is_found_makes_it_seen(world):
    world.recall.begun(REF, Cause.MARKED, SWEPT)
    world.notified()
    world.recall.reported(REF, 99.0, changed=True)
    assert world.counts() == (1, 0)


def test_a_notification_is_used_up_by_the_look_that_answers_it(world):
    world.notified()
    world.look(Cause.NOTIFIED, None)
    world.look()  # another change, of which nothing was told
    assert world.counts() == (1, 1)


def test_a_change_that_a_settle_look_confirms_has_the_reason_of_the_look_before(world):
    world.recall.begun(REF, Cause.MARKED, SWEPT)  # 404: not reported, looked at again
    world.look(Cause.SETTLE, None)
    world.notified(OTHER)
    world.recall.begun(OTHER, Cause.NOTIFIED, None)
    world.look(Cause.SETTLE, None, ref=OTHER)
    assert world.counts() == (1, 1)


def test_one_notification_answers_for_one_of_several_changes(world):
    world.look()
    world.look()
    world.notified()
    world.look(Cause.NOTIFIED, None, changed=False)
    assert world.counts() == (1, 1)


def test_the_notification_of_the_next_change_does_not_stand_for_one_that_was_lost(world):
    world.look()
    world.notified()
    world.look(Cause.NOTIFIED, None)
    assert world.counts() == (1, 1)


def test_a_notification_in_time_whose_look_is_late_makes_it_seen(world):
    world.look()
    world.clock.advance(9.0)
    world.notified()
    world.clock.advance(30.0)
    assert world.recall.read() == ()
    world.look(Cause.NOTIFIED, None, changed=False)
    assert world.counts() == (1, 0)


def test_the_count_is_of_the_window(world):
    world.look()
    assert world.counts() == (0, 1)
    world.clock.advance(700.0)
    world.notified()
    world.look(Cause.NOTIFIED, None)
    assert world.recall.read() == (RecallCount("R", "sim", "sim.resource", 1, 0),)
