"""Owning partitions: from the membership view to claims at the engine, to the worker, and back.

It has two threads of its own beside the membership's: one sends heartbeats to the engine, the other claims and
releases. All public methods may be called from any thread; those that the worker calls (``release``, ``stale``,
``asked_for``, ``lost_by_engine``) return at once.

What it promises:

- Only what the engine granted counts as held; what the engine says it has not granted is dropped within a beat.
- Nothing is claimed before the worker was ready once, without a fresh view, or while draining.
- A member that can't reach the coordination backend keeps what it holds.
- A claim whose answer was lost is sent again under the same claim id; a release is sent until it is answered.
- A member that an operator drains (the engine says so in the answer to a beat) leaves the group only after the engine
  knows that it drains, so that it is asked to release and never pre-empted.  It works on until it is asked: what no
  other member can take, it keeps.

The worker is told of each grant exactly once, and of its end exactly once, by ``lost`` or by its own ``release``, in
order.  It must not call Ownership while it holds a lock that its own ``granted`` or ``lost`` would wait for.

Which stage of its life a member is in, and what follows from that, is decided by :mod:`obsvc.partitioning.lifecycle`;
which view is acted on, by :mod:`obsvc.partitioning.views`; what is claimed and handed over, by
:mod:`obsvc.partitioning.plan`.  Here these decisions are carried out.
"""
from __future__ import annotations

import logging
import random
import threading
from collections.abc import Iterable, Mapping, Sequence

from obsvc.engine_client.contract import CONTRACT_VERSION, PartitioningApi
from obsvc.engine_client.ownership import Beat, MemberState
from obsvc.exceptions import ObsvcError
from obsvc.model import Generation, MemberId, PartitionId, partition_of_id
from obsvc.partitioning import lifecycle
from obsvc.partitioning.claimer import Claimer
from obsvc.partitioning.engine_check import RETRY_PAUSE
from obsvc.partitioning.engine_health import EngineHealth
from obsvc.partitioning.holding import Holding
from obsvc.partitioning.lifecycle import Stage
from obsvc.partitioning.membership import Membership, MembershipView
from obsvc.partitioning.partition_worker import OwnershipSettings, PartitionWorker
from obsvc.partitioning.views import ViewState
from obsvc.process.clock import Clock, SystemClock
from obsvc.process.repeating import repeat
from obsvc.process.threads import Loop

__all__ = ["PartitionWorker", "Ownership", "OwnershipSettings"]

LOG = logging.getLogger(__name__)

