"""What an engine guarantees of duties and sweeps."""
from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import msgspec

from obsvc.engine_client import duties
from obsvc.engine_client import observations as obs
from obsvc.engine_client import ownership as own
from obsvc.engine_client.conformance.kit import Actor, Checks, expect
from obsvc.engine_client.contract import Empty, Engine
from obsvc.engine_client.reports import Verdict
from obsvc.model import Condition, Generation, PartitionId, Ref, Snapshot, partition_of_id

CHECKS = Checks()

TYPE = "compute.server"
SERVICE = "nova"
ACTIVE = Snapshot(exists=True, condition=Condition.ACTIVE, status="ACTIVE", updated_at="2026-01-01T00:00:00Z")
GONE = Snapshot(exists=False, condition=Condition.DELETED, settled=True)

#: After everything that these checks report, by any engine's clock.
LATER = 1e12


class _Leader:
    """A member that leads one duty, in a region of its own, and a bystander that owns the refs."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.region = f"duties-{uuid.uuid4().hex[:8]}"
        self.name = f"sweep/{self.region}/{SERVICE}"
        engine.ensure_duties(duties.EnsureDutiesRequest((
            duties.DutySpec(self.name, duties.SWEEP, self.region, SERVICE),)))
        self.actor = Actor(engine)
        self.run_id = ""
        self.take()

    @property
    def number(self) -> PartitionId:
        return partition_of_id(self.name, self.actor.info.partitions)

    def take(self) -> None:
        """Own the duty's partition under a new generation."""
        self.actor.beat()
        self.generation = self.actor.claim([self.number]).grants[0].generation

    def begin(self) -> duties.DutyBegun:
        self.run_id = uuid.uuid4().hex
        return self.engine.begin_duty(
            duties.DutyBegin(self.actor.member, self.name, self.generation, self.run_id, (TYPE,)))

    def sweep(self, items: Sequence[duties.SweepItem] = (), **more: Any) -> duties.SweepReply:
        """One batch of the run; ``more``: fields of it that are to be others."""
        batch = duties.SweepBatch(
            self.actor.member, self.name, self.generation, self.run_id, TYPE, tuple(items), listed_at=LATER)
        return self.engine.sweep(msgspec.structs.replace(batch, **more))

    def end(self, **more: Any) -> duties.DutyEnded:
        """The end of the run; ``more``: fields of it that are to be others."""
        end = duties.DutyEnd(
            self.actor.member, self.name, self.generation, self.run_id, next_in=60.0, interval=60.0)
        return self.engine.end_duty(msgspec.structs.replace(end, **more))

    def record(self) -> duties.DutyRecord:
        return next(record for record in self.engine.duties(Empty()).duties if record.name == self.name)

    def observed(self, snapshot: Snapshot | None = ACTIVE) -> Ref:
        """A new ref that is observed, its owner having reported ``snapshot`` and so cleared its first mark."""
        ref = Ref(self.region, TYPE, str(uuid.uuid4()))
        self.engine.start(obs.StartRequest((obs.StartItem(ref),)))
        if snapshot is not None:
            self.report(ref, snapshot)
        return ref

    def report(self, ref: Ref, snapshot: Snapshot) -> None:
        owner = Actor(self.engine)
        grant = owner.take(ref)
        owner.report(ref, grant.generation, snapshot, mark=self.mark(ref))
        if owner.partition(ref) == self.number:  # it was the duty's partition too
            self.take()

    def mark(self, ref: Ref) -> int | None:
        return self.engine.read_resource(obs.ResourceRequest(ref)).mark

    def marked(self, *refs: Ref) -> list[bool]:
        return [self.mark(ref) is not None for ref in refs]


def _item(ref: Ref, status: str = "ACTIVE", updated: str | None = ACTIVE.updated_at, *, gone: bool = False,
          listed_at: float = LATER) -> duties.SweepItem:
    return duties.SweepItem(ref.resource_id, status, updated, gone, listed_at)


@CHECKS
def a_duty_is_led_by_the_owner_of_its_partition(engine: Engine) -> None:
    leader = _Leader(engine)
    record = leader.record()
    expect("partition, leader, generation", (leader.number, leader.actor.member, leader.generation),
           (record.partition, record.leader, record.generation))
    leader.actor.release(leader.number, leader.generation)
    expect("the leader after a release", None, leader.record().leader)


@CHECKS
def a_duty_that_is_there_stays_as_it_is(engine: Engine) -> None:
    leader = _Leader(engine)
    leader.begin()
    leader.end(result={"pages": 3})
    before = leader.record()
    engine.ensure_duties(duties.EnsureDutiesRequest((
        duties.DutySpec(leader.name, duties.SWEEP, leader.region, SERVICE),)))
    expect("the duty", before, leader.record())


@CHECKS
def a_run_is_told_the_cursor_and_what_is_observed(engine: Engine) -> None:
    leader = _Leader(engine)
    leader.observed()
    begun = leader.begin()
    expect("begun", (Verdict.ACCEPTED, "", {TYPE: 1}), (begun.verdict, begun.cursor, begun.observed))
    leader.sweep(cursor="one")
    leader.end(result={"pages": 1})
    record = leader.record()
    expect("running, result", (None, {"pages": 1}), (record.running_since, record.result))
    expect("last run", begun.began_at, record.last_run_at)
    expect("the next run", 60.0, (record.next_run_at or 0.0) - (record.last_ended_at or 0.0))
    expect("the cursor", "one", leader.begin().cursor)


