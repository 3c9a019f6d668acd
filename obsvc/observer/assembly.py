"""One observer, put together: which part talks to which, and in what order they begin and end.

The parts know each other only by the callables handed to them here.  ``Ownership`` and the listeners are the two ends:
the one says what is ours, the others bring what happened.  Everything in between is state (``holdings``, ``memory``,
``deliveries``, ``queue``) and loops over it.

:meth:`Observer.start`, :meth:`Observer.drain` and :meth:`Observer.stop` are for one thread; the rest for any.
"""
from __future__ import annotations

import contextlib
import logging
import secrets
from typing import Any

from oslo_config import cfg

from obsvc import catalog as catalogs
from obsvc import metrics
from obsvc.cloud.sessions import CloudSessions
from obsvc.engine_client.contract import EngineInfo, MemberApi
from obsvc.engine_client.ownership import ObservedRef
from obsvc.engine_client.reports import BuryRequest, DeadLetter
from obsvc.exceptions import ObsvcError
from obsvc.model import MemberId, Notification, Ref
from obsvc.observer.duties import leader
from obsvc.observer.duties.assemble import make_leader
from obsvc.observer.engine_link.lists import Follower, Loader
from obsvc.observer.engine_link.marks import Marker
from obsvc.observer.engine_link.reporter import Reporter
from obsvc.observer.engine_link.selector_matches import SelectorMatcher
from obsvc.observer.fetching.absence import AbsenceWatch
from obsvc.observer.fetching.fetcher import Fetcher
from obsvc.observer.fetching.gate import GateSettings, ServiceGate
from obsvc.observer.hand_over import HandOver
from obsvc.observer.intake.buses import Buses
from obsvc.observer.intake.intake import Intake
from obsvc.observer.looks import policy
from obsvc.observer.looks.recall import Recall
from obsvc.observer.looks.runner import LookRunner
from obsvc.observer.looks.schedule import LookSchedule, ScheduleSettings
from obsvc.observer.looks.trail import TrailAnswers, Trails
from obsvc.observer.looks.trusted_payloads import TrustedPayloads
from obsvc.observer.queue.work_queue import QueueSettings, WorkQueue
from obsvc.observer.rates import Rates
from obsvc.observer.state.deliveries import UnsettledDeliveries
from obsvc.observer.state.engine_clock import EngineClock
from obsvc.observer.state.holdings import AppliedChanges, Holdings, RefStatus
from obsvc.observer.state.takeover_memory import TakeoverMemory
from obsvc.partitioning.membership import Membership, MembershipView
from obsvc.partitioning.ownership import Ownership, OwnershipSettings
from obsvc.process.clock import Clock, SystemClock
from obsvc.process.threads import Loop

LOG = logging.getLogger(__name__)

#: Seconds that each thread is given to end.
JOIN = 5.0

#: Share of a service's request budget that a resync may take.
RESYNC_SHARE = 0.5


