"""Owning partitions: from the membership view to claims at the engine, to the worker, and back (DESIGN 2).

Two threads of its own beside the membership's: one beats to the engine, one claims and releases.  All public methods
may be called from any thread; those that the worker calls (``release``, ``stale``, ``asked_for``, ``lost_by_engine``)
return at once.

What it promises:

- Nothing counts as held but what the engine granted; what the engine says it has not granted is dropped within a beat.
- Nothing is claimed before the worker was ready once, without a fresh view, or while draining.
- A member that can't reach the coordination backend keeps what it holds.
- A lost answer to a claim is asked for again under the same claim id; a release is sent until it is answered.
- A member that an operator drains (the engine says so in the answer to a beat) leaves the group only after the engine
  knows that it drains, so that it is asked and never robbed.  It works on until it is asked: what nobody else can
  take it keeps.

The worker is told of each grant exactly once, and of its end exactly once, by ``lost`` or by its own ``release``; in
order.  It must not hold a lock while it calls Ownership that its own ``granted`` or ``lost`` would wait for.
"""
from __future__ import annotations

import logging
import random
import threading
from collections.abc import Iterable, Mapping
from typing import Any

from obsvc.engine_client.contract import CONTRACT_VERSION, PartitioningApi
from obsvc.engine_client.ownership import ASK_STANDS, Beat, MemberState
from obsvc.exceptions import ObsvcError
from obsvc.model import Generation, MemberId, PartitionId, partition_of_id
from obsvc.partitioning.claimer import REPEAT_MAX, Claimer
from obsvc.partitioning.engine_check import RETRY_PAUSE
from obsvc.partitioning.engine_health import EngineHealth
from obsvc.partitioning.holding import Holding
from obsvc.partitioning.membership import Membership, MembershipView
from obsvc.partitioning.partition_worker import OwnershipSettings, PartitionWorker
from obsvc.partitioning.views import ViewState
from obsvc.process.clock import Clock, SystemClock
from obsvc.process.repeating import repeat
from obsvc.process.threads import Loop

__all__ = ["PartitionWorker", "Ownership", "OwnershipSettings"]

LOG = logging.getLogger(__name__)

