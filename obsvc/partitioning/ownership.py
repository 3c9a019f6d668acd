"""Owning partitions: from the membership view to claims at the engine, to the holder, and back (DESIGN 2).

Two threads of its own beside the membership's: one beats to the engine, one claims and releases.  All public methods
may be called from any thread; those that the holder calls (``release``, ``stale``, ``asked_for``, ``lost_by_engine``)
return at once.

What it promises:

- Nothing counts as held but what the engine granted; what the engine says it has not granted is dropped within a beat.
- Nothing is claimed before the holder was ready once, without a fresh view, or while draining.
- A member that can't reach the coordination backend keeps what it holds.
- A lost answer to a claim is asked for again under the same claim id; a release is sent until it is answered.

The holder is told of each grant exactly once, and of its end exactly once, by ``lost`` or by its own ``release``; in
order.  It must not hold a lock while it calls Ownership that its own ``granted`` or ``lost`` would wait for.
"""
from __future__ import annotations

import logging
import random
import threading
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from obsvc import metrics
from obsvc.clock import Clock, SystemClock
from obsvc.engine_client.contract import CONTRACT_VERSION, Empty, Engine
from obsvc.engine_client.observations import PartitionsRequest
from obsvc.engine_client.ownership import (
    Beat,
    ClaimRequest,
    Grant,
    MemberState,
    PartitionClaim,
    ReleaseRequest,
)
from obsvc.exceptions import ObsvcError, Unavailable
from obsvc.model import Generation, MemberId, PartitionId, partition_of_id
from obsvc.partitioning import plan
from obsvc.partitioning.assignment import assign
from obsvc.partitioning.engine_check import RETRY_PAUSE, check_engine, wait_for_engine
from obsvc.partitioning.grants import Grants
from obsvc.partitioning.holder import Holder, OwnershipSettings
from obsvc.partitioning.membership import Membership, MembershipView
from obsvc.partitioning.views import ViewState
from obsvc.threads import Loop

__all__ = ["Holder", "Ownership", "OwnershipSettings", "check_engine", "wait_for_engine"]

LOG = logging.getLogger(__name__)

#: Partitions in one claim or release: a few round trips for everything, and short transactions at the engine.
PAGE = 128

#: Seconds until a claim that waits for a live owner is repeated, at most (else half a beat).
REPEAT_MAX = 0.5


