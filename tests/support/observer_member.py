"""One member of the observer in virtual time, its state and its decisions, without threads and sockets."""
from __future__ import annotations

import random
from types import SimpleNamespace

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
from obsvc.observer.looks.catch_up import CatchUp
from obsvc.observer.looks.history import LookHistory
from obsvc.observer.looks.policy import LookPolicy, with_observation
from obsvc.observer.looks.recall import Recall
from obsvc.observer.looks.reports import LookReports
from obsvc.observer.looks.runner import LookRunner
from obsvc.observer.looks.schedule import LookSchedule
from obsvc.observer.looks.takeover import TakeoverEvidence, Takeovers
from obsvc.observer.looks.trail import Trails
from obsvc.observer.looks.values import LookSettings
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


class NothingSelected:
    """A member without selectors."""

    def wants(self, ref, project_id=None):
        return False

    def found(self, refs):
        raise AssertionError(f"nothing selects {refs}")


class Member:
    """One member's state and its decisions; ``step`` makes what is due, ``answer`` plays the engine.

    Itself it is what lies at the ends: fetcher, reporter and marks, each of which only keeps what it is given.
    """

    def __init__(self, clock=None) -> None:
        self.clock = clock or ManualClock()
        self.clock_of_engine = SimpleNamespace(time=self.clock.time, ask=self.clock.time)
        self.marked_soon, self.stale, self.fetches, self.reports, self.marked_later = [], [], [], [], []
        self.answers = {}
        self.heard_since = self.clock.monotonic() - 1000
        self._state()
        self._looks()
        self.intake = Intake(
            holdings=self.holdings, memory=self.memory, deliveries=self.deliveries, notified=self.schedule.notified,
            mark_soon=self.marked_soon.append, clock=self.clock,
        )

    def _state(self):
        self.policy = LookPolicy(LookSettings(poll_initial=15.0), clock=self.clock, engine_clock=self.clock_of_engine,
                                 rng=random.Random(1))
        self.holdings = Holdings(PARTITIONS, new_look=self.policy.new_state, renewed_look=with_observation)
        self.queue = WorkQueue(clock=self.clock, rng=random.Random(1))
        self.deliveries = UnsettledDeliveries(clock=self.clock)
        self.memory = TakeoverMemory(window=60, limit=1000, partitions=PARTITIONS, clock=self.clock,
                                     since=float("-inf"))
        self.recall = Recall(grace=10.0, window=600.0, service_of=lambda name: name, clock=self.clock)

    def _looks(self):
        self.catch_up = CatchUp(queue=self.queue, holdings=self.holdings, budget=SimpleNamespace(rate=150.0),
                                spread=self.policy.settings.takeover_spread, rng=random.Random(1))
        self.schedule = LookSchedule(
            policy=self.policy, queue=self.queue, holdings=self.holdings, deliveries=self.deliveries,
            memory=self.memory, marks=self, catch_up=self.catch_up,
        )
        self.takeovers = Takeovers(
            policy=self.policy,
            evidence=TakeoverEvidence(
                memory=self.memory, buses=SimpleNamespace(heard_since=lambda: self.heard_since),
                engine_clock=self.clock_of_engine, allowed_lag=15.0, clock=self.clock),
            holdings=self.holdings, schedule=self.schedule, catch_up=self.catch_up, selector_matcher=NothingSelected(),
        )
        history = LookHistory(trails=Trails(self.clock.time), recall=self.recall)
        self.look_reports = LookReports(
            policy=self.policy, holdings=self.holdings, deliveries=self.deliveries, schedule=self.schedule,
            reporter=self, marks=self, history=history,
        )
        self.look_reports.tell_of_stale(SimpleNamespace(stale=lambda *lost: self.stale.append(lost)))
        self.look_runner = LookRunner(
            policy=self.policy, queue=self.queue, holdings=self.holdings, fetcher=self, absences=AbsenceWatch(),
            schedule=self.schedule, reports=self.look_reports, history=history,
        )

    # -- the ends

    def mark_soon(self, refs):
        self.marked_soon.extend(refs)

    def mark_later(self, ref):
        self.marked_later.append(ref)

    def submit(self, report, on_outcome):
        self.reports.append(report)

    def lane_of(self, ref):
        return None

    def most_together(self, ref):
        return 1

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
            self.look_reports.answered(report, ReportOutcome(verdict, **fields))

    def gain(self, *refs, number=3, dirty=(), **fields):
        self.holdings.begin(grant(number, **fields))
        deliveries = [self.take(ref) for ref in dirty]
        self.holdings.load({number: 1}, refs)
        self.takeovers.completed([self.holdings.complete(number, 1, 1)])
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
        super().__init__(clock)
        self.engine = Away(LocalEngine(service))
        self.member = MemberId(name, "aa")
        self.released, self.lost, self.asked = [], [], []
        self.marker = Marker(
            engine=self.engine, member=self.member, holdings=self.holdings, deliveries=self.deliveries,
            due=self.schedule.marked, mark_after=10.0, clock=clock,
        )
        self.loader = Loader(
            engine=self.engine, member=self.member, holdings=self.holdings, owner=lambda: self,
            completed=self.takeovers.completed,
        )
        self.follower = Follower(
            engine=self.engine, member=self.member, holdings=self.holdings, owner=lambda: self,
            applied=self.schedule.applied, reload=self.loader.wake,
        )
        self.hand_over = HandOver(
            partitions=PARTITIONS, holdings=self.holdings, queue=self.queue, schedule=self.schedule,
            deliveries=self.deliveries, marker=self.marker, loader=self.loader, reports=self.look_reports,
            withdraw=lambda *_: 0, owner=lambda: self,
            ready=lambda: True, status=dict, drain_timeout=0.0, clock=clock,
        )

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
            self.look_reports.answered(report, outcome)