#: Beats by which another member's view may be newer than ours while both lost the backend at the same moment.
ASKER_BEATS = 2


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
        self._stopping = threading.Event()
        self._ending = False  # this process hands everything over for its end
        self._drained: bool | None = None  # by an operator; None: the engine has not said yet
        self._leaving_since = float("-inf")  # monotonic seconds
        self._acknowledged_state: MemberState | None = None  # in the newest beat that was answered
        self._left = False
        self._joined = False
        self._begun = False
        self._view_lock = threading.Lock()
        self._view = ViewState(member.name, self._settings.beat_interval, self._settings.lease)
        self._work = threading.Event()
        self._beat_now = threading.Event()
        self._beats = Loop("ownership-beat", self._beat_loop)
        self._claims = Loop("ownership-claims", self._claim_loop)
        membership.subscribe(self._on_view)

    # --- for the observer's wiring

    def start(self) -> None:
        """Begin; the engine has been found to fit (``engine_check``), and need not answer now."""
        self._begun = True
        self._membership.start()
        self._beats.start()
        self._claims.start()

    def drain(self, timeout: float = 30.0) -> bool:
        """Hand everything over before the end; True when nothing was held any more within ``timeout`` seconds.

        Says so to the engine first, so that the others ask instead of taking, then leaves the group.
        """
        end = self._clock.monotonic() + timeout
        self._ending = True
        self._beat_safely()
        self._work.set()  # the hand-over does not wait for a backend that is away
        self._membership.leave(timeout=min(max(0.0, end - self._clock.monotonic()) / 2, self._settings.lease))
        return self._holding.wait_idle(max(0.0, end - self._clock.monotonic()))

    def stop(self, timeout: float = 5.0) -> None:
        """End at once, without handing anything over (see :meth:`drain`): say goodbye, leave, end the threads."""
        self._stopping.set()
        for loop in (self._claims, self._beats):
            loop.stop()
        self._work.set()
        self._beat_now.set()
        for loop in (self._claims, self._beats):
            if loop.alive:
                loop.join(timeout)
        self._membership.stop(timeout)
        self._left = True
        if self._begun:
            self._beat_safely()

    def held(self) -> Mapping[PartitionId, Generation]:
        """What is held now; a copy."""
        return self._holding.grants.held()

    @property
    def state(self) -> MemberState:
        if self._left:
            return MemberState.LEFT
        if self._ending or self._drained:
            return MemberState.DRAINING
        return MemberState.ACTIVE if self._joined else MemberState.JOINING

    @property
    def last_error(self) -> str | None:
        """The newest trouble with the engine or the coordination backend; None when both answer."""
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
        """It is drained: let go of it.  Nothing happens when it is not held so (any more).

        taken: whether what the owner before may have left was seen to; if not, the next owner shall.
        """
        if self._holding.begin_release(partition, generation, taken=taken):
            self._work.set()

    def stale(self, partition: PartitionId, generation: Generation) -> None:
        """A report under this generation was refused: drop it, and claim again after a pause if still assigned."""
        self._holding.lose(partition, generation, "a report was refused as stale_generation")

    def asked_for(self, partitions: Iterable[PartitionId]) -> None:
        """Others wait for these (``FollowReply.asked``)."""
        self._holding.asked_for(partitions)
        self._work.set()

    def lost_by_engine(
        self, partitions: Iterable[PartitionId], known: Mapping[PartitionId, Generation] | None = None
    ) -> None:
        """The engine says that these are not granted to us (``FollowReply.lost``).

        known: the generations that were asked about, so that a newer grant is not taken for the old one.
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
        """One beat to the engine, and what its answer means for what is held.  Raises ObsvcError."""
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
        if drained != bool(self._drained):
            self._leaving_since = self._clock.monotonic()
            LOG.info("member %s is %s", self.member, "drained by an operator" if drained else "drained no more")
            self._beat_now.set()  # the engine is to know before the group does
        first, self._drained = self._drained is None, drained
        if first or drained:
            self._work.set()

    def _beat_message(self, held: int) -> Beat:
        view = self._membership.view()
        fields: dict[str, Any] = {
            "host": self._settings.host, "address": self._settings.address, "last_error": self.last_error,
            **{name: value for name, value in self._worker.status().items() if value is not None},
        }
        return Beat(
            member=self.member, contract_version=CONTRACT_VERSION, partitions=self._partitions, state=self.state,
            started_at=self._started_at, held=held, view=view.names if view is not None else (), **fields,
        )

    # --- the claiming thread

    def _claim_loop(self, stop: threading.Event) -> None:
        repeat(stop, self.step, on_failure=self._engine_health.failed, pause=RETRY_PAUSE, wake=self._work)

    def step(self) -> float:
        """Do what there is to do now.  Returns the seconds after which to look again.  Raises ObsvcError."""
        self._claimer.send_releases()
        self._join_or_leave()
        state = self._settle()
        assignment = self._claimer.assigned(state.acted)
        believed, asked_after = self._believed(assignment)
        self._holding.hand_over(believed, asked_after=asked_after, everything=self._ending)
        self._claimer.settle_pending(still=not self._leaving and self._fresh())
        view = self._membership.view()
        if view is not None and self._may_claim(view) and self._clock.monotonic() >= self._claimer.next_at:
            self._claimer.claim_missing(view, ready=self._worker.ready(), still=self._may_continue)
        return self._pause(state)

    def _settle(self) -> ViewState:
        """The view to act on.  Asks the engine who is at work of those that the newest view misses."""
        view, now = self._view, self._clock.monotonic()
        at_work = self._claimer.at_work() if view.lost and view.is_due(now) else ()
        heard = {member.name for member in at_work}
        with self._view_lock:
            if self._view.seen == view.seen:  # else what was asked is about another view: look again
                self._view = self._view.settled(now, heard)
            return self._view

    @property
    def _leaving(self) -> bool:
        """Hands over and takes nothing."""
        return self._ending or bool(self._drained)

    def _believed(self, assignment: tuple[str, ...]) -> tuple[tuple[str, ...] | None, float]:
        """What an ask is judged by: the assignment; None where the asker knows better, and since when he must have
        asked for that (monotonic seconds).

        A view that is too old says nothing; but as long as the others' may be as old, neither does their asking: with
        the backend away for everybody, what is let go of would be nobody's until it is back.
        """
        if self._leaving:
            return None, self._leaving_since
        if assignment and self._fresh():
            return assignment, float("-inf")
        view = self._membership.view()
        seen_at = view.seen_at if view is not None else float("-inf")
        return None, seen_at + self._settings.lease + ASKER_BEATS * self._settings.beat_interval + ASK_STANDS

    def _may_continue(self) -> bool:
        return not self._leaving and not self._stopping.is_set()

    def _join_or_leave(self) -> None:
        if self._ending:
            return  # drain() leaves
        if not self._joined and self._drained is False and self._worker.ready():
            LOG.info("member %s consumes every bus and joins", self.member)
            self._joined = True
            self._membership.join()
            self._beat_now.set()
        elif self._joined and self._drained and self._acknowledged_state is MemberState.DRAINING:
            LOG.info("member %s leaves the group, and hands over what it is asked for", self.member)
            self._joined = False
            self._membership.leave(timeout=0)

    def _pause(self, state: ViewState) -> float:
        now = self._clock.monotonic()
        due, claim_at = state.due_at(), self._claimer.next_at
        times = [now + self._settings.beat_interval, claim_at if claim_at > now else now + 60]
        if due is not None:
            times.append(due)
        if not self._joined:
            times.append(now + min(REPEAT_MAX, self._settings.beat_interval))
        return max(0.01, min(times) - now)

    def _fresh(self) -> bool:
        view = self._membership.view()
        return view is not None and self._clock.monotonic() - view.seen_at <= self._settings.lease

    def _may_claim(self, view: MembershipView) -> bool:
        return (
            self._joined and not self._leaving and not self._claimer.pending and self._fresh()
            and self.member in view.members
        )
