"""Agenda and Looking over the real queue, held and unsettled state, in virtual time; fetcher and reporter are lists."""
import random

import pytest

from obsvc.engine_client.ownership import PartitionChanges
from obsvc.engine_client.reports import ReportOutcome, Verdict
from obsvc.model import Cause, Condition, Ref
from obsvc.observer.fetching.absence import AbsenceWatch
from obsvc.observer.fetching.fetched import Fetched, Outcome
from obsvc.observer.intake.intake import Intake
from obsvc.observer.looks import policy as looks
from obsvc.observer.looks.runner import Looking
from obsvc.observer.looks.schedule import Agenda, AgendaSettings
from obsvc.observer.queue.work_queue import WorkQueue
from obsvc.observer.state.deliveries import UnsettledDeliveries
from obsvc.observer.state.holdings import Holdings
from obsvc.observer.state.takeover_memory import TakeoverMemory
from obsvc.process.clock import ManualClock
from tests.support.observer_state import (
    OTHER,
    PARTITIONS,
    FakeDelivery,
    grant,
    notification,
    observed,
    ref_in,
    snapshot,
)

A, B, ELSEWHERE = ref_in(3), ref_in(3, 1), ref_in(4)


class Member:
    """One member's state and its decisions; ``step`` makes what is due, ``answer`` plays the engine."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        settings = looks.LookSettings(poll_initial=15.0)
        moment = lambda: looks.Moment(self.clock.monotonic(), self.clock.time())  # noqa: E731
        self.holdings = Holdings(PARTITIONS, new_look=lambda one: looks.new_state(one, moment()),
                                 renewed_look=looks.renewed)
        self.queue = WorkQueue(clock=self.clock, rng=random.Random(1))
        self.deliveries = UnsettledDeliveries(clock=self.clock)
        self.memory = TakeoverMemory(window=60, limit=1000, partitions=PARTITIONS, clock=self.clock,
                                     since=float("-inf"))
        self.heard_since = self.clock.monotonic() - 1000
        self.agenda = Agenda(
            AgendaSettings(), settings, holdings=self.holdings, memory=self.memory, deliveries=self.deliveries,
            queue=self.queue, engine_time=self.clock.time, heard_since=lambda: self.heard_since, clock=self.clock,
            rng=random.Random(1), mark_later=lambda ref: self.marked_later.append(ref),
        )
        self.marked_soon, self.stale, self.fetches, self.reports, self.marked_later = [], [], [], [], []
        self.intake = Intake(
            holdings=self.holdings, memory=self.memory, deliveries=self.deliveries, notified=self.agenda.notified,
            mark_soon=self.marked_soon.append, clock=self.clock,
        )
        self.answers = {}
        self.looking = Looking(
            settings, holdings=self.holdings, queue=self.queue, agenda=self.agenda, deliveries=self.deliveries,
            absences=AbsenceWatch(), lane_of=lambda ref: None, fetch=self.fetch,
            submit=lambda report, _answered: self.reports.append(report), mark_soon=self.marked_soon.extend,
            stale=lambda *lost: self.stale.append(lost), wall=self.clock.time, clock=self.clock,
            rng=random.Random(1),
        )

    def fetch(self, ref: Ref) -> Fetched:
        self.fetches.append(ref)
        began = self.clock.monotonic()
        self.clock.advance(0.1)
        return self.answers.get(ref) or Fetched(ref, Outcome.FOUND, began, self.clock.time(), snapshot())

    def step(self) -> list[Cause]:
        """Make every look that is due; their causes."""
        causes = []
        while (work := self.queue.get()) is not None:
            causes.append(work.cause)
            self.looking.look(work)
        return causes

    def answer(self, verdict: Verdict = Verdict.ACCEPTED, **fields) -> None:
        pending, self.reports = self.reports, []
        for report in pending:
            self.looking.answered(report, ReportOutcome(verdict, **fields))

    def gain(self, *refs, number=3, dirty=(), **fields):
        self.holdings.begin(grant(number, **fields))
        deliveries = [self.take(ref) for ref in dirty]
        self.holdings.load({number: 1}, refs)
        self.agenda.completed([self.holdings.complete(number, 1, 1)])
        return deliveries

    def take(self, *refs, **fields) -> FakeDelivery:
        delivery = FakeDelivery(self.clock)
        self.intake.take(notification(*refs, **fields), delivery)
        self.clock.advance(0.01)
        return delivery


@pytest.fixture
def member():
    return Member()


def seen(one, **fields):
    return observed(one, last=snapshot(fetched_at=1.0), **fields)


def test_a_new_observation_is_looked_at_and_a_settle_look_follows(member):
    member.gain()
    member.agenda.applied(member.holdings.apply(PartitionChanges(3, 2, changed=(observed(A),)), 1))
    assert member.step() == [Cause.STARTED]
    member.answer()
    assert member.step() == []
    member.clock.advance(1)
    assert member.step() == [Cause.SETTLE]


def test_a_delivery_is_settled_by_the_answer_to_a_look_begun_after_it(member):
    member.gain(seen(A, wanted=()))
    during = FakeDelivery(member.clock)
    real = member.looking._fetch

    def fetch(ref):  # a second notification comes while the first one's fetch is under way
        fetched = real(ref)
        if len(member.fetches) == 1:
            nonlocal during
            during = member.take(A)
        return fetched

    member.looking._fetch = fetch
    before = member.take(A)
    member.step()
    assert (before.settled, during.settled) == (0, 0)
    member.answer()
    assert (before.settled, during.settled) == (1, 0)
    member.clock.advance(2)
    assert member.step() and member.holdings.awaits_look(A)
    member.answer()
    assert during.settled == 1


def test_a_failed_fetch_settles_nothing_and_is_made_again(member):
    member.gain(seen(A, wanted=()))
    delivery = member.take(A)
    member.answers[A] = Fetched(A, Outcome.FAILED, member.clock.monotonic(), error="503")
    member.step()
    assert member.reports == [] and delivery.settled == 0
    del member.answers[A]
    member.clock.advance(60)
    member.step()
    member.answer()
    assert delivery.settled == 1


def test_not_ours_and_not_observed_cost_no_fetch(member):
    member.gain(seen(A, wanted=()))
    member.take(B)
    member.take(ELSEWHERE)
    assert member.step() == [] and member.fetches == []


def test_a_stale_report_marks_the_ref_and_tells_ownership(member):
    member.gain(seen(A, wanted=()))
    delivery = member.take(A)
    member.step()
    member.answer(Verdict.STALE_GENERATION)
    assert member.marked_soon == [A] and member.stale == [(3, 1)] and delivery.settled == 0
    assert not member.queue.processing


def test_not_observed_drops_the_ref_and_settles_what_came_meanwhile(member):
    member.gain(seen(A, wanted=()))
    first = member.take(A)
    member.step()
    second = member.take(A)
    member.answer(Verdict.NOT_OBSERVED)
    assert (first.settled, second.settled) == (1, 1)
    member.clock.advance(100)
    assert member.step() == []


def test_a_mark_that_came_during_the_look_is_looked_at_again(member):
    member.gain(seen(A, wanted=()))
    member.take(A)
    member.step()
    member.agenda.applied(member.holdings.apply(PartitionChanges(3, 2, changed=(seen(A, wanted=(), mark=7),)), 1))
    assert member.step() == []
    member.answer()
    assert member.step() and member.reports[0].mark == 7


def test_polling_goes_on_while_the_engine_waits_for_a_goal(member):
    member.gain(seen(A, wanted=()))
    member.take(A)
    member.step()
    member.answer(wanted=(Condition.DELETED,))
    member.clock.advance(1)
    assert member.step() == [Cause.SETTLE]
    member.answer(Verdict.UNCHANGED, wanted=(Condition.DELETED,))
    assert not member.holdings.awaits_look(A) and member.step() == []
    member.clock.advance(20)
    assert member.step() == [Cause.POLLED]


VANISHED = dict(previous=OTHER, previous_caught_up=True)


def test_the_memory_makes_up_for_a_vanished_owner(member):
    member.take(A)
    member.clock.advance(3)
    member.gain(seen(A, wanted=()), seen(B, wanted=()), previous_last_beat_at=member.clock.time() - 5, **VANISHED)
    assert member.step() == [Cause.TAKEOVER] and member.fetches == [A]
    assert member.agenda.catching_up == 1
    member.answer()
    assert member.agenda.catching_up == 0


def test_without_the_memory_every_observed_ref_gets_one_paced_look(member):
    member.heard_since = member.clock.monotonic()
    member.gain(seen(A, wanted=()), seen(B, wanted=()), previous_last_beat_at=member.clock.time() - 5, **VANISHED)
    assert member.step() == [Cause.TAKEOVER] and len(member.fetches) == 1  # the other waits its turn
    member.clock.advance(10)
    assert set(member.step()) == {Cause.TAKEOVER, Cause.SETTLE} and set(member.fetches) == {A, B}
    member.answer()
    assert member.agenda.catching_up == 0


def test_after_a_release_only_marks_and_first_looks_are_due(member):
    member.take(A)
    member.clock.advance(10)
    refs = seen(A, wanted=()), seen(B, wanted=(), mark=4)
    member.gain(*refs, previous=OTHER, released=True, previous_last_beat_at=member.clock.time() - 1)
    assert member.step() == [Cause.TAKEOVER] and member.fetches == [B]


def test_what_was_notified_while_loading_is_looked_at(member):
    delivery, other = member.gain(seen(A, wanted=()), dirty=(A, B))
    assert other.settled == 1 and delivery.settled == 0
    assert member.step() == [Cause.NOTIFIED]
    member.answer()
    assert delivery.settled == 1


def test_a_gap_gives_every_ref_of_the_region_one_look(member):
    member.gain(seen(A, wanted=()), seen(B, wanted=()))
    assert member.agenda.resync("elsewhere", "reconnect") == 0
    assert member.agenda.resync("RegionOne", "reconnect") == 2
    member.step()
    member.clock.advance(10)
    member.step()
    assert sorted(member.fetches) == sorted([A, B])
    member.answer()
    assert member.agenda.catching_up == 0
