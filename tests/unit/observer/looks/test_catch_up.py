"""Looks that a takeover or a gap asks for: paced, and counted until they are made."""
from __future__ import annotations

from types import SimpleNamespace

import pytest

from obsvc.model import Cause
from obsvc.observer.looks.catch_up import BUDGET_SHARE, CatchUp
from tests.support.observer_state import holdings_with, ref, ref_in

REFS = [ref_in(3, nth) for nth in range(4)]


class Queue:
    """Notes what is asked for."""

    def __init__(self):
        self.added = []

    def add(self, ref, cause):
        self.added.append((ref, 0.0, cause))

    def add_after(self, ref, delay, cause):
        self.added.append((ref, delay, cause))


@pytest.fixture
def holdings():
    return holdings_with(*REFS)


@pytest.fixture
def queue():
    return Queue()


def catch_up(queue, holdings, *, rate=1000.0, spread=6.0):
    return CatchUp(queue=queue, holdings=holdings, budget=SimpleNamespace(rate=rate), spread=spread)


def test_the_looks_are_spread_evenly(queue, holdings):
    looks = catch_up(queue, holdings)
    looks.pace(list(REFS), Cause.RESYNC)
    assert {one for one, _, _ in queue.added} == set(REFS) and {cause for _, _, cause in queue.added} == {Cause.RESYNC}
    assert [delay for _, delay, _ in queue.added] == [0.0, 1.5, 3.0, 4.5]
    assert len(looks) == 4


def test_many_take_as_long_as_their_share_of_the_budget_says(queue, holdings):
    catch_up(queue, holdings, rate=1.0).pace(list(REFS), Cause.TAKEOVER)
    assert queue.added[1][1] == 1.0 / BUDGET_SHARE


def test_each_look_is_one_that_must_not_be_lost(queue, holdings):
    catch_up(queue, holdings).look_now(REFS[0])
    assert queue.added == [(REFS[0], 0.0, Cause.TAKEOVER)]
    assert [one for one in REFS if holdings.awaits_look(one)] == REFS[:1]


def test_a_ref_that_is_not_observed_here_any_more_is_not_waited_for(queue, holdings):
    looks = catch_up(queue, holdings)
    looks.pace([ref("unknown")], Cause.TAKEOVER)
    looks.look_now(ref("unknown"))
    assert queue.added == [] and not looks


def test_it_ends_with_each_look_or_with_the_ref(queue, holdings):
    looks = catch_up(queue, holdings)
    looks.pace(list(REFS), Cause.RESYNC)
    looks.looked(REFS[0])
    looks.looked(REFS[0])
    looks.forget(REFS[1:3])
    assert len(looks) == 1
    looks.looked(REFS[3])
    assert not looks


def test_a_gap_concerns_one_region(queue, holdings):
    looks = catch_up(queue, holdings)
    assert looks.resync("elsewhere", "reconnect") == 0 and not looks
    assert looks.resync("RegionOne", "reconnect") == 4 and len(looks) == 4
