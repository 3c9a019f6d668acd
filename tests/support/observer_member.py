"""One member of the observer in virtual time, its state and its decisions, without threads and sockets."""
from __future__ import annotations

import random

from obsvc.engine_client.local import LocalEngine
from obsvc.engine_client.ownership import (
    ClaimReason,
    ClaimRequest,
    FollowRequest,
    PartitionClaim,
    ReleaseRequest,
)
from obsvc.engine_client.reports import ReportOutcome, ReportRequest, Verdict
from obsvc.exceptions import Unavailable
from obsvc.model import Cause, MemberId, Ref
from obsvc.observer.engine_link.lists import Follower, Loader
from obsvc.observer.engine_link.marks import Marker
from obsvc.observer.fetching.absence import AbsenceWatch
from obsvc.observer.fetching.result import FetchOutcome, FetchResult
from obsvc.observer.hand_over import HandOver
from obsvc.observer.intake.intake import Intake
from obsvc.observer.looks import policy
from obsvc.observer.looks.runner import LookRunner
from obsvc.observer.looks.schedule import LookSchedule, ScheduleSettings
from obsvc.observer.queue.work_queue import WorkQueue
from obsvc.observer.state.deliveries import UnsettledDeliveries
from obsvc.observer.state.holdings import Holdings
from obsvc.observer.state.takeover_memory import TakeoverMemory
from obsvc.process.clock import ManualClock
from tests.support.observer_state import (
    PARTITIONS,
    FakeDelivery,
    grant,
    notification,
    observed,
    snapshot,
)