@CHECKS
def a_run_that_never_ended_is_gone_on_with(engine: Engine) -> None:
    leader = _Leader(engine)
    first = leader.begin()
    old_run, old_generation = leader.run_id, leader.generation
    leader.take()
    second = leader.begin()
    expect("when it began", first.began_at, second.began_at)
    late = leader.sweep(run_id=old_run, generation=old_generation, cursor="stale")
    expect("a batch under the old generation", Verdict.STALE_GENERATION, late.verdict)
    late = leader.sweep(run_id=old_run, cursor="stale")
    expect("a batch of the old run", Verdict.SUPERSEDED, late.verdict)
    expect("the end of the old run", Verdict.SUPERSEDED, leader.end(run_id=old_run).verdict)
    expect("the cursor", "", leader.begin().cursor)


@CHECKS
def who_does_not_hold_the_partition_has_no_effect(engine: Engine) -> None:
    leader = _Leader(engine)
    ref = leader.observed()
    leader.begin()
    leader.generation = Generation(leader.generation - 1)
    expect("begin", Verdict.STALE_GENERATION, leader.engine.begin_duty(
        duties.DutyBegin(leader.actor.member, leader.name, leader.generation, "another", ())).verdict)
    reply = leader.sweep([_item(ref, "ERROR")], cursor="stale")
    expect("sweep", (Verdict.STALE_GENERATION, 0), (reply.verdict, reply.marked))
    expect("end", Verdict.STALE_GENERATION, leader.end().verdict)
    expect("marks", [False], leader.marked(ref))
    leader.take()
    expect("the cursor", "", leader.begin().cursor)


@CHECKS
def what_differs_from_the_copies_is_marked_and_followed(engine: Engine) -> None:
    leader = _Leader(engine)
    same, status, updated, gone, unseen = (leader.observed() for _ in range(5))
    dead, early = leader.observed(GONE), leader.observed(None)
    leader.begin()
    reply = leader.sweep([
        _item(same), _item(status, "ERROR"), _item(updated, updated="2026-01-02T00:00:00Z"),
        _item(gone, "DELETED", gone=True), _item(dead, "DELETED", gone=True), _item(early, "ERROR"),
        _item(Ref(leader.region, TYPE, "nobody-observes-it"), "ERROR"),
    ])
    expect("compared, changed, marked", (6, 3, 3), (reply.compared, reply.changed, reply.marked))
    expect("marks", [False, True, True, True, False, False],
           leader.marked(same, status, updated, gone, dead, unseen))
    owner = Actor(engine)
    grant = owner.take(status)
    listed, _ = owner.list((grant.partition, grant.generation))
    expect("why it is marked", duties.SWEPT, listed[status].mark_reason)


@CHECKS
def a_batch_sent_again_marks_nothing_again(engine: Engine) -> None:
    leader = _Leader(engine)
    ref = leader.observed()
    leader.begin()
    expect("marked", 1, leader.sweep([_item(ref, "ERROR")]).marked)
    number = leader.mark(ref)
    again = leader.sweep([_item(ref, "ERROR")])
    expect("changed, marked", (1, 0), (again.changed, again.marked))
    expect("the mark", number, leader.mark(ref))


@CHECKS
def what_was_reported_after_the_listing_is_not_older_than_it(engine: Engine) -> None:
    leader = _Leader(engine)
    ref, absent = leader.observed(), leader.observed()
    leader.begin()
    reply = leader.sweep([_item(ref, "ERROR", listed_at=1.0)], whole=True, listed_at=1.0)
    expect("changed, absent", (0, 0), (reply.changed, reply.absent))
    expect("marks", [False, False], leader.marked(ref, absent))


@CHECKS
def absence_is_a_hint_only_where_the_list_is_whole(engine: Engine) -> None:
    leader = _Leader(engine)
    refs = sorted(leader.observed() for _ in range(4))
    dead = leader.observed(GONE)
    leader.begin()
    expect("absent from a part", 0, leader.sweep([_item(refs[1])]).absent)
    reply = leader.sweep([_item(refs[1])], whole=True, after=refs[0].resource_id, upto=refs[2].resource_id)
    expect("absent from a range", (1, 1), (reply.absent, reply.marked))
    expect("marks", [False, False, True, False, False], leader.marked(*refs, dead))
    reply = leader.sweep([_item(refs[1])], whole=True)
    expect("absent from all of it", (3, 2), (reply.absent, reply.marked))
    expect("marks", [True, False, True, True, False], leader.marked(*refs, dead))


@CHECKS
def a_run_that_was_asked_for_answers_the_request(engine: Engine) -> None:
    leader = _Leader(engine)
    expect("another region's", (), engine.request_duty(duties.DutyRequest("nowhere", "gap")).names)
    asked = engine.request_duty(duties.DutyRequest(leader.region, "gap", SERVICE)).names
    expect("asked", (leader.name,), asked)
    expect("why", "gap", leader.record().request_reason)
    expect("requested", True, leader.begin().requested)
    leader.end(error="the service did not answer")
    record = leader.record()
    expect("after a run that failed", ("gap", "the service did not answer"),
           (record.request_reason, record.last_error))
    leader.begin()
    leader.end()
    expect("after one that did not", None, leader.record().request_reason)


@CHECKS
def recall_is_what_the_live_members_say(engine: Engine) -> None:
    leader = _Leader(engine)
    for seen, missed in ((7, 1), (0, 2)):
        actor = Actor(engine)
        actor.beat(recall=(duties.RecallCount(leader.region, SERVICE, TYPE, seen, missed),))
    dead = Actor(engine)
    dead.beat(recall=(duties.RecallCount(leader.region, SERVICE, TYPE, 5, 5),), state=own.MemberState.LEFT)
    record = leader.record()
    expect("seen, missed", (7, 3), (record.seen, record.missed))