class Ownership:
    """What this member owns.  ``partitions``: P."""

    def __init__(
        self,
        engine: PartitioningApi,
        membership: Membership,
        member: MemberId,
        partitions: int,
        worker: PartitionWorker,
        clock: Clock | None = None,
        settings: OwnershipSettings | None = None,
        *,
        rng: random.Random | None = None,
    ) -> None:
        self.member = member
        self._engine = engine
        self._membership = membership
        self._partitions = partitions
        self._worker = worker
        self._clock = clock or SystemClock()
        self._settings = settings or OwnershipSettings()
        self._started_at = self._clock.time()
        self._engine_health = EngineHealth()
        self._holding = Holding(
            member.name, worker, self._clock, rng or random.Random(), rest=self._settings.beat_interval
        )
        self._claimer = Claimer(
            engine, member, partitions, self._holding, self._engine_health, self._clock, self._settings
        )
        self._stage = Stage.STARTING
        self._stage_lock = threading.Lock()  # held while the group is joined or left, so that the two go together
        self._leaving_since = float("-inf")  # monotonic seconds
        self._acknowledged_state: MemberState | None = None  # in the newest beat that was answered
        self._view_lock = threading.Lock()
        self._view = ViewState(member.name, self._settings.beat_interval, self._settings.lease)
        self._work = threading.Event()
        self._beat_now = threading.Event()
        self._beats = Loop("ownership-beat", self._beat_loop)
        self._claims = Loop("ownership-claims", self._claim_loop)
        membership.subscribe(self._on_view)

    # --- for whoever runs the member

    def start(self) -> None:
        """Begin; the engine is known to be compatible (``engine_check``), and need not answer now."""
        self._membership.start()
        self._beats.start()
        self._claims.start()

    def drain(self, timeout: float = 30.0) -> bool:
        """Hand everything over before the end; True if nothing was held any more within ``timeout`` seconds.

        Tells the engine first, so that the others ask instead of taking, then leaves the group.
        """
        end = self._clock.monotonic() + timeout
        with self._stage_lock:
            self._stage = Stage.ENDING
        self._beat_safely()
        self._work.set()  # the hand-over does not wait for a backend that is away
        self._membership.leave(timeout=min(max(0.0, end - self._clock.monotonic()) / 2, self._settings.lease))
        return self._holding.wait_idle(max(0.0, end - self._clock.monotonic()))

    def stop(self, timeout: float = 5.0) -> None:
        """End at once, without handing anything over (see :meth:`drain`): end the threads, leave the group, tell the
        engine."""
        begun = self._beats.alive
        for loop in (self._claims, self._beats):
            loop.stop()
        self._work.set()
        self._beat_now.set()
        for loop in (self._claims, self._beats):
            if loop.alive:
                loop.join(timeout)
        self._membership.stop(timeout)
        with self._stage_lock:
            self._stage = Stage.LEFT
        if begun:
            self._beat_safely()

    def held(self) -> Mapping[PartitionId, Generation]:
        """What is held now; a copy."""
        return self._holding.grants.held()

    @property
    def state(self) -> MemberState:
        """As the engine is told with the next beat."""
        return self._stage.member_state

    @property
    def last_error(self) -> str | None:
        """The newest error of the engine or the coordination backend; None when both answer."""
        return self._engine_health.error or self._membership.last_error

    def leads(self, duty: str) -> Generation | None:
        """The generation under which this member may carry out ``duty`` now; None when another leads.

        A leader that has not reached the engine for a lease stops, by the monotonic clock.
        """
        if self._clock.monotonic() - self._engine_health.seen > self._settings.lease:
            return None
        return self._holding.grants.generation(partition_of_id(duty, self._partitions))

    # --- for the worker

    def release(self, partition: PartitionId, generation: Generation, *, taken: bool = True) -> None:
        """The worker is done with it: release it.  Nothing happens unless it is held under this generation.

        taken: whether the takeover was completed; if not, the next owner must look at what the previous one left.
        """
        if self._holding.begin_release(partition, generation, taken=taken):
            self._work.set()

    def stale(self, partition: PartitionId, generation: Generation) -> None:
        """A report under this generation was refused: drop the partition; it is claimed again later if still
        assigned."""
        self._holding.lose(partition, generation, "a report was refused as stale_generation")

    def asked_for(self, partitions: Iterable[PartitionId]) -> None:
        """Other members wait for these (``FollowReply.asked``)."""
        self._holding.asked_for(partitions)
        self._work.set()

    def lost_by_engine(
        self, partitions: Iterable[PartitionId], known: Mapping[PartitionId, Generation] | None = None
    ) -> None:
        """The engine says that these are not granted to this member (``FollowReply.lost``).

        known: the generations that it was asked about, so that a newer grant is not mistaken for the old one.
        """
        self._holding.lose_all(partitions, known, "the engine granted it to another")

    # --- the membership's thread

    def _on_view(self, view: MembershipView) -> None:
        now = self._clock.monotonic()
        with self._view_lock:
            self._view = self._view.saw(view.names, now, disturbed=view.disturbed)
            changing = self._view.changing
        if changing:
            self._work.set()

    # --- the beating thread

    def _beat_loop(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._beat_safely()
            self._beat_now.wait(self._settings.beat_interval)
            self._beat_now.clear()

    def _beat_safely(self) -> None:
        try:
            self.beat()
        except ObsvcError as error:
            self._engine_health.failed(error)

    def beat(self) -> None:
        """Send one heartbeat to the engine and apply its answer to what is held.  Raises ObsvcError."""
        before = self._holding.grants.held()
        sent_at = self._clock.monotonic()
        message = self._beat_message(len(before))
        reply = self._engine.beat(message)
        self._acknowledged_state = message.state
        self._take_drained(drained=reply.drained)
        self._engine_health.seen = max(self._engine_health.seen, sent_at)
        self._engine_health.answered()
        for partition, generation in self._holding.grants.gone(before, reply.granted):
            self._holding.lose(partition, generation, "the engine does not hold it as granted")
        if self._claimer.release_orphans(reply.granted):
            self._work.set()

    def _take_drained(self, *, drained: bool) -> None:
        with self._stage_lock:
            before = self._stage
            after = self._stage = lifecycle.after_beat(before, drained=drained)
        if before.leaving != after.leaving:
            self._leaving_since = self._clock.monotonic()
            LOG.info("member %s is %s", self.member, "drained by an operator" if drained else "drained no more")
            self._beat_now.set()  # the engine is to know before the group does
        if before is Stage.STARTING or drained:
            self._work.set()

    def _beat_message(self, held: int) -> Beat:
        view, status = self._membership.view(), self._worker.status()
        return Beat(
            member=self.member, contract_version=CONTRACT_VERSION, partitions=self._partitions, state=self.state,
            started_at=self._started_at, held=held, view=view.names if view is not None else (),
            host=self._settings.host, address=self._settings.address, caught_up=status.caught_up,
            backlog=status.backlog, unsettled=status.unsettled, oldest_unsettled=status.oldest_unsettled,
            buses=status.buses, rates=status.rates, recall=status.recall, open_breakers=status.open_breakers,
            last_error=status.last_error or self.last_error,
        )

    # --- the claiming thread

    def _claim_loop(self, stop: threading.Event) -> None:
        repeat(stop, self.step, on_failure=self._engine_health.failed, pause=RETRY_PAUSE, wake=self._work)

    def step(self) -> float:
        """Do what is due now.  Returns the seconds after which to look again.  Raises ObsvcError."""
        self._claimer.send_releases()
        self._join_or_leave()
        due_at, assignment = self._act_on_view()
        decision, _ = self._decide(due_at, assignment)
        self._holding.hand_over(
            assignment if decision.judge_by_assignment else None,
            asked_after=decision.asked_after, everything=decision.hand_over_everything,
        )
        self._claimer.settle_pending(still=decision.resend_claim)
        decision, view = self._decide(due_at, assignment)
        if view is not None and decision.claim:
            self._claimer.claim_missing(view, ready=self._worker.ready(), may_continue=self._may_continue)
        decision, _ = self._decide(due_at, assignment)
        return decision.again_in

    def _decide(
        self, due_at: float | None, assignment: Sequence[str]
    ) -> tuple[lifecycle.Decision, MembershipView | None]:
        """What to do as things are at this very moment, and the view that it is decided by."""
        view = self._membership.view()
        return lifecycle.decide(self._stage, lifecycle.Situation(
            now=self._clock.monotonic(), lease=self._settings.lease, beat_interval=self._settings.beat_interval,
            leaving_since=self._leaving_since, view_seen_at=float("-inf") if view is None else view.seen_at,
            in_view=view is not None and self.member in view.members, view_due_at=due_at,
            claim_unknown=self._claimer.pending, claim_at=self._claimer.next_at, has_assignment=bool(assignment),
        )), view

    def _act_on_view(self) -> tuple[float | None, Sequence[str]]:
        """When the next view is due, and the assignment by the one that is acted on now."""
        state = self._settled_view()
        return state.due_at(), self._claimer.assigned(state.acted)

    def _settled_view(self) -> ViewState:
        """The view to act on.  Asks the engine which of the members that the newest view lacks are at work."""
        view, now = self._view, self._clock.monotonic()
        at_work = self._claimer.at_work() if view.lost and view.is_due(now) else ()
        heard = {member.name for member in at_work}
        with self._view_lock:
            if self._view.seen == view.seen:  # else the engine was asked about another view: look again
                self._view = self._view.settled(now, heard)
            return self._view

    def _may_continue(self) -> bool:
        return not self._stage.leaving and not self._claims.stopping

    def _join_or_leave(self) -> None:
        ready = self._stage is Stage.JOINING and self._worker.ready()
        with self._stage_lock:
            before = self._stage
            after = self._stage = lifecycle.after_step(before, ready=ready, acknowledged=self._acknowledged_state)
            if after is before:
                return
            if after is Stage.ACTIVE:
                LOG.info("member %s consumes every bus and joins", self.member)
                self._membership.join()
                self._beat_now.set()
            else:
                LOG.info("member %s leaves the group, and hands over what it is asked for", self.member)
                self._membership.leave(timeout=0)
