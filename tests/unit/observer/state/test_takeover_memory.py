"""Takeover memory: what it keeps, what it admits to have forgotten, and when it makes up for a vanished owner."""
import pytest

from obsvc.observer.state.takeover_memory import HEARING_SKEW, Remedy, TakeoverMemory, decide
from obsvc.process.clock import ManualClock
from tests.support.observer_state import OTHER, PARTITIONS, grant, ref, ref_in

WINDOW = 60.0


@pytest.fixture
def clock():
    return ManualClock()


def make(clock, limit=100):
    return TakeoverMemory(window=WINDOW, limit=limit, partitions=PARTITIONS, clock=clock)


def test_it_recalls_by_partition_and_time(clock):
    memory = make(clock)
    early, late, elsewhere = ref_in(3), ref_in(3, 1), ref_in(4)
    memory.drop(early)
    clock.advance(5)
    middle = clock.monotonic()
    memory.drop(late)
    memory.drop(elsewhere)
    assert memory.recall({3: middle}) == {3: [late]}
    assert memory.recall({3: middle - 5, 5: 0.0}) == {3: [early, late], 5: []}


def test_a_ref_dropped_again_counts_from_the_later_time(clock):
    memory = make(clock)
    memory.drop(ref_in(3))
    clock.advance(5)
    middle = clock.monotonic()
    memory.drop(ref_in(3))
    assert len(memory) == 1
    assert memory.recall({3: middle}) == {3: [ref_in(3)]}


def test_it_forgets_after_the_window_and_says_so(clock):
    memory = make(clock)
    memory.drop(ref("old"))
    clock.advance(WINDOW)
    memory.drop(ref("new"))
    assert len(memory) == 1
    assert memory.reaches_back_to() == clock.monotonic() - WINDOW


def test_beyond_its_limit_it_forgets_the_oldest_and_says_so(clock):
    memory = make(clock, limit=2)
    for name in "abc":
        clock.advance(1)
        memory.drop(ref(name))
    assert len(memory) == 2
    assert memory.reaches_back_to() == clock.monotonic() - 2


def verdict(one, **changes):
    facts = dict(now=1000.0, engine_now=5000.0, heard_since=900.0, reaches_back_to=940.0, allowed_lag=15.0)
    return decide(one, **{**facts, **changes})


VANISHED = dict(previous=OTHER, previous_caught_up=True, previous_last_beat_at=4990.0)


def test_a_partition_that_nobody_owned_needs_nothing():
    assert verdict(grant(1)).remedy is Remedy.NOTHING


def test_a_vanished_owner_that_was_caught_up_is_made_up_for_by_the_memory():
    found = verdict(grant(1, **VANISHED))
    assert (found.remedy, found.since) == (Remedy.MEMORY, 1000.0 - 10.0 - 15.0)


@pytest.mark.parametrize(
    ("fields", "facts"),
    [
        ({"previous_caught_up": False}, {}),
        ({"previous_last_beat_at": None}, {}),
        ({"previous_last_beat_at": 4900.0}, {}),  # silent for longer than the memory reaches
        ({}, {"heard_since": None}),
        ({}, {"heard_since": 980.0}),
        ({}, {"reaches_back_to": 980.0}),
    ],
)
def test_otherwise_it_is_resynced(fields, facts):
    assert verdict(grant(1, **{**VANISHED, **fields}), **facts).remedy is Remedy.RESYNC


def test_after_a_release_the_marks_suffice_but_for_what_came_between():
    found = verdict(grant(1, previous=OTHER, released=True, previous_last_beat_at=4999.0))
    assert (found.remedy, found.since) == (Remedy.MEMORY, 999.0 - HEARING_SKEW)


def test_a_new_member_that_hears_since_before_the_release_needs_no_resync():
    found = verdict(grant(1, previous=OTHER, released=True, previous_last_beat_at=4999.0), heard_since=998.5)
    assert found.remedy is Remedy.MEMORY


def test_a_release_that_nobody_heard_after_is_resynced():
    found = verdict(grant(1, previous=OTHER, released=True, previous_last_beat_at=4000.0), heard_since=500.0)
    assert found.remedy is Remedy.RESYNC


def test_a_memory_does_not_reach_back_to_before_it_began():
    clock = ManualClock()
    memory = TakeoverMemory(window=60, limit=10, partitions=PARTITIONS, clock=clock)
    began = clock.monotonic()
    clock.advance(5)
    assert memory.reaches_back_to() == began
    clock.advance(100)
    assert memory.reaches_back_to() == clock.monotonic() - 60


def test_a_last_sign_from_the_future_is_no_sign():
    """The engine's clock was set back: how long the owner has been gone is not known."""
    gone = grant(3, 2, previous=OTHER, previous_caught_up=True, previous_last_beat_at=1000.0)
    fields = {"now": 500.0, "heard_since": 0.0, "reaches_back_to": 0.0, "allowed_lag": 15.0}
    assert decide(gone, engine_now=900.0, **fields).remedy is Remedy.RESYNC
    assert decide(gone, engine_now=999.0, **fields).remedy is Remedy.MEMORY
