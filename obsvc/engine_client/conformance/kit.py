"""What the checks have in common: how one says what is wrong, and a member that does as told."""
from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from obsvc.engine_client import observations as obs
from obsvc.engine_client import ownership as own
from obsvc.engine_client import reports
from obsvc.engine_client.contract import CONTRACT_VERSION, Empty, Engine
from obsvc.engine_client.ownership import ClaimReason
from obsvc.exceptions import ObsvcError
from obsvc.model import Cause, Condition, Generation, MemberId, PartitionId, Ref, Snapshot, partition


class Checks(list[Callable[[Engine], None]]):
    """The checks of one subject, in order; a decorator of each."""

    def __call__(self, check: Callable[[Engine], None]) -> Callable[[Engine], None]:
        self.append(check)
        return check


class NonConformant(AssertionError):
    """An engine did not do what the contract says."""


def expect(what: str, expected: object, came: object) -> None:
    if expected != came:
        raise NonConformant(f"{what}: expected {expected!r}, got {came!r}")


def expect_error(what: str, cls: type[ObsvcError], do: Callable[[], object]) -> None:
    try:
        came = do()
    except ObsvcError as error:
        expect(what, cls, type(error))
        return
    raise NonConformant(f"{what}: expected {cls.__name__}, got {msgspec.json.encode(came)!r}")


class Actor:
    """A member that does as told."""

    def __init__(self, engine: Engine, name: str | None = None) -> None:
        self.engine = engine
        self.info = engine.info(Empty())
        self.member = MemberId(name or f"conformance-{uuid.uuid4().hex[:8]}", uuid.uuid4().hex[:8])
        self.sequence = 0

    def beat(
        self, *, caught_up: bool = True, state: own.MemberState = own.MemberState.ACTIVE, **more: Any
    ) -> own.BeatReply:
        return self.engine.beat(
            own.Beat(
                member=self.member, contract_version=CONTRACT_VERSION, partitions=self.info.partitions, state=state,
                started_at=0.0, caught_up=caught_up, **more,
            )
        )

    def claim(
        self, partitions: Sequence[PartitionId], reason: ClaimReason = ClaimReason.VANISHED, claim_id: str | None = None
    ) -> own.ClaimReply:
        claims = tuple(own.PartitionClaim(number, reason) for number in sorted(set(partitions)))
        return self.engine.claim(own.ClaimRequest(self.member, claim_id or uuid.uuid4().hex, claims))

    def take(self, ref: Ref) -> own.Grant:
        """Beat, then claim the partition of ``ref`` whoever has it."""
        self.beat()
        [grant] = self.claim([self.partition(ref)]).grants
        return grant

    def partition(self, ref: Ref) -> PartitionId:
        return partition(ref, self.info.partitions)

    def release(self, number: PartitionId, generation: Generation) -> own.ReleaseReply:
        return self.engine.release(own.ReleaseRequest(self.member, ((number, generation),)))

    def report(
        self, ref: Ref, generation: Generation, snapshot: Snapshot, *, sequence: int | None = None,
        mark: int | None = None,
    ) -> reports.ReportOutcome:
        if sequence is None:
            self.sequence += 1
            sequence = self.sequence
        report = reports.Report(ref, self.partition(ref), generation, sequence, snapshot, Cause.NOTIFIED, mark)
        [outcome] = self.engine.report(reports.ReportRequest(self.member, (report,))).outcomes
        return outcome

    def list(
        self, *held: tuple[PartitionId, Generation], limit: int = 1000
    ) -> tuple[dict[Ref, own.ObservedRef], dict[PartitionId, int]]:
        """All pages of ``observed``: refs, and the version of each complete partition."""
        refs: dict[Ref, own.ObservedRef] = {}
        complete: dict[PartitionId, int] = {}
        after = None
        while True:
            page = self.engine.observed(own.ObservedRequest(self.member, held, after=after, limit=limit))
            refs.update({observed.ref: observed for observed in page.refs})
            complete.update(dict(page.complete))
            after = page.next
            if after is None:
                return refs, complete

    def follow(self, number: PartitionId, generation: Generation, version: int, wait: float = 0.0) -> own.FollowReply:
        return self.engine.follow(own.FollowRequest(self.member, ((number, generation, version),), wait=wait))


def new_ref() -> Ref:
    return Ref("conformance", "compute.server", str(uuid.uuid4()))


def ref_in(number: PartitionId, partitions: int) -> Ref:
    while True:
        ref = new_ref()
        if partition(ref, partitions) == number:
            return ref


def start(engine: Engine, ref: Ref, goal: Condition | None = None) -> obs.Observation:
    [observation] = engine.start(obs.StartRequest((obs.StartItem(ref, goal=goal),))).observations
    return observation


def status_of(resource: obs.Resource) -> str | None:
    """The status in the service's own words, as the engine knows it."""
    return None if resource.snapshot is None else resource.snapshot.status


def snapshot(status: str = "ACTIVE", condition: Condition = Condition.ACTIVE) -> Snapshot:
    return Snapshot(exists=True, condition=condition, status=status, project_id="conformance", fetched_at=1.0)


BUILD = snapshot("BUILD", Condition.PENDING)
ACTIVE = snapshot()
