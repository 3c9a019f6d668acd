"""One member of the observer in virtual time, its state and its decisions, without threads and sockets."""
from __future__ import annotations

import random
import threading
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
from obsvc.observer import member
from obsvc.observer.engine_link.lists import ListFollower, ListLoader
from obsvc.observer.engine_link.marks import Marker
from obsvc.observer.fetching.absence import AbsenceWatch
from obsvc.observer.fetching.result import FetchOutcome, FetchResult
from obsvc.observer.hand_over import HandOver, HandOverRequests, PartitionLooks
from obsvc.observer.intake.intake import Intake, NoSelectors
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
from obsvc.observer.member import LookTriggers
from obsvc.observer.queue.work_queue import WorkQueue
from obsvc.observer.state.deliveries import UnsettledDeliveries
from obsvc.observer.state.holdings import Holdings
from obsvc.observer.state.mark_requests import MarkRequests
from obsvc.observer.state.takeover_memory import TakeoverMemory
from obsvc.partitioning.partition_worker import WorkerStatus
from obsvc.process.clock import Clock, ManualClock
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

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or ManualClock()
        self.clock_of_engine = SimpleNamespace(time=self.clock.time, ask=self.clock.time)
        self.stale, self.fetches, self.reports, self.answers = [], [], [], {}
        self.heard_since = self.clock.monotonic() - 1000
        self.trails = Trails(self.clock.time)
        self._make_state()
        self._make_schedule()
        self._make_looks()
        self.intake = Intake(
            holdings=self.holdings, memory=self.memory, deliveries=self.deliveries, marks=self.mark_requests,
            listener=self.triggers, clock=self.clock,
        )

    def _make_state(self):
        self.policy = LookPolicy(LookSettings(poll_initial=15.0), clock=self.clock, engine_clock=self.clock_of_engine,
                                 rng=random.Random(1))
        self.holdings = Holdings(PARTITIONS, new_look=self.policy.new_state, renewed_look=with_observation)
        self.queue = WorkQueue(clock=self.clock, rng=random.Random(1))
        self.deliveries = UnsettledDeliveries(clock=self.clock)
        self.mark_requests = MarkRequests(deliveries=self.deliveries, clock=self.clock)
        self.memory = TakeoverMemory(window=60, limit=1000, partitions=PARTITIONS, clock=self.clock,
                                     since=float("-inf"))
        self.recall = Recall(grace=60.0, window=600.0, service_of=str, clock=self.clock)

    def _make_schedule(self):
        self.catch_up = CatchUp(queue=self.queue, holdings=self.holdings, budget=SimpleNamespace(rate=150.0),
                                spread=self.policy.settings.takeover_spread, rng=random.Random(1))
        self.schedule = LookSchedule(
            policy=self.policy, queue=self.queue, holdings=self.holdings, deliveries=self.deliveries,
            memory=self.memory, marks=self.mark_requests, catch_up=self.catch_up,
        )
        evidence = TakeoverEvidence(
            memory=self.memory, buses=SimpleNamespace(heard_since=lambda: self.heard_since),
            engine_clock=self.clock_of_engine, allowed_lag=15.0, clock=self.clock)
        self.takeovers = Takeovers(
            policy=self.policy, evidence=evidence, holdings=self.holdings, schedule=self.schedule,
            catch_up=self.catch_up, selectors=NoSelectors(),
        )
        self.triggers = LookTriggers(
            schedule=self.schedule, takeovers=self.takeovers, trails=self.trails, recall=self.recall)

    def _make_looks(self):
        history = LookHistory(trails=self.trails, recall=self.recall)
        self.look_reports = LookReports(
            policy=self.policy, holdings=self.holdings, deliveries=self.deliveries, schedule=self.schedule,
            reporter=self, marks=self.mark_requests, history=history,
            ownership=SimpleNamespace(stale=lambda *lost: self.stale.append(lost)),
        )
        self.look_runner = LookRunner(
            policy=self.policy, queue=self.queue, holdings=self.holdings, fetcher=self, absences=AbsenceWatch(),
            schedule=self.schedule, reports=self.look_reports, history=history,
        )

    # -- the ends: it is its own reporter and fetcher

    def submit(self, report, on_outcome):
        self.reports.append(report)

    def lane_of(self, ref):
        return None

    def most_together(self, ref):
        return 1

    @property
    def marked_soon(self) -> list[Ref]:
        return self.mark_requests.soon(1000)

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


class NothingElse:
    """The parts of a member that play no role here: its buses are consumed, it has no reporter and no beats."""

    def consuming(self):
        return True

    def withdraw(self, number, generation):
        return 0

    def read(self):
        return WorkerStatus()


class Connected(Member):
    """A member whose lists, marks and reports are the engine's; claims are made by the test."""

    def __init__(self, service, clock, name="obs-1"):
        super().__init__(clock)
        self.engine = Away(LocalEngine(service))
        self.member = MemberId(name, "aa")
        self.released, self.lost, self.asked = [], [], []
        self.marker = Marker(
            engine=self.engine, member=self.member, holdings=self.holdings, deliveries=self.deliveries,
            requests=self.mark_requests, listener=self.triggers, mark_after=10.0, clock=clock,
        )
        self.loader = ListLoader(
            engine=self.engine, member=self.member, holdings=self.holdings, ownership=self, listener=self.triggers,
        )
        self.follower = ListFollower(
            engine=self.engine, member=self.member, holdings=self.holdings, ownership=self, listener=self.triggers,
            trails=NothingElse(), newly_complete=self.loader.newly_complete,
        )
        self.asked_for_here = HandOverRequests()
        self.hand_over = HandOver(
            requests=self.asked_for_here, holdings=self.holdings, deliveries=self.deliveries,
            looks=PartitionLooks(queue=self.queue, reports=self.look_reports, schedule=self.schedule, clock=clock),
            marker=self.marker, owner=self, drain_timeout=0.0, clock=clock,
        )
        self.worker = member.Member(
            holdings=self.holdings, deliveries=self.deliveries, marks=self.mark_requests, hand_over=self.asked_for_here,
            schedule=self.schedule, reporter=NothingElse(), buses=NothingElse(), beat=NothingElse(),
        )
        self.heard_since = clock.monotonic() - 1000

    # what Ownership would do
    def claim(self, number=3, reason=ClaimReason.VACANT):
        claim = ClaimRequest(self.member, f"{self.member}-{self.clock.time()}", (PartitionClaim(number, reason),))
        for granted in self.engine.claim(claim).grants:
            self.worker.granted(granted)
        self.loader.load(dict(self.holdings.loading()))

    def release(self, number, generation, *, taken=True):
        self.released.append((number, generation))
        self.engine.release(ReleaseRequest(self.member, ((number, generation),), () if taken else (number,)))

    def give(self, number, stop=None):
        """Hand the partition over, as another member asks."""
        self.worker.asked(number)
        self.hand_over.hand_over(self.asked_for_here.take(), stop or threading.Event())

    def lost_by_engine(self, numbers, known=None):
        for number in numbers:
            self.lost.append(number)
            self.worker.lost(number, known[number], "test")

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
