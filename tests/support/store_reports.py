"""What the tests of the store on real databases send: claims and reports of one member."""
from __future__ import annotations

from obsvc.engine.service import EngineService
from obsvc.engine_client.ownership import ClaimReason, ClaimRequest, PartitionClaim
from obsvc.engine_client.reports import (
    Report,
)
from obsvc.model import Cause, Condition, MemberId, Ref, Snapshot, partition

PARTITIONS = 16


def refs(count: int) -> list[Ref]:
    return [Ref("RegionOne", "compute.server", f"server-{number}") for number in range(count)]


def claim_all(service: EngineService, member: MemberId, claim_id: str, reason=ClaimReason.VANISHED) -> dict[int, int]:
    claims = tuple(PartitionClaim(number, reason) for number in range(PARTITIONS))
    reply = service.claim(ClaimRequest(member, claim_id, claims))
    return {grant.partition: grant.generation for grant in reply.grants}


def report_of(ref: Ref, held: dict[int, int], sequence: int, *, status="ACTIVE", mark=1000) -> Report:
    number = partition(ref, PARTITIONS)
    snapshot = Snapshot(
        exists=True, condition=Condition.ACTIVE, status=status, project_id="p", attributes={"flavor": {"id": "ü"}}
    )
    return Report(ref, number, held[number], sequence, snapshot, Cause.NOTIFIED, mark)