class Member:
    """One member's state and its decisions; ``step`` makes what is due, ``answer`` plays the engine."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        settings = policy.LookSettings(poll_initial=15.0)
        moment = lambda: policy.Moment(self.clock.monotonic(), self.clock.time())  # noqa: E731
        self.holdings = Holdings(PARTITIONS, new_look=lambda one: policy.new_state(one, moment()),
                                 renewed_look=policy.renewed)
        self.queue = WorkQueue(clock=self.clock, rng=random.Random(1))
        self.deliveries = UnsettledDeliveries(clock=self.clock)
        self.memory = TakeoverMemory(window=60, limit=1000, partitions=PARTITIONS, clock=self.clock,
                                     since=float("-inf"))
        self.heard_since = self.clock.monotonic() - 1000
        self.schedule = LookSchedule(
            ScheduleSettings(), settings, holdings=self.holdings, memory=self.memory, deliveries=self.deliveries,
            queue=self.queue, engine_time=self.clock.time, heard_since=lambda: self.heard_since, clock=self.clock,
            rng=random.Random(1), mark_later=lambda ref: self.marked_later.append(ref),
        )
        self.marked_soon, self.stale, self.fetches, self.reports, self.marked_later = [], [], [], [], []
        self.intake = Intake(
            holdings=self.holdings, memory=self.memory, deliveries=self.deliveries, notified=self.schedule.notified,
            mark_soon=self.marked_soon.append, clock=self.clock,
        )
        self.answers = {}
        self.look_runner = LookRunner(
            settings, holdings=self.holdings, queue=self.queue, schedule=self.schedule, deliveries=self.deliveries,
            absences=AbsenceWatch(), lane_of=lambda ref: None, fetch=self.fetch,
            submit=lambda report, _answered: self.reports.append(report), mark_soon=self.marked_soon.extend,
            stale=lambda *lost: self.stale.append(lost), wall=self.clock.time, clock=self.clock,
            rng=random.Random(1),
        )

    def fetch(self, ref: Ref) -> FetchResult:
        self.fetches.append(ref)
        began = self.clock.monotonic()
        self.clock.advance(0.1)
        return self.answers.get(ref) or FetchResult(ref, FetchOutcome.FOUND, began, self.clock.time(), snapshot())

    def step(self) -> list[Cause]:
        """Make every look that is due; their causes."""
        causes = []
        while (look := self.queue.get()) is not None:
            causes.append(look.cause)
            self.look_runner.run_one(look)
        return causes

    def answer(self, verdict: Verdict = Verdict.ACCEPTED, **fields) -> None:
        pending, self.reports = self.reports, []
        for report in pending:
            self.look_runner.answered(report, ReportOutcome(verdict, **fields))

    def gain(self, *refs, number=3, dirty=(), **fields):
        self.holdings.begin(grant(number, **fields))
        deliveries = [self.take(ref) for ref in dirty]
        self.holdings.load({number: 1}, refs)
        self.schedule.completed([self.holdings.complete(number, 1, 1)])
        return deliveries

    def take(self, *refs, **fields) -> FakeDelivery:
        delivery = FakeDelivery(self.clock)
        self.intake.take(notification(*refs, **fields), delivery)
        self.clock.advance(0.01)
        return delivery


def seen(one, **fields):
    return observed(one, last=snapshot(fetched_at=1.0), **fields)


class Away:
    """An engine that can be away."""

    def __init__(self, engine):
        self._engine = engine
        self.away = False

    def __getattr__(self, name):
        if self.away:
            raise Unavailable("away")
        return getattr(self._engine, name)


class Connected(Member):
    """A member whose lists, marks and reports are the engine's; claims are made by the test."""

    def __init__(self, service, clock, name="obs-1"):
        super().__init__()
        self.clock = self.memory._clock = self.deliveries._clock = self.queue._clock = clock
        self.schedule._clock = self.look_runner._clock = clock
        self.schedule._engine_time = self.look_runner._wall = clock.time
        self.engine = Away(LocalEngine(service))
        self.member = MemberId(name, "aa")
        self.released, self.lost, self.asked = [], [], []
        self.marker = Marker(
            engine=self.engine, member=self.member, holdings=self.holdings, deliveries=self.deliveries,
            due=self.schedule.marked, mark_after=10.0, clock=clock,
        )
        self.loader = Loader(
            engine=self.engine, member=self.member, holdings=self.holdings, owner=lambda: self,
            completed=self.schedule.completed,
        )
        self.follower = Follower(
            engine=self.engine, member=self.member, holdings=self.holdings, owner=lambda: self,
            applied=self.schedule.applied, reload=self.loader.wake,
        )
        self.hand_over = HandOver(
            partitions=PARTITIONS, holdings=self.holdings, queue=self.queue, schedule=self.schedule,
            deliveries=self.deliveries, marker=self.marker, loader=self.loader, look_runner=self.look_runner,
            withdraw=lambda *_: 0, owner=lambda: self,
            ready=lambda: True, status=dict, drain_timeout=0.0, clock=clock,
        )
        self.heard_since = clock.monotonic() - 1000

    # what Ownership would do
    def claim(self, number=3, reason=ClaimReason.VACANT):
        claim = ClaimRequest(self.member, f"{self.member}-{self.clock.time()}", (PartitionClaim(number, reason),))
        for granted in self.engine.claim(claim).grants:
            self.hand_over.granted(granted)
        self.loader.load(dict(self.holdings.loading()))

    def release(self, number, generation, *, taken=True):
        self.released.append((number, generation))
        self.engine.release(ReleaseRequest(self.member, ((number, generation),), () if taken else (number,)))

    def lost_by_engine(self, numbers, known=None):
        for number in numbers:
            self.lost.append(number)
            self.hand_over.lost(number, known[number], "test")

    def asked_for(self, numbers):
        self.asked += numbers

    def follow(self):
        known = self.holdings.to_follow()
        reply = self.engine.follow(FollowRequest(self.member, tuple(known), 0.0))
        self.follower.take(reply, {number: generation for number, generation, _ in known})

    def report(self):
        pending, self.reports = self.reports, []
        for report in pending:
            outcome = self.engine.report(ReportRequest(self.member, (report,))).outcomes[0]
            self.look_runner.answered(report, outcome)
