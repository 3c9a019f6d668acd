"""Claims and releases at the engine: what the claiming thread does (DESIGN 2).

Nothing is claimed without a fresh view with us in it.  A claim whose answer was lost is sent again under its id
while the world is the one that it was made in; a release is sent until it is answered.
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

#: Partitions in one claim or release: a few round trips for everything, and short transactions at the engine.
PAGE = 128

#: Seconds until a claim that waits for a live owner is repeated, at most (else half a beat).
REPEAT_MAX = 0.5

#: Beats within which a member must have been heard to count as at work.  Whose lease has lapsed has been silent for
#: longer (a beat is at most a third of a lease) unless it is the backend that it does not reach.
HEARD_BEATS = 1.5


class Claimer:
    """Of one thread alone, but for :attr:`pending`."""

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
        self._pending_view: tuple[str, ...] | None = None  # the names that it was made of
        self.next_at = float("-inf")  #: monotonic seconds before which nothing is claimed

    @property
    def pending(self) -> bool:
        """The outcome of a claim is unknown."""
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
        """Send the claim of unknown outcome again if it is ``still`` to be made in the view that it was made in."""
        if self._pending is not None and still and self._pending_view == self._assignment[0]:
            self._send(self._pending)
        else:
            self._pending = None  # made in another world; what it may have been granted is let go of with the beats

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
        alive = set(names or ()) | set(view.names)  # who just joined has not vanished
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
        """Who beats to the engine, whatever the coordination backend says: to be asked and not robbed.

        draining: also those who left the group and still hand over, or keep what nobody has asked for.
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
        """Send it; kept as pending while its outcome is unknown.  Asked partitions are claimed again soon."""
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
        """Release at the engine what the worker has let go of."""
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
        """Let go of what the engine holds as granted to us and we never heard of; True when there was any."""
        orphans = self._holding.grants.orphans(granted)
        if not orphans or self.pending:
            return False
        LOG.info("%d partitions are granted to us in answers that were lost: let go", len(orphans))
        self._engine.release(ReleaseRequest(self._member, tuple(orphans), tuple(number for number, _ in orphans)))
        return True
