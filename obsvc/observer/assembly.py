"""One observer, put together: which part talks to which, and in what order they begin and end.

Nothing is decided here.  Each part is made after those that it calls, and gets them by its constructor; what the parts
decide together stands in :mod:`obsvc.observer.member`.  State comes first (``holdings``, ``memory``, ``deliveries``,
``marks``, ``queue``): what is written down there wakes the loops that work on it.  ``ownership`` says what is ours,
``buses`` bring what happened; the buses are made early, since so much asks how they are, and connected last.

:meth:`Observer.start`, :meth:`Observer.drain` and :meth:`Observer.stop` are for one thread; the rest for any.
"""
from __future__ import annotations

import logging
import secrets

from oslo_config import cfg

from obsvc import catalog as catalogs
from obsvc import metrics
from obsvc.cloud.sessions import CloudSessions
from obsvc.engine_client.contract import EngineInfo, MemberApi
from obsvc.model import MemberId
from obsvc.observer.duties import leader
from obsvc.observer.duties.leader import Leader, LeaderSettings
from obsvc.observer.duties.listing import Lister
from obsvc.observer.duties.pace import PaceSettings
from obsvc.observer.duties.sweep import Sweeper
from obsvc.observer.engine_link.dead_letters import DeadLetters
from obsvc.observer.engine_link.lists import ListFollower, ListLoader
from obsvc.observer.engine_link.marks import Marker
from obsvc.observer.engine_link.reporter import Reporter
from obsvc.observer.engine_link.selector_matches import SelectorMatcher
from obsvc.observer.fetching.absence import AbsenceWatch
from obsvc.observer.fetching.fetcher import Fetcher
from obsvc.observer.fetching.gate import GateSettings, ServiceGate
from obsvc.observer.hand_over import HandOver, HandOverRequests, PartitionLooks
from obsvc.observer.intake.buses import Buses
from obsvc.observer.intake.intake import Intake
from obsvc.observer.looks.catch_up import CatchUp
from obsvc.observer.looks.history import LookHistory
from obsvc.observer.looks.policy import LookPolicy, with_observation
from obsvc.observer.looks.recall import Recall
from obsvc.observer.looks.reports import LookReports
from obsvc.observer.looks.runner import LookRunner
from obsvc.observer.looks.schedule import LookSchedule
from obsvc.observer.looks.takeover import TakeoverEvidence, Takeovers
from obsvc.observer.looks.trail import TrailAnswers, Trails
from obsvc.observer.looks.trusted_payloads import TrustedPayloads
from obsvc.observer.looks.values import LookSettings
from obsvc.observer.loops import Loops
from obsvc.observer.member import (
    Backlog,
    BeatStatus,
    BudgetShare,
    GapResponse,
    LookTriggers,
    Member,
    Progress,
    Readiness,
)
from obsvc.observer.queue.work_queue import QueueSettings, WorkQueue
from obsvc.observer.state.deliveries import UnsettledDeliveries
from obsvc.observer.state.engine_clock import EngineClock
from obsvc.observer.state.holdings import Holdings
from obsvc.observer.state.mark_requests import MarkRequests
from obsvc.observer.state.takeover_memory import TakeoverMemory
from obsvc.partitioning.membership import Membership
from obsvc.partitioning.ownership import Ownership, OwnershipSettings
from obsvc.process.clock import Clock, SystemClock

LOG = logging.getLogger(__name__)


