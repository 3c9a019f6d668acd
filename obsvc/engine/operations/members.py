"""Members and what they own: beats, claims, the lists of their partitions, and who has what."""
from __future__ import annotations

from obsvc.engine.database.store import Store
from obsvc.engine.database.waiters import Waiters
from obsvc.engine.observations import lists
from obsvc.engine.ownership import directory, draining, grants
from obsvc.engine.ownership.recent_asks import RecentAsks
from obsvc.engine_client import observations, ownership
from obsvc.engine_client.contract import CONTRACT_VERSION_MIN, Empty
from obsvc.exceptions import IncompatibleContract


class MemberOperations:
    """Safe from any thread."""

    def __init__(self, store: Store, waiters: Waiters) -> None:
        self._store = store
        self._waiters = waiters
        self._recent_asks = RecentAsks()

    def beat(self, request: ownership.Beat) -> ownership.BeatReply:
        """Note what a member says of itself; IncompatibleContract where the two can't work together."""
        if request.contract_version < CONTRACT_VERSION_MIN:
            raise IncompatibleContract(
                f"expected contract version {CONTRACT_VERSION_MIN} or newer, {request.member} speaks "
                f"{request.contract_version}: upgrade that member"
            )
        if request.partitions != self._store.partitions:
            raise IncompatibleContract(
                f"this deployment has {self._store.partitions} partitions, {request.member} computes with "
                f"{request.partitions}: it must take the number from the engine"
            )
        granted, drained = self._store.run(
            lambda tx: (grants.beat(tx, request), draining.is_drained(tx, request.member.name))
        )
        return ownership.BeatReply(self._store.clock.time(), granted, drained)

    def drain_member(self, request: ownership.DrainRequest) -> ownership.DrainReply:
        """NotFound for a name that no member has (had lately); no effect where it is so already."""
        return self._store.run(lambda tx: draining.set_drained(tx, request))

    def claim(self, request: ownership.ClaimRequest) -> ownership.ClaimReply:
        return self._store.run(lambda tx: grants.claim(tx, request))

    def release(self, request: ownership.ReleaseRequest) -> ownership.ReleaseReply:
        return self._store.run(lambda tx: grants.release(tx, request))

    def observed(self, request: ownership.ObservedRequest) -> ownership.ObservedPage:
        return self._store.read(lambda tx: lists.observed(tx, request))

    def follow(self, request: ownership.FollowRequest) -> ownership.FollowReply:
        """Answers as soon as there is something new; an ask that was told lately is no news."""
        self._store.read(lambda tx: grants.check_partitions(tx, (number for number, _, _ in request.known)))

        def is_news(reply: ownership.FollowReply) -> bool:
            return bool(reply.changes or reply.lost or reply.explain) or self._recent_asks.any_new(
                request.member, reply.asked)

        reply = self._waiters.wait_until(
            {"partition"}, lambda: self._store.read(lambda tx: lists.changes_since(tx, request)), is_news, request.wait)
        self._recent_asks.told(request.member, reply.asked)
        return reply

    def members(self, request: Empty) -> observations.MembersReply:
        """Every member that beats, holds something, or is the newest start of its name (drained or not)."""
        return self._store.read(directory.members)

    def partitions(self, request: observations.PartitionsRequest) -> observations.PartitionsReply:
        return observations.PartitionsReply(
            tuple(self._store.read(lambda tx: directory.partitions(tx, request.partitions))))
