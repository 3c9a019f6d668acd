"""An engine on SQLite in memory with a cloud that tests move by hand, in virtual time."""
from __future__ import annotations

import dataclasses
import itertools

import sqlalchemy as sa

from obsvc.engine.database import due
from obsvc.engine.reports import (
    reporting,
    upkeep,  # noqa: F401 -- upkeep registers the deadlines of observations
)
from obsvc.engine.schema import core, stacks
from obsvc.engine.service import EngineService
from obsvc.engine.settings import EngineSettings
from obsvc.engine_client.jobs import Job, JobClaimRequest, JobDone, JobFailed
from obsvc.engine_client.reports import Report, ReportRequest
from obsvc.engine_client.stacks import Stack, StackCreate, StackEventsRequest, StackRequest
from obsvc.model import Cause, Condition, Generation, MemberId, Ref, Snapshot, partition
from obsvc.process.clock import ManualClock
from tests.support.engine_store import new_store

MEMBER = MemberId("obs", "1")
TYPE = "Sim::Resource"


#: The operations that tests call as their callers do; all look once, as tests in virtual time never wait.
OPERATIONS = (
    "create_stack", "read_stack", "list_stacks", "stack_nodes", "stack_events", "update_stack", "delete_stack",
    "rollback_stack", "cancel_stack", "resume_stack", "preview_stack", "claim_jobs", "renew_job", "confirm_attempt",
    "complete_job", "replace_job", "fail_job",
)


class Life:
    """The engine's stack and job operations, a worker's hands, and an observer's eyes.

    resource_types, needs_replacement: what the worker plugins say; tests may set others.
    """

    resource_types = frozenset({TYPE, "Sim::Other"})

    def types(self):
        return self.resource_types

    def needs_replacement(self, kind, before, after):
        return ()

    def __init__(self, store=None, **settings):
        self.store = store or new_store(clock=ManualClock())
        self.clock = self.store.clock
        self.settings = dataclasses.replace(EngineSettings(), **settings)
        self.store.settings = self.settings
        self.store.emitting = True
        self.service = EngineService(self.store, plugins=self)
        for name in OPERATIONS:
            setattr(self, name, getattr(self.service, name))
        self.sequence = itertools.count(1)
        self.store.run(lambda tx: tx.execute(sa.update(core.partition).values(
            owner_name=MEMBER.name, owner_incarnation=MEMBER.incarnation, generation=1)))

    def create(self, template: str, name: str = "s", **more) -> Stack:
        return self.create_stack(StackCreate(name=name, template=template, **more))

    def stack(self, name: str = "s") -> Stack:
        return self.read_stack(StackRequest(name))

    def nodes(self, name: str = "s"):
        return {node.name: node for node in self.stack_nodes(StackRequest(name)).nodes}

    def statuses(self, name: str = "s") -> dict[str, str]:
        return {node: str(value.status) for node, value in self.nodes(name).items()}

    def delete(self, name: str = "s") -> Stack:
        return self.delete_stack(StackRequest(name))

    def events(self, name: str = "s", after: int = 0):
        return self.stack_events(StackEventsRequest(name, after=after)).events

    def claim(self, limit: int = 100, worker: str = "w") -> dict[str, Job]:
        request = JobClaimRequest(worker, tuple(self.resource_types), wait=0, limit=limit)
        return {job.node_name: job for job in self.claim_jobs(request).jobs}

    def begin(self, job: Job) -> Ref:
        """Do what a worker does with a job: start the action, exit the job."""
        ref = Ref("R", "sim.resource", job.resource_id or f"id-{job.node_name}")
        goal = Condition.DELETED if job.action == "delete" else Condition.ACTIVE
        self.complete_job(JobDone(job.job_id, job.lease_token, ref=ref, goal=goal))
        return ref

    def fail(self, job: Job, error: str = "no quota", *, retriable: bool = False, **more) -> None:
        self.fail_job(JobFailed(job.job_id, job.lease_token, error, retriable, **more))

    def seen(self, ref: Ref, condition: Condition, status: str | None = None, **more) -> str:
        """An observer reports what it saw; the verdict."""
        sequence = next(self.sequence)
        mark = self.store.read(lambda tx: tx.execute(
            sa.select(core.resource.c.mark).where(core.resource.c.ref_key == core.ref_key(ref))).scalar())
        snapshot = Snapshot(
            exists=condition is not Condition.DELETED, condition=condition, status=status or condition.upper(),
            settled=condition is not Condition.PENDING, fetched_at=self.clock.time(), **more)
        where = partition(ref, self.store.partitions)
        report = Report(ref, where, Generation(1), sequence, snapshot, Cause.NOTIFIED, mark)
        reply = self.store.run(lambda tx: reporting.write_reports(tx, ReportRequest(MEMBER, (report,))))
        return reply.outcomes[0].verdict

    def run_due(self) -> int:
        return due.run_due(self.store)

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        while self.run_due():
            pass

    def emitted(self) -> list[str]:
        return [row.event_type for row in self.store.read(
            lambda tx: tx.execute(sa.select(stacks.outbox).order_by(stacks.outbox.c.outbox_id)).all())]

    def observed(self) -> int:
        return self.store.read(lambda tx: tx.execute(
            sa.select(sa.func.count()).select_from(core.observation)).scalar_one())


def template(**requires) -> str:
    """A HOT text with one resource a keyword, each depending on the names given."""
    lines = ["heat_template_version: 2018-08-31", "resources:"]
    for name, wanted in requires.items():
        lines.append(f"  {name}: {{type: 'Sim::Resource', depends_on: [{', '.join(wanted)}]}}")
    return "\n".join(lines)
