"""Claims and releases at the engine: what the claiming thread does.

Nothing is claimed without a fresh view that contains this member.  A claim whose answer was lost is sent again under
the same id as long as the view that it was made from is the current one; a release is sent until it is answered.
"""
from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Collection

from obsvc import metrics
from obsvc.engine_client.contract import Empty, PartitioningApi
from obsvc.engine_client.observations import PartitionsRequest
from obsvc.engine_client.ownership import ClaimRequest, MemberState, PartitionClaim, ReleaseRequest
from obsvc.exceptions import ObsvcError, Unavailable
from obsvc.model import Generation, MemberId, PartitionId
from obsvc.partitioning import plan
from obsvc.partitioning.assignment import assign
from obsvc.partitioning.engine_health import EngineHealth
from obsvc.partitioning.holding import Holding
from obsvc.partitioning.membership import MembershipView
from obsvc.partitioning.partition_worker import OwnershipSettings
from obsvc.process import failpoints
from obsvc.process.batches import batched
from obsvc.process.clock import Clock

LOG = logging.getLogger(__name__)

#: Partitions per claim or release: a few round trips for everything, and short transactions at the engine.
PAGE = 128

#: Upper bound on the seconds until a claim that waits for a live owner is repeated (else half a beat).
REPEAT_MAX = 0.5

#: Beats within which the engine must have heard a member for it to count as at work.  A member whose lease has lapsed
#: has been silent for longer (a beat is at most a third of a lease), unless only the backend is out of its reach.
HEARD_BEATS = 1.5


class Claimer:
    """For one thread; only :attr:`pending` may be read by others."""

    def __init__(
        self, engine: PartitioningApi, member: MemberId, partitions: int, holding: Holding, engine_health: EngineHealth,
        clock: Clock, settings: OwnershipSettings,
    ) -> None:
        self._engine = engine
        self._member = member
        self._partitions = partitions
        self._holding = holding
        self._engine_health = engine_health
        self._clock = clock
        self._settings = settings
        self._assignment: tuple[tuple[str, ...] | None, tuple[str, ...]] = (None, ())
        self._pending: ClaimRequest | None = None
        self._pending_view: tuple[str, ...] | None = None  # the names in the view that it was made from
        self.next_at = float("-inf")  #: monotonic seconds before which nothing is claimed

    @property
    def pending(self) -> bool:
        """Whether the outcome of a claim is unknown."""
        return self._pending is not None

    def assigned(self, names: tuple[str, ...] | None) -> tuple[str, ...]:
        """Partition → member name over ``names``; kept until they change."""
        if self._assignment[0] != names:
            computed = assign(names or (), self._partitions)
            self._assignment = (names, computed)
            LOG.info(
                "assignment over %s: %d of %d partitions are for %s", ", ".join(names or ()) or "nobody",
                computed.count(self._member.name), self._partitions, self._member.name,
            )
        return self._assignment[1]

    def settle_pending(self, *, still: bool) -> None:
        """Send the claim of unknown outcome again if it is ``still`` wanted and was made from the current view."""
        if self._pending is not None and still and self._pending_view == self._assignment[0]:
            self._send(self._pending)
        else:
            self._pending = None  # what it may have been granted is released after a beat (release_orphans)

    def claim_missing(self, view: MembershipView, *, ready: bool, may_continue: Callable[[], bool]) -> None:
        """Claim what is assigned to us and not held.

        view: the newest.  ready: see :func:`plan.claims`.  may_continue: asked before each page.
        """
        names, assignment = self._assignment
        unavailable = self._holding.grants.unavailable(self._clock.monotonic(), view.seen_at)
        wanted = plan.missing(self._member.name, assignment, unavailable)
        self.next_at = self._clock.monotonic()
        if not wanted:
            return
        records = self._engine.partitions(PartitionsRequest(wanted)).partitions
        owners = {record.partition: record.owner for record in records}
        alive = set(names or ()) | set(view.names)  # a member that has just joined has not vanished
        if any(owner is not None and owner.name not in alive for owner in owners.values()):
            at_work = self.at_work(draining=True)
            alive |= {owner.name for owner in owners.values() if owner in at_work}
        claims = plan.claims(self._member, wanted, owners, alive, ready=ready)
        for page in batched(claims, PAGE):
            if not may_continue():
                return
            self._send(self._new(page))

    def _new(self, claims: tuple[PartitionClaim, ...]) -> ClaimRequest:
        return ClaimRequest(self._member, uuid.uuid4().hex, claims)

    def at_work(self, *, draining: bool = False) -> set[MemberId]:
        """Members whose heartbeat reaches the engine, whatever the coordination backend says: these are asked to
        release, never pre-empted.

        draining: also those that left the group and still hand over, or keep what nobody has asked for.
        """
        reply = self._engine.members(Empty())
        heard_since = reply.engine_time - HEARD_BEATS * self._settings.beat_interval
        return {
            record.beat.member for record in reply.members
            if record.alive and (
                (draining and record.beat.state is MemberState.DRAINING)
                or (record.beat.state is MemberState.ACTIVE and record.last_beat_at >= heard_since)
            )
        }

    def _send(self, request: ClaimRequest) -> None:
        """Send it; it stays pending while its outcome is unknown.  Partitions that their owners were asked for are
        claimed again soon."""
        self._pending, self._pending_view = request, self._assignment[0]
        failpoints.hit("claim.before")
        try:
            reply = self._engine.claim(request)
            failpoints.hit("claim.after")
        except Unavailable:
            metrics.CLAIMS.labels("unknown").inc(len(request.claims))
            raise
        except ObsvcError:
            self._pending = None
            metrics.CLAIMS.labels("refused").inc(len(request.claims))
            raise
        self._pending = None
        self._engine_health.answered()
        for grant in reply.grants:
            self._holding.take(grant)
        metrics.CLAIMS.labels("granted").inc(len(reply.grants))
        metrics.CLAIMS.labels("asked").inc(len(reply.asked))
        if reply.asked:
            self.next_at = self._clock.monotonic() + min(REPEAT_MAX, self._settings.beat_interval / 2)
        if reply.grants:
            LOG.info(
                "granted %d partitions, %d are asked of their owners; holding %d", len(reply.grants), len(reply.asked),
                self._holding.grants.count(),
            )

    def send_releases(self) -> None:
        """Release at the engine what the worker has released."""
        grants = self._holding.grants
        releasing = grants.releasing()
        for page in batched(releasing, PAGE):
            untaken = grants.untaken(partition for partition, _ in page)
            self._engine.release(ReleaseRequest(self._member, page, untaken))
            self._engine_health.answered()
            grants.end_release(partition for partition, _ in page)
            LOG.info("released %d partitions, holding %d", len(page), grants.count())
        if releasing:
            self._holding.tell_idle()

    def release_orphans(self, granted: Collection[tuple[PartitionId, Generation]]) -> bool:
        """Release what the engine has granted to this member in answers that were lost; True when there was any."""
        orphans = self._holding.grants.orphans(granted)
        if not orphans or self.pending:
            return False
        LOG.info("%d partitions were granted in answers that were lost: they are released", len(orphans))
        self._engine.release(ReleaseRequest(self._member, tuple(orphans), tuple(number for number, _ in orphans)))
        return True