class Ownership:
    """What this member owns.  ``partitions``: P."""

    def __init__(
        self,
        engine: Engine,
        membership: Membership,
        member: MemberId,
        partitions: int,
        holder: Holder,
        clock: Clock | None = None,
        settings: OwnershipSettings | None = None,
        *,
        rng: random.Random | None = None,
    ) -> None:
        self.member = member
        self._engine = engine
        self._membership = membership
        self._partitions = partitions
        self._holder = holder
        self._clock = clock or SystemClock()
        self._settings = settings or OwnershipSettings()
        self._rng = rng or random.Random()
        self._started_at = self._clock.time()
        self._grants = Grants()
        self._telling = threading.RLock()  #: a grant's begin and end reach the holder in the order they happened
        self._stopping = threading.Event()
        self._draining = False
        self._left = False
        self._joined = False
        self._begun = False
        self._engine_seen = float("-inf")
        self._engine_error: str | None = None
        self._asked_lock = threading.Lock()
        self._asked: set[PartitionId] = set()
        self._handing_over: set[tuple[PartitionId, Generation]] = set()
        self._view_lock = threading.Lock()
        self._view = ViewState(member.name, self._settings.beat_interval)
        # of the claiming thread alone:
        self._assignment: tuple[tuple[str, ...] | None, tuple[str, ...]] = (None, ())
        self._pending: ClaimRequest | None = None
        self._pending_view: tuple[str, ...] | None = None  # the names that it was made of
        self._claim_at = float("-inf")
        self._work = threading.Event()
        self._beat_now = threading.Event()
        self._idle = threading.Condition()
        self._beats = Loop("ownership-beat", self._beat_loop)
        self._claims = Loop("ownership-claims", self._claim_loop)
        membership.subscribe(self._saw)

    # --- for the observer's wiring

    def start(self) -> None:
        """Check that the engine fits, waiting for it if need be, then begin.

        Raises ConfigError (another P) or IncompatibleContract; returns without beginning when stopped meanwhile.
        """
        info = wait_for_engine(self._engine, self._stopping)
        if info is None:
            return
        check_engine(info, self._partitions)
        self._begun = True
        self._membership.start()
        self._beats.start()
        self._claims.start()

    def drain(self, timeout: float = 30.0) -> bool:
        """Hand everything over; True when nothing was held any more within ``timeout`` seconds.

        Says so to the engine first, so that the others ask instead of taking, then leaves the group.
        """
        end = self._clock.monotonic() + timeout
        self._draining = True
        self._beat_safely()
        self._work.set()  # the hand-over does not wait for a backend that is away
        self._membership.leave(timeout=min(max(0.0, end - self._clock.monotonic()) / 2, self._settings.lease))
        with self._idle:
            return self._idle.wait_for(self._grants.idle, max(0.0, end - self._clock.monotonic()))

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
        return self._grants.held()

    @property
    def state(self) -> MemberState:
        if self._left:
            return MemberState.LEFT
        if self._draining:
            return MemberState.DRAINING
        return MemberState.ACTIVE if self._joined else MemberState.JOINING

    @property
    def last_error(self) -> str | None:
        """The newest trouble with the engine or the coordination backend; None when both answer."""
        return self._engine_error or self._membership.last_error

    def leads(self, duty: str) -> Generation | None:
        """The generation under which this member may carry out ``duty`` now; None when another leads.

        A leader that has not reached the engine for a lease stops, by the monotonic clock.
        """
        if self._clock.monotonic() - self._engine_seen > self._settings.lease:
            return None
        return self._grants.generation(partition_of_id(duty, self._partitions))

    # --- for the holder

    def release(self, partition: PartitionId, generation: Generation, *, taken: bool = True) -> None:
        """It is drained: let go of it.  Nothing happens when it is not held so (any more).

        taken: whether what the owner before may have left was seen to; if not, the next owner shall.
        """
        with self._telling:
            begun = self._grants.begin_release(partition, generation, taken=taken)
        if begun:
            self._forget(partition, generation)
            self._work.set()

    def stale(self, partition: PartitionId, generation: Generation) -> None:
        """A report under this generation was refused: drop it, and claim again after a pause if still assigned."""
        self._lose(partition, generation, "a report was refused as stale_generation")

    def asked_for(self, partitions: Iterable[PartitionId]) -> None:
        """Others wait for these (``FollowReply.asked``)."""
        with self._asked_lock:
            self._asked.update(partitions)
        self._work.set()

    def lost_by_engine(
        self, partitions: Iterable[PartitionId], known: Mapping[PartitionId, Generation] | None = None
    ) -> None:
        """The engine says that these are not granted to us (``FollowReply.lost``).

        known: the generations that were asked about, so that a newer grant is not taken for the old one.
        """
        held = self._grants.held()
        for partition in partitions:
            generation = (known or held).get(partition)
            if generation is not None:
                self._lose(partition, generation, "the engine granted it to another")

    # --- the membership's thread

    def _saw(self, view: MembershipView) -> None:
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
            self._engine_failed("beat", error)

    def beat(self) -> None:
        """One beat to the engine, and what its answer means for what is held.  Raises ObsvcError."""
        before = self._grants.held()
        sent_at = self._clock.monotonic()
        reply = self._engine.beat(self._beat_message(len(before)))
        self._engine_seen = max(self._engine_seen, sent_at)
        self._engine_answered()
        for partition, generation in self._grants.gone(before, reply.granted):
            self._lose(partition, generation, "the engine does not hold it as granted")
        orphans = self._grants.orphans(reply.granted)
        if orphans and self._pending is None:
            LOG.info("%d partitions are granted to us in answers that were lost: let go", len(orphans))
            untaken = tuple(partition for partition, _ in orphans)
            self._engine.release(ReleaseRequest(self.member, tuple(orphans), untaken))
            self._work.set()

    def _beat_message(self, held: int) -> Beat:
        view = self._membership.view()
        fields: dict[str, Any] = {
            "host": self._settings.host, "address": self._settings.address, "last_error": self.last_error,
            **{name: value for name, value in self._holder.status().items() if value is not None},
        }
        return Beat(
            member=self.member, contract_version=CONTRACT_VERSION, partitions=self._partitions, state=self.state,
            started_at=self._started_at, held=held, view=view.names if view is not None else (), **fields,
        )

    # --- the claiming thread

    def _claim_loop(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._work.clear()
            try:
                pause = self.step()
            except ObsvcError as error:
                self._engine_failed("claim", error)
                stop.wait(RETRY_PAUSE)
                continue
            self._work.wait(pause)

    def step(self) -> float:
        """Do what there is to do now.  Returns the seconds after which to look again.  Raises ObsvcError."""
        self._send_releases()
        if not self._joined and not self._draining and self._holder.ready():
            LOG.info("member %s consumes every bus and joins", self.member)
            self._joined = True
            self._membership.join()
            self._beat_now.set()
        now = self._clock.monotonic()
        with self._view_lock:
            self._view = state = self._view.settled(now)
        assignment = self._assigned(state.acted)
        self._hand_over(assignment)
        if self._draining:
            self._pending = None  # what it may have been granted is let go of with the beats
        elif self._pending is not None and self._pending_view == state.acted and self._fresh():
            self._send_claim(self._pending)
        else:
            self._pending = None  # made in another world; what it may have been granted is let go of with the beats
        if self._may_claim() and now >= self._claim_at:
            self._claim_missing(assignment, state.acted or ())
        return self._pause(state)

    def _pause(self, state: ViewState) -> float:
        now = self._clock.monotonic()
        due = state.due_at()
        times = [now + self._settings.beat_interval, self._claim_at if self._claim_at > now else now + 60]
        if due is not None:
            times.append(due)
        if not self._joined:
            times.append(now + min(REPEAT_MAX, self._settings.beat_interval))
        return max(0.01, min(times) - now)

    def _fresh(self) -> bool:
        view = self._membership.view()
        return view is not None and self._clock.monotonic() - view.seen_at <= self._settings.lease

    def _may_claim(self) -> bool:
        view = self._membership.view()
        return (
            self._joined and not self._draining and self._pending is None and view is not None and self._fresh()
            and self.member in view.members
        )

    def _assigned(self, names: tuple[str, ...] | None) -> tuple[str, ...]:
        if self._assignment[0] != names:
            computed = assign(names or (), self._partitions, virtual_nodes=self._settings.virtual_nodes)
            self._assignment = (names, computed)
            LOG.info(
                "assignment over %s: %d of %d partitions are for %s", ", ".join(names or ()) or "nobody",
                computed.count(self.member.name), self._partitions, self.member.name,
            )
        return self._assignment[1]

    def _hand_over(self, assignment: tuple[str, ...]) -> None:
        held = self._grants.held()
        with self._asked_lock:
            asked = set(held) if self._draining else set(self._asked)
        believed = None if self._draining or not assignment or not self._fresh() else assignment
        for partition in plan.to_hand_over(self.member.name, asked, held, believed):
            key = (partition, held[partition])
            if key not in self._handing_over:
                self._handing_over.add(key)
                LOG.debug("partition %d (generation %d) is to be handed over", *key)
                self._holder.asked(partition)

    def _claim_missing(self, assignment: tuple[str, ...], names: tuple[str, ...]) -> None:
        view = self._membership.view()
        unavailable = self._grants.unavailable(self._clock.monotonic(), view.seen_at if view is not None else 0.0)
        wanted = plan.missing(self.member.name, assignment, unavailable)
        self._claim_at = self._clock.monotonic()
        if not wanted:
            return
        records = self._engine.partitions(PartitionsRequest(wanted)).partitions
        owners = {record.partition: record.owner for record in records}
        alive = set(names) | set(view.names if view is not None else ())  # who just joined has not vanished
        if any(owner is not None and owner.name not in alive for owner in owners.values()):
            alive |= self._draining_members()
        claims = plan.claims(self.member, wanted, owners, alive, ready=self._holder.ready())
        for start in range(0, len(claims), PAGE):
            if self._draining or self._stopping.is_set():
                return
            self._send_claim(self._new_claim(claims[start:start + PAGE]))

    def _new_claim(self, claims: tuple[PartitionClaim, ...]) -> ClaimRequest:
        return ClaimRequest(self.member, uuid.uuid4().hex, claims)

    def _draining_members(self) -> set[str]:
        """Names of those who left the view but still hand over, so that they are asked and not robbed."""
        members = self._engine.members(Empty()).members
        return {
            record.beat.member.name for record in members
            if record.alive and record.beat.state is MemberState.DRAINING
        }

    def _send_claim(self, request: ClaimRequest) -> None:
        """Send it; kept as pending while its outcome is unknown.  Asked partitions are claimed again soon."""
        self._pending, self._pending_view = request, self._assignment[0]
        try:
            reply = self._engine.claim(request)
        except Unavailable:
            metrics.CLAIMS.labels("unknown").inc(len(request.claims))
            raise
        except ObsvcError:
            self._pending = None
            metrics.CLAIMS.labels("refused").inc(len(request.claims))
            raise
        self._pending = None
        self._engine_answered()
        for grant in reply.grants:
            self._take(grant)
        metrics.CLAIMS.labels("granted").inc(len(reply.grants))
        metrics.CLAIMS.labels("asked").inc(len(reply.asked))
        if reply.asked:
            self._claim_at = self._clock.monotonic() + min(REPEAT_MAX, self._settings.beat_interval / 2)
        if reply.grants:
            LOG.info(
                "granted %d partitions, %d are asked of their owners; holding %d", len(reply.grants), len(reply.asked),
                self._grants.count(),
            )

    def _take(self, grant: Grant) -> None:
        with self._asked_lock:
            self._asked.discard(grant.partition)
        with self._telling:
            before = self._grants.grant(grant.partition, grant.generation)
            if before is not None:
                self._holder.lost(grant.partition, before, "granted anew")
            self._holder.granted(grant)
        metrics.PARTITIONS_HELD.set(self._grants.count())

    def _send_releases(self) -> None:
        releasing = self._grants.releasing()
        for start in range(0, len(releasing), PAGE):
            page = releasing[start:start + PAGE]
            untaken = self._grants.untaken(partition for partition, _ in page)
            self._engine.release(ReleaseRequest(self.member, page, untaken))
            self._engine_answered()
            self._grants.end_release(partition for partition, _ in page)
            LOG.info("released %d partitions, holding %d", len(page), self._grants.count())
        if releasing:
            self._tell_idle()

    # --- shared

    def _lose(self, partition: PartitionId, generation: Generation, why: str) -> None:
        rest = self._rng.uniform(0.5, 1.5) * self._settings.beat_interval
        with self._telling:
            if not self._grants.drop(partition, generation, rest_until=self._clock.monotonic() + rest):
                return
            LOG.warning("partition %d (generation %d) is lost: %s", partition, generation, why)
            self._holder.lost(partition, generation, why)
        self._forget(partition, generation)
        self._tell_idle()

    def _forget(self, partition: PartitionId, generation: Generation) -> None:
        with self._asked_lock:
            self._asked.discard(partition)
        self._handing_over.discard((partition, generation))
        metrics.PARTITIONS_HELD.set(self._grants.count())

    def _tell_idle(self) -> None:
        with self._idle:
            self._idle.notify_all()

    def _engine_failed(self, what: str, error: ObsvcError) -> None:
        if self._engine_error != error.message:
            LOG.warning("the engine did not take a %s, it is tried again: %s", what, error)
        self._engine_error = error.message

    def _engine_answered(self) -> None:
        if self._engine_error is not None:
            LOG.info("the engine answers again")
            self._engine_error = None