class Observer:
    """One member.

    name: of the member.  engine, info: reached, and found to fit.  address: of its health server, for the page.
    Raises ConfigError for options that can't be used.
    """

    def __init__(
        self, conf: cfg.ConfigOpts, *, name: str, user_agent: str, engine: MemberApi, info: EngineInfo, host: str = "",
        address: str = "", clock: Clock | None = None,
    ) -> None:
        self._conf = conf
        self._options = conf.observer
        self._engine = engine
        self._partitions = info.partitions
        self.member = MemberId(name, secrets.token_hex(4))
        self._clock = clock or SystemClock()
        self._engine_clock = EngineClock(engine, info, self._clock)
        self._catalog = catalogs.load(conf.catalog.folders, trust_payload=conf.catalog.trust_payload)
        self._look_policy = LookPolicy(LookSettings.from_conf(conf), clock=self._clock,
                                       engine_clock=self._engine_clock)
        self._buses = Buses(conf, clock=self._clock)
        self._loops = Loops()
        self._make_state()
        self._make_cloud(user_agent)
        self._make_schedule()
        self._make_ownership(host, address)
        self._make_looks()
        self._make_engine_link()
        self._make_hand_over()
        self._make_duties()
        self._connect_buses()
        self._add_loops()

    # -- putting it together

    def _make_state(self) -> None:
        """What this member knows."""
        options = self._options
        self._holdings = Holdings(
            self._partitions, new_look=self._look_policy.new_state, renewed_look=with_observation)
        self._memory = TakeoverMemory(
            window=options.memory_window, limit=options.memory_limit, partitions=self._partitions, clock=self._clock)
        self._deliveries = UnsettledDeliveries(clock=self._clock)
        self._marks = MarkRequests(deliveries=self._deliveries, clock=self._clock)
        self._trails = Trails(self._engine_clock.time)
        metrics.UNSETTLED.set_function(self._deliveries.__len__)

    def _make_cloud(self, user_agent: str) -> None:
        """What asks the services, and the queue of what they are to be asked."""
        options = self._options
        self._gate = ServiceGate(GateSettings.from_conf(self._conf))
        self._sessions = CloudSessions.from_conf(self._conf, user_agent, pool=options.fetch_threads + leader.THREADS)
        self._fetcher = Fetcher(self._catalog, self._sessions, gate=self._gate, clock=self._clock)
        self._queue = WorkQueue(
            QueueSettings(coalesce_interval=options.coalesce_interval, limit=options.backlog_limit,
                          settle_delay=options.settle_delay),
            clock=self._clock, lane_of=self._fetcher.lane_of, gate=self._gate,
        )
        self._gate.on_back = self._queue.retry_now

    def _make_schedule(self) -> None:
        """What makes looks due."""
        self._selectors = SelectorMatcher(
            engine=self._engine, holdings=self._holdings, memory=self._memory, deliveries=self._deliveries,
            clock=self._clock,
        )
        self._catch_up = CatchUp(queue=self._queue, holdings=self._holdings, budget=self._gate,
                                 spread=self._options.takeover_spread)
        self._schedule = LookSchedule(
            policy=self._look_policy, queue=self._queue, holdings=self._holdings, deliveries=self._deliveries,
            memory=self._memory, marks=self._marks, catch_up=self._catch_up,
        )
        takeovers = Takeovers(
            policy=self._look_policy,
            evidence=TakeoverEvidence(memory=self._memory, buses=self._buses, engine_clock=self._engine_clock,
                                      allowed_lag=self._options.allowed_lag, clock=self._clock),
            holdings=self._holdings, schedule=self._schedule, catch_up=self._catch_up, selectors=self._selectors,
        )
        self._recall = Recall.from_conf(self._conf, self._catalog, self._clock)
        self._triggers = LookTriggers(schedule=self._schedule, takeovers=takeovers, trails=self._trails,
                                      recall=self._recall)

    def _make_ownership(self, host: str, address: str) -> None:
        """What says which partitions are ours, and what is told of it."""
        options, coordination = self._options, self._conf.coordination
        self._reporter = Reporter(
            self._engine, self.member, clock=self._clock, batch=options.report_batch, age=options.report_age,
            limit=options.backlog_limit,
        )
        self._backlog = Backlog(queue=self._queue, reporter=self._reporter, deliveries=self._deliveries,
                                limit=options.backlog_limit)
        progress = Progress(
            buses=self._buses, deliveries=self._deliveries, catch_up=self._catch_up, holdings=self._holdings,
            marks=self._marks, allowed_lag=options.allowed_lag,
        )
        beat = BeatStatus(progress=progress, backlog=self._backlog, buses=self._buses, recall=self._recall,
                          gate=self._gate, clock=self._clock)
        self._hand_over_requests = HandOverRequests()
        member = Member(
            holdings=self._holdings, deliveries=self._deliveries, marks=self._marks, schedule=self._schedule,
            hand_over=self._hand_over_requests, reporter=self._reporter, buses=self._buses, beat=beat,
        )
        membership = Membership(
            coordination.backend_urls, coordination.group, self.member, lease=coordination.lease,
            beat_interval=coordination.beat_interval, clock=self._clock,
        )
        membership.subscribe(BudgetShare(gate=self._gate, member=self.member, clock=self._clock).on_view)
        self._ownership = Ownership(
            self._engine, membership, self.member, self._partitions, member, self._clock,
            OwnershipSettings.from_conf(self._conf, host=host, address=address),
        )
        beat.show_errors_of(self._reporter, self._buses, self._ownership, self._loops)
        self._readiness = Readiness(buses=self._buses, ownership=self._ownership)

    def _make_looks(self) -> None:
        """What makes the looks that are due, and what takes trusted payloads in their place."""
        history = LookHistory(trails=self._trails, recall=self._recall)
        self._look_reports = LookReports(
            policy=self._look_policy, holdings=self._holdings, deliveries=self._deliveries, schedule=self._schedule,
            reporter=self._reporter, marks=self._marks, ownership=self._ownership, history=history,
        )
        self._look_runner = LookRunner(
            policy=self._look_policy, queue=self._queue, holdings=self._holdings, fetcher=self._fetcher,
            absences=AbsenceWatch(), schedule=self._schedule, reports=self._look_reports, history=history,
        )
        self._trusted_payloads = TrustedPayloads(
            policy=self._look_policy, queue=self._queue, holdings=self._holdings, deliveries=self._deliveries,
            reports=self._look_reports, recall=self._recall, clock=self._clock,
        )

    def _make_engine_link(self) -> None:
        """What keeps the lists of observed refs true, and what writes marks."""
        self._loader = ListLoader(
            engine=self._engine, member=self.member, holdings=self._holdings, ownership=self._ownership,
            listener=self._triggers,
        )
        self._follower = ListFollower(
            engine=self._engine, member=self.member, holdings=self._holdings, ownership=self._ownership,
            listener=self._triggers, newly_complete=self._loader.newly_complete,
            trails=TrailAnswers(trails=self._trails, holdings=self._holdings, queue=self._queue, breakers=self._gate,
                                policy=self._look_policy),
        )
        self._marker = Marker(
            engine=self._engine, member=self.member, holdings=self._holdings, deliveries=self._deliveries,
            requests=self._marks, listener=self._triggers, mark_after=self._options.mark_after, clock=self._clock,
        )

    def _make_hand_over(self) -> None:
        """What hands over the partitions that others wait for."""
        self._hand_over = HandOver(
            requests=self._hand_over_requests, holdings=self._holdings, deliveries=self._deliveries,
            looks=PartitionLooks(queue=self._queue, reports=self._look_reports, schedule=self._schedule,
                                 clock=self._clock),
            marker=self._marker, owner=self._ownership, drain_timeout=self._options.drain_timeout, clock=self._clock,
        )

    def _make_duties(self) -> None:
        """What carries out the duties that this member leads."""
        pace = PaceSettings.from_conf(self._conf)
        sweeper = Sweeper(
            engine=self._engine, member=self.member, catalog=self._catalog, pace=pace,
            overlap=self._conf.sweep.overlap,
            lister=Lister(self._catalog, self._sessions, self._gate, engine_time=self._engine_clock.time,
                          clock=self._clock),
        )
        self._duties = Leader(
            LeaderSettings(pace, enabled=self._conf.sweep.enabled), engine=self._engine, catalog=self._catalog,
            sweeper=sweeper, kinds=(self._holdings, self._selectors), leads=self._ownership.leads,
            consumes=self._buses.consumes, clock=self._clock,
        )

    def _connect_buses(self) -> None:
        """What takes each notification."""
        intake = Intake(
            holdings=self._holdings, memory=self._memory, deliveries=self._deliveries, marks=self._marks,
            listener=self._triggers, payloads=self._trusted_payloads, selectors=self._selectors, clock=self._clock,
        )
        self._buses.connect(
            intake, member_name=self.member.name, catalog=self._catalog, room=self._backlog,
            gaps=GapResponse(catch_up=self._catch_up, duties=self._duties), dead_letters=DeadLetters(self._engine),
        )

    def _add_loops(self) -> None:
        add = self._loops.add
        add("loader", self._loader.run)
        add("follow-steady", self._follower.run_steady, long_poll=True)
        add("follow-fresh", self._follower.run_fresh, long_poll=True)
        add("follow-selectors", self._selectors.run_follow, long_poll=True)
        add("discover", self._selectors.run_discover)
        add("marker", self._marker.run)
        add("hand-over", self._hand_over.run)
        for number in range(leader.THREADS):
            add(f"duties-{number}", self._duties.run)
        for number in range(self._options.fetch_threads):
            add(f"fetch-{number}", self._look_runner.run)

    # -- life

    def start(self) -> None:
        """Begin: listen first, then join."""
        self._reporter.start()
        self._loops.start()
        self._buses.start()
        self._ownership.start()
        LOG.info("member %s listens on %s", self.member, ", ".join(self._buses.names))

    def drain(self, timeout: float) -> bool:
        """Hand every partition over; True when that was done within ``timeout`` seconds."""
        return self._hand_over.drain(timeout)

    def stop(self) -> None:
        """End every thread and connection; what is not settled stays in the broker."""
        self._ownership.stop()
        self._buses.stop()
        self._queue.close()
        self._loops.stop()
        self._loader.wake()
        self._reporter.stop()
        self._loops.join()

    def not_ready(self) -> str | None:
        """Why this member does not do its work (yet); None when it does."""
        return self._readiness.not_ready()
