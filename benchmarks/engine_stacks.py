"""Stacks of many nodes, built at once: what a node costs the engine, from the claim of its job to its completion.

One worker claims a hundred jobs at a time and completes each; one observer reports what was begun, ACTIVE, in one
batch.  Everything in this process, by the engine's own operations.
"""
from __future__ import annotations

import itertools
import time
import uuid

import sqlalchemy as sa

from obsvc.engine.database.store import Store
from obsvc.engine.schema import core
from obsvc.engine.service import EngineService
from obsvc.engine_client.contract import CONTRACT_VERSION
from obsvc.engine_client.jobs import JobClaimRequest, JobDone
from obsvc.engine_client.ownership import Beat, ClaimReason, ClaimRequest, MemberState, PartitionClaim
from obsvc.engine_client.reports import Report, ReportRequest
from obsvc.engine_client.stacks import StackCreate, StackRequest
from obsvc.model import (
    DEFAULT_PARTITIONS,
    Cause,
    Condition,
    Generation,
    MemberId,
    PartitionId,
    Ref,
    Snapshot,
    partition,
)

TYPE = "Sim::Resource"
#: Jobs of one claim.
JOBS = 100
#: Nodes of one chain.
CHAIN = 10


def template(nodes: int, *, chains: bool) -> str:
    """So many resources, all free, or each after the one before it in a chain of ten."""
    lines = ["heat_template_version: 2021-04-16", "resources:"]
    for number in range(nodes):
        lines.append(f"  r{number}:\n    type: {TYPE}")
        if chains and number % CHAIN:
            lines.append(f"    depends_on: r{number - 1}")
    return "\n".join(lines)


class Builder:
    """An engine with a worker and an observer that answer at once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._service = EngineService(store)
        self._member = MemberId("bench", uuid.uuid4().hex)
        self._sequence = itertools.count(1)
        self._service.beat(Beat(self._member, CONTRACT_VERSION, DEFAULT_PARTITIONS, MemberState.ACTIVE, 0.0))
        everything = map(PartitionId, range(DEFAULT_PARTITIONS))
        claims = tuple(PartitionClaim(number, ClaimReason.VANISHED) for number in everything)
        self._held: dict[PartitionId, Generation] = {
            grant.partition: grant.generation
            for grant in self._service.claim(ClaimRequest(self._member, uuid.uuid4().hex, claims)).grants
        }

    def build(self, nodes: int, *, chains: bool) -> dict[str, float]:
        """Figures of one stack."""
        name = f"s{uuid.uuid4().hex}"
        began = time.perf_counter()
        self._service.create_stack(StackCreate(name=name, template=template(nodes, chains=chains)))
        created = time.perf_counter()
        while refs := self._begin():
            self._see(refs)
        took = time.perf_counter() - created
        status = self._service.read_stack(StackRequest(name)).status
        if status != "CREATE_COMPLETE":
            raise RuntimeError(f"expected CREATE_COMPLETE, got {status}")
        return {"node_ms": took / nodes * 1e3, "nodes_per_s": nodes / took, "accepted_s": created - began}

    def close(self) -> None:
        self._service.shutdown()

    def _begin(self) -> list[Ref]:
        refs = []
        for job in self._service.claim_jobs(JobClaimRequest("bench", (TYPE,), wait=0, limit=JOBS)).jobs:
            ref = Ref("RegionOne", "sim.resource", uuid.uuid4().hex)
            self._service.complete_job(JobDone(job.job_id, job.lease_token, ref=ref, goal=Condition.ACTIVE))
            refs.append(ref)
        return refs

    def _see(self, refs: list[Ref]) -> None:
        table, keys = core.resource, [core.ref_key(ref) for ref in refs]
        marks = self._store.read(lambda tx: dict(
            tx.execute(sa.select(table.c.ref_key, table.c.mark).where(table.c.ref_key.in_(keys))).tuples().all()))
        snapshot = Snapshot(exists=True, condition=Condition.ACTIVE, status="ACTIVE", fetched_at=time.time())
        reports = []
        for ref, key in zip(refs, keys, strict=True):
            number = partition(ref)
            reports.append(Report(ref, number, self._held[number], next(self._sequence), snapshot, Cause.STARTED,
                                  marks[key]))
        self._service.report(ReportRequest(self._member, tuple(reports)))