class Observer:
    """One member.

    name: of the member.  engine, info: reached, and found to fit.  address: of its health server, for the page.
    Raises ConfigError for options that can't be used.
    """

    def __init__(
        self, conf: cfg.ConfigOpts, *, name: str, user_agent: str, engine: MemberApi, info: EngineInfo, host: str = "",
        address: str = "", clock: Clock | None = None,
    ) -> None:
        options = conf.observer
        self._options = options
        self._clock = clock or SystemClock()
        self._engine = engine
        self.member = MemberId(name, secrets.token_hex(4))
        self._wall = EngineClock(engine, info, self._clock)
        self._look_settings = policy.LookSettings.from_conf(conf)
        catalog = catalogs.load(conf.catalog.folders, trust_payload=conf.catalog.trust_payload)
        self._state(info.partitions)
        self._cloud(conf, catalog, user_agent)
        self._counting(conf, catalog)
        self._decisions(conf.cloud.requests_per_second)
        self._carriers(info.partitions)
        self.buses = Buses(
            conf, member_name=name, catalog=catalog, take=self.intake.take, on_gap=self._gap, bury=self._bury,
            may_take=self.may_take, clock=self._clock, skip_reason=self.intake.skip_reason,
        )
        coordination = conf.coordination
        self.membership = Membership(
            coordination.backend_urls, coordination.group, self.member, lease=coordination.lease,
            beat_interval=coordination.beat_interval, clock=self._clock,
        )
        self.membership.subscribe(self._shared)
        self.ownership = Ownership(
            engine, self.membership, self.member, info.partitions, self.hand_over, self._clock,
            OwnershipSettings.from_conf(conf, host=host, address=address),
        )
        self.duties = make_leader(
            conf, engine=engine, member=self.member, catalog=catalog, sessions=self._sessions, gate=self.gate,
            kinds=lambda: self.holdings.kinds() | self.selector_matcher.kinds(), leads=self.ownership.leads,
            heard=self.buses.hears, wall=self._wall.time, clock=self._clock,
        )
        self._loops = self._make_loops()
        self._rates = Rates(self._clock)

    # -- putting it together

    def _state(self, partitions: int) -> None:
        options = self._options
        self.holdings = Holdings(partitions, new_look=self._new_look, renewed_look=policy.renewed)
        self.memory = TakeoverMemory(
            window=options.memory_window, limit=options.memory_limit, partitions=partitions, clock=self._clock
        )
        self.deliveries = UnsettledDeliveries(clock=self._clock)
        self.trails = Trails(self._wall.time)
        metrics.UNSETTLED.set_function(lambda: len(self.deliveries))

    def _new_look(self, observed: ObservedRef) -> policy.LookState:
        return policy.new_state(observed, policy.Moment(self._clock.monotonic(), self._wall.time()))

    def _cloud(self, conf: cfg.ConfigOpts, catalog: Any, user_agent: str) -> None:
        options = self._options
        self.gate = ServiceGate(GateSettings.from_conf(conf))
        self._sessions = CloudSessions.from_conf(conf, user_agent, pool=options.fetch_threads + leader.THREADS)
        self.fetcher = Fetcher(catalog, self._sessions, gate=self.gate, clock=self._clock)
        self.queue = WorkQueue(
            QueueSettings(coalesce_interval=options.coalesce_interval, limit=options.backlog_limit,
                          settle_delay=options.settle_delay),
            clock=self._clock, lane_of=self.fetcher.lane_of, gate=self.gate,
        )
        self.gate.on_back = self.queue.retry_now

    def _counting(self, conf: cfg.ConfigOpts, catalog: Any) -> None:
        self.recall = Recall(
            grace=conf.sweep.grace, window=conf.sweep.recall_window, clock=self._clock,
            service_of=lambda name: catalog.service_of(name).service if name in catalog.types else name,
        )

    def _notified(self, ref: Ref, notification: Notification) -> bool:
        self.recall.notified(ref)
        due = self.schedule.notified(ref, notification)
        self.trails.notified(ref, notification, due=due)
        return due

    def _marked(self, ref: Ref) -> None:
        self.trails.note(ref, "marked", "no look was reported in time: a mark was stored")
        self.schedule.marked(ref)

    def _applied(self, applied: AppliedChanges) -> None:
        self.trails.observed((*applied.new, *applied.widened), "an observation was started")
        self.trails.observed(applied.marked, "it was marked")
        self.schedule.applied(applied)

    def _decisions(self, requests_per_second: float) -> None:
        options = self._options
        self.schedule = LookSchedule(
            ScheduleSettings(allowed_lag=options.allowed_lag, resync_rate=RESYNC_SHARE * requests_per_second),
            self._look_settings,
            holdings=self.holdings, memory=self.memory, deliveries=self.deliveries, queue=self.queue,
            engine_time=self._wall.ask, heard_since=lambda: self.buses.heard_since(), clock=self._clock,
            share=lambda: self.gate.rate / requests_per_second, mark_later=lambda ref: self.marker.mark_later(ref),
            wall=self._wall.time, wants=lambda ref: self.selector_matcher.wants(ref),
            found=lambda refs: self.selector_matcher.found(refs),
        )
        self.marker = Marker(
            engine=self._engine, member=self.member, holdings=self.holdings, deliveries=self.deliveries,
            due=self._marked, mark_after=options.mark_after, clock=self._clock,
        )
        self.selector_matcher = SelectorMatcher(engine=self._engine, deliveries=self.deliveries, dropped=self._dropped,
                                   clock=self._clock)
        self.intake = Intake(
            holdings=self.holdings, memory=self.memory, deliveries=self.deliveries, notified=self._notified,
            mark_soon=lambda ref: self.marker.mark_soon([ref]), clock=self._clock,
            take_payload=lambda ref, payload_state, delivery: self.trusted_payloads.take(
                ref, payload_state, delivery),
            wants=self.selector_matcher.wants, found=self.selector_matcher.found,
        )
        self.reporter = Reporter(
            self._engine, self.member, clock=self._clock, batch=options.report_batch, age=options.report_age,
            limit=options.backlog_limit,
        )
        self.look_runner = LookRunner(
            self._look_settings, holdings=self.holdings, queue=self.queue, schedule=self.schedule,
            deliveries=self.deliveries, absences=AbsenceWatch(), lane_of=self.fetcher.lane_of,
            fetch=self.fetcher.fetch, together=self.fetcher,
            submit=self.reporter.submit, mark_soon=self.marker.mark_soon,
            stale=lambda number, generation: self.ownership.stale(number, generation), wall=self._wall.time,
            clock=self._clock, recall=self.recall, note=self.trails.note,
        )
        self.trusted_payloads = TrustedPayloads(
            self._look_settings, holdings=self.holdings, queue=self.queue, deliveries=self.deliveries,
            look_runner=self.look_runner, heard=self.recall.notified, wall=self._wall.time, clock=self._clock,
        )

    def _carriers(self, partitions: int) -> None:
        self.trail_answers = TrailAnswers(
            self.trails, holdings=self.holdings, queue=self.queue, wall=self._wall.time,
            shut=lambda: self.gate.open_breakers(self._clock.monotonic()),
        )
        self.loader = Loader(
            engine=self._engine, member=self.member, holdings=self.holdings, owner=lambda: self.ownership,
            completed=self._completed,
        )
        self.follower = Follower(
            engine=self._engine, member=self.member, holdings=self.holdings, owner=lambda: self.ownership,
            applied=self._applied, reload=self.loader.wake, explain=self.trail_answers.tell,
        )
        self.hand_over = HandOver(
            partitions=partitions, holdings=self.holdings, queue=self.queue, schedule=self.schedule,
            deliveries=self.deliveries, marker=self.marker, loader=self.loader, look_runner=self.look_runner,
            withdraw=self.reporter.withdraw, owner=lambda: self.ownership, ready=lambda: self.buses.consuming(),
            status=self.status, drain_timeout=self._options.drain_timeout, clock=self._clock,
        )

    def _dropped(self) -> list[Ref]:
        """What was heard lately in our partitions and is not observed, as far as it is remembered."""
        remembered = self.memory.recall({number: float("-inf") for number, _, _ in self.holdings.to_follow()})
        return [ref for refs in remembered.values() for ref in refs
                if self.holdings.ref_status(ref) is RefStatus.NOT_OBSERVED]

    def _completed(self, completed: list[Any]) -> None:
        for one in completed:
            moved = f"partition {one.grant.partition} is held under generation {one.grant.generation}"
            self.trails.observed(one.applied.new, moved)
        self.schedule.completed(completed)
        self.follower.completed()

    def _make_loops(self) -> list[Loop]:
        loops = [
            Loop("loader", self.loader.run), Loop("follow-steady", self.follower.run_steady),
            Loop("follow-fresh", self.follower.run_fresh), Loop("marker", self.marker.run),
            Loop("hand-over", self.hand_over.run), Loop("follow-selectors", self.selector_matcher.run_follow),
            Loop("discover", self.selector_matcher.run),
            *(Loop(f"duties-{place}", self.duties.run) for place in range(leader.THREADS)),
        ]
        return loops + [Loop(f"fetch-{place}", self.look_runner.run) for place in range(self._options.fetch_threads)]

    def _shared(self, view: MembershipView) -> None:
        """Divide the cluster's request budget by the members in the view; a view without us does not count us out.
        Without a view (no coordination) the last share stands."""
        self.gate.share(len({*view.names, self.member.name}), self._clock.monotonic())

    # -- life

    def start(self) -> None:
        """Begin: listen first, then join."""
        self.reporter.start()
        for loop in self._loops:
            loop.start()
        self.buses.start()
        self.ownership.start()
        LOG.info("member %s listens on %s", self.member, ", ".join(self.buses.names))

    def drain(self, timeout: float) -> bool:
        """Hand every partition over; True when that was done within ``timeout`` seconds."""
        done = self.ownership.drain(timeout)
        with contextlib.suppress(ObsvcError):  # what slipped in at the last moment
            while self.marker.pending and self.marker.mark_batch():
                pass
        if not done:
            LOG.warning("member %s ends with %d partitions held: the others take them when its lease is over",
                        self.member, len(self.holdings.generations()))
        return done

    def stop(self) -> None:
        """End every thread and connection; what is not settled stays in the broker."""
        self.ownership.stop()
        self.buses.stop()
        self.queue.close()
        for loop in self._loops:
            loop.stop()
        self.loader.wake()
        self.follower.completed()
        self.reporter.stop()
        for loop in self._loops:
            if not loop.name.startswith("follow") and not loop.join(JOIN):
                LOG.warning("thread %s did not end within %.0f s", loop.name, JOIN)

    # -- what others ask

    def not_ready(self) -> str | None:
        """Why this member does not do its work (yet); None when it does."""
        if not self.buses.consuming():
            return f"does not consume every bus: {', '.join(self.buses.missing())}"
        if self.ownership.state.value == "joining":
            return "has not joined the group yet"
        return self.ownership.last_error

    def may_take(self) -> bool:
        """Whether there is room for more notifications."""
        return not (self.queue.full or self.reporter.full or len(self.deliveries) >= self._options.backlog_limit)

    def caught_up(self) -> bool:
        """Whether all that was published, but for the last ``allowed_lag`` seconds, has come here and is settled."""
        return (
            self.buses.consuming()
            and self.buses.drained_within(self._options.allowed_lag)
            and self.deliveries.oldest_age() <= self._options.allowed_lag
            and not self.schedule.catching_up
            and not self.holdings.not_taken_over()
            and not self.marker.pending
        )

    def status(self) -> dict[str, Any]:
        """The fields of a beat that only the process knows."""
        oldest = self.deliveries.oldest_age()
        return {
            "caught_up": self.caught_up(),
            "backlog": self.queue.depth,
            "unsettled": len(self.deliveries),
            "oldest_unsettled": round(oldest, 3),
            "buses": self.buses.statuses(),
            "rates": self._rates.read(),
            "recall": self.recall.read(),
            "open_breakers": self.gate.open_breakers(self._clock.monotonic()),
            "last_error": self._last_error(),
        }

    def _last_error(self) -> str | None:
        crashed = next((f"thread {loop.name}: {loop.last_error}" for loop in self._loops if loop.last_error), None)
        return self.reporter.last_error or self.buses.last_error() or self.ownership.last_error or crashed

    # -- what the listeners tell

    def _gap(self, bus: str, reason: str) -> None:
        """Notifications of ``bus`` may have been missed."""
        region = self.buses.region(bus)
        if not self.schedule.resync(region, f"bus {bus}: {reason}"):
            LOG.info("bus %s: %s; nothing is held of %s", bus, reason, region)
        self.duties.request(region, f"bus {bus}: {reason}")

    def _bury(self, letter: DeadLetter) -> None:
        self._engine.bury(BuryRequest((letter,)))
