"""What an engine must guarantee, as code: run it against any engine through any carrier.

``CHECKS`` are plain functions of an :class:`~obsvc.engine_client.contract.Engine`; each raises NonConformant, an
AssertionError, with what was expected and what came.  They use names and refs of their own, so they may run one
after the other against one engine that is otherwise idle; they write to it and leave their observations behind.

With pytest::

    @pytest.mark.parametrize("check", conformance.CHECKS, ids=lambda check: check.__name__)
    def test_conformance(check, engine):
        check(engine)

Duties have checks of their own: ``obsvc.engine_client.conformance_duties.CHECKS``.
"""
from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from obsvc.engine_client import observations as obs
from obsvc.engine_client import ownership as own
from obsvc.engine_client import reports, trails
from obsvc.engine_client.contract import CONTRACT_VERSION, CONTRACT_VERSION_MIN, Empty, Engine
from obsvc.engine_client.ownership import ClaimReason
from obsvc.exceptions import InvalidInput, NotFound, ObsvcError
from obsvc.model import Cause, Condition, Generation, MemberId, PartitionId, Ref, Snapshot, partition

CHECKS: list[Callable[[Engine], None]] = []


class NonConformant(AssertionError):
    """An engine did not do what the contract says."""


def expect(what: str, expected: Any, came: Any) -> None:
    if expected != came:
        raise NonConformant(f"{what}: expected {expected!r}, got {came!r}")


def _check(function: Callable[[Engine], None]) -> Callable[[Engine], None]:
    CHECKS.append(function)
    return function


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
        one = reports.Report(ref, self.partition(ref), generation, sequence, snapshot, Cause.NOTIFIED, mark)
        [outcome] = self.engine.report(reports.ReportRequest(self.member, (one,))).outcomes
        return outcome

    def list(self, *held: tuple[PartitionId, Generation], limit: int = 1000) -> tuple[dict[Ref, Any], dict[int, int]]:
        """All pages of ``observed``: refs, and the version of each complete partition."""
        refs: dict[Ref, Any] = {}
        complete: dict[int, int] = {}
        after = None
        while True:
            page = self.engine.observed(own.ObservedRequest(self.member, held, after=after, limit=limit))
            refs.update({one.ref: one for one in page.refs})
            complete.update(dict(page.complete))
            after = page.next
            if after is None:
                return refs, complete

    def follow(self, number: PartitionId, generation: Generation, version: int, wait: float = 0.0) -> own.FollowReply:
        return self.engine.follow(own.FollowRequest(self.member, ((number, generation, version),), wait=wait))


def _new_ref() -> Ref:
    return Ref("conformance", "compute.server", str(uuid.uuid4()))


def _ref_in(number: PartitionId, partitions: int) -> Ref:
    while True:
        ref = _new_ref()
        if partition(ref, partitions) == number:
            return ref


def _start(engine: Engine, ref: Ref, goal: Condition | None = None) -> obs.Observation:
    [observation] = engine.start(obs.StartRequest((obs.StartItem(ref, goal=goal),))).observations
    return observation


def _snapshot(status: str = "ACTIVE", condition: Condition = Condition.ACTIVE) -> Snapshot:
    return Snapshot(exists=True, condition=condition, status=status, project_id="conformance", fetched_at=1.0)


BUILD = _snapshot("BUILD", Condition.PENDING)
ACTIVE = _snapshot()


@_check
def info_says_a_contract_and_a_partition_count(engine: Engine) -> None:
    info = engine.info(Empty())
    expect("versions overlap", True,
           info.contract_version_min <= CONTRACT_VERSION and info.contract_version >= CONTRACT_VERSION_MIN)
    expect("partitions are positive", True, info.partitions > 0)
    expect("the database keeps its name", info.database_id, engine.info(Empty()).database_id)


@_check
def the_same_claim_gets_the_same_grant_and_another_incarnation_raises_the_generation(engine: Engine) -> None:
    number = PartitionId(0)
    first = Actor(engine)
    first.beat()
    [grant] = first.claim([number], claim_id="once").grants
    [again] = first.claim([number], claim_id="once").grants
    expect("generation of the repeated claim", grant.generation, again.generation)
    restarted = Actor(engine, first.member.name)
    restarted.beat()
    [newer] = restarted.claim([number], claim_id="once").grants
    expect("generation for another incarnation", grant.generation + 1, newer.generation)
    expect("who had it before", first.member, newer.previous)
    expect("the first one's grants", (), first.beat().granted)
    expect("the second one's grants", ((number, newer.generation),), restarted.beat().granted)


@_check
def every_claimed_partition_is_answered_once_in_order(engine: Engine) -> None:
    actor = Actor(engine)
    actor.beat()
    numbers = [PartitionId(number) for number in range(min(5, actor.info.partitions))]
    reply = actor.claim(numbers)
    expect("partitions granted", numbers, [grant.partition for grant in reply.grants])
    expect("grants by the beat", [(one.partition, one.generation) for one in reply.grants], list(actor.beat().granted))


@_check
def a_planned_claim_asks_the_live_owner_and_is_granted_after_its_release(engine: Engine) -> None:
    number = PartitionId(0)
    owner, claimant = Actor(engine), Actor(engine)
    owner.beat(caught_up=True)
    [held] = owner.claim([number]).grants
    claimant.beat()
    reply = claimant.claim([number], ClaimReason.PLANNED)
    expect("grants while the owner lives", (), reply.grants)
    expect("who is asked", [owner.member], [asked.owner for asked in reply.asked])
    expect("the owner is told", (number,), owner.follow(number, held.generation, 2**31, wait=5.0).asked)
    expect("released", (number,), owner.release(number, held.generation).released)
    [grant] = claimant.claim([number], ClaimReason.PLANNED).grants
    expect("generation", held.generation + 1, grant.generation)
    expect("let go by itself", (True, owner.member), (grant.released, grant.previous))


@_check
def a_drained_name_is_told_so_with_each_beat_until_it_is_undrained(engine: Engine) -> None:
    actor = Actor(engine)
    expect("before", False, actor.beat().drained)
    since = engine.drain_member(own.DrainRequest(actor.member.name, True)).drained_at
    expect("drained again, since", since, engine.drain_member(own.DrainRequest(actor.member.name, True)).drained_at)
    expect("drained", True, actor.beat().drained)
    expect("a later start of the name", True, Actor(engine, actor.member.name).beat().drained)
    [record] = [one for one in engine.members(Empty()).members if one.beat.member == actor.member]
    expect("drained since, as listed", since, record.drained_at)
    engine.drain_member(own.DrainRequest(actor.member.name, False))
    expect("undrained", False, actor.beat().drained)
    nobody = own.DrainRequest("nobody-of-that-name", True)
    _expect_error("a name that nobody has", NotFound, lambda: engine.drain_member(nobody))


@_check
def a_vanished_owners_partition_is_granted_at_once_with_what_it_said_last(engine: Engine) -> None:
    ref = _new_ref()
    gone, heir = Actor(engine), Actor(engine)
    held = gone.take(ref)
    gone.beat(caught_up=True, held=1)
    grant = heir.take(ref)
    expect("generation", held.generation + 1, grant.generation)
    expect("previous, released, caught up", (gone.member, False, True),
           (grant.previous, grant.released, grant.previous_caught_up))
    expect("the old owner follows", (held.partition,), gone.follow(held.partition, held.generation, 0).lost)
    expect("the old owner releases", (held.partition,), gone.release(held.partition, held.generation).not_held)
    expect("and takes nothing away", ((grant.partition, grant.generation),), heir.beat().granted)


@_check
def a_release_is_compare_and_swap_and_may_be_repeated(engine: Engine) -> None:
    ref = _new_ref()
    actor = Actor(engine)
    grant = actor.take(ref)
    expect("an older generation", (grant.partition,), actor.release(grant.partition, grant.generation - 1).not_held)
    expect("still granted", ((grant.partition, grant.generation),), actor.beat().granted)
    for _ in range(2):
        expect("released", (grant.partition,), actor.release(grant.partition, grant.generation).released)
    expect("granted afterwards", (), actor.beat().granted)


@_check
def a_report_under_an_old_generation_writes_nothing(engine: Engine) -> None:
    ref = _new_ref()
    _start(engine, ref)
    stale, owner = Actor(engine), Actor(engine)
    old = stale.take(ref)
    new = owner.take(ref)
    expect("the old one's verdict", reports.Verdict.STALE_GENERATION, stale.report(ref, old.generation, BUILD).verdict)
    expect("another member under the right generation", reports.Verdict.STALE_GENERATION,
           stale.report(ref, new.generation, BUILD).verdict)
    expect("what is known", None, engine.read_resource(obs.ResourceRequest(ref)).snapshot)
    expect("the owner's verdict", reports.Verdict.ACCEPTED, owner.report(ref, new.generation, ACTIVE).verdict)
    expect("the old one again", reports.Verdict.STALE_GENERATION,
           stale.report(ref, old.generation, BUILD, sequence=99).verdict)
    known = engine.read_resource(obs.ResourceRequest(ref))
    expect("what is known", ("ACTIVE", new.generation), (known.snapshot.status, known.generation))


@_check
def a_batch_is_judged_item_by_item_in_order(engine: Engine) -> None:
    held, not_held = _new_ref(), _new_ref()
    actor = Actor(engine)
    while actor.partition(not_held) == actor.partition(held):
        not_held = _new_ref()
    for ref in (held, not_held):
        _start(engine, ref)
    grant = actor.take(held)
    batch = tuple(
        reports.Report(ref, actor.partition(ref), grant.generation, 1, ACTIVE, Cause.NOTIFIED)
        for ref in (not_held, held)
    )
    other = Actor(engine)
    other.take(not_held)
    outcomes = engine.report(reports.ReportRequest(actor.member, batch)).outcomes
    expect("verdicts", [reports.Verdict.STALE_GENERATION, reports.Verdict.ACCEPTED], [one.verdict for one in outcomes])


@_check
def reports_are_ordered_by_their_sequence_and_an_equal_one_is_the_same_again(engine: Engine) -> None:
    ref = _new_ref()
    _start(engine, ref)
    actor = Actor(engine)
    grant = actor.take(ref)
    first = actor.report(ref, grant.generation, BUILD, sequence=5)
    expect("the first verdict", reports.Verdict.ACCEPTED, first.verdict)
    again = actor.report(ref, grant.generation, BUILD, sequence=5)
    expect("the same report again", (reports.Verdict.ACCEPTED, first.version), (again.verdict, again.version))
    expect("a report of an earlier look", reports.Verdict.SUPERSEDED,
           actor.report(ref, grant.generation, ACTIVE, sequence=4).verdict)
    expect("the same state later", reports.Verdict.UNCHANGED,
           actor.report(ref, grant.generation, BUILD, sequence=6).verdict)
    known = engine.read_resource(obs.ResourceRequest(ref))
    expect("what is known", ("BUILD", first.version), (known.snapshot.status, known.version))
    heir = Actor(engine)
    newer = heir.take(ref)
    expect("a low sequence of a higher generation", reports.Verdict.ACCEPTED,
           heir.report(ref, newer.generation, ACTIVE, sequence=1).verdict)


@_check
def what_nobody_observes_is_not_written(engine: Engine) -> None:
    ref = _new_ref()
    actor = Actor(engine)
    grant = actor.take(ref)
    expect("never observed", reports.Verdict.NOT_OBSERVED, actor.report(ref, grant.generation, ACTIVE).verdict)
    observation = _start(engine, ref)
    engine.stop(obs.StopRequest((observation.observation_id,)))
    expect("no longer observed", reports.Verdict.NOT_OBSERVED, actor.report(ref, grant.generation, ACTIVE).verdict)


@_check
def a_report_of_a_wrong_partition_is_refused(engine: Engine) -> None:
    ref = _new_ref()
    actor = Actor(engine)
    grant = actor.take(ref)
    wrong = PartitionId((grant.partition + 1) % actor.info.partitions)
    one = reports.Report(ref, wrong, grant.generation, 1, ACTIVE, Cause.NOTIFIED)
    _expect_error("a wrong partition", InvalidInput,
                  lambda: engine.report(reports.ReportRequest(actor.member, (one,))))
    request = own.ClaimRequest(actor.member, "x", (own.PartitionClaim(PartitionId(10**9), ClaimReason.VACANT),))
    _expect_error("a partition that is not there", InvalidInput, lambda: engine.claim(request))


@_check
def a_mark_stays_until_a_report_that_had_read_it(engine: Engine) -> None:
    ref = _new_ref()
    _start(engine, ref)
    actor = Actor(engine)
    grant = actor.take(ref)
    [first] = engine.mark(reports.MarkRequest((ref,), "conformance")).marks
    [second] = engine.mark(reports.MarkRequest((ref,), "conformance")).marks
    expect("marks rise", True, first is not None and second is not None and first < second)
    expect("nothing is stored for what nobody observes", (None,),
           engine.mark(reports.MarkRequest((_new_ref(),), "conformance")).marks)
    held = (grant.partition, grant.generation)
    for mark, left in ((None, second), (first, second), (second, None)):
        actor.report(ref, grant.generation, BUILD, mark=mark)
        expect(f"what is left after a report that read {mark}", left, actor.list(held)[0][ref].mark)


@_check
def marks_come_with_the_list_of_the_next_owner(engine: Engine) -> None:
    ref = _new_ref()
    _start(engine, ref)
    Actor(engine).take(ref)
    [mark] = engine.mark(reports.MarkRequest((ref,), "conformance")).marks
    heir = Actor(engine)
    grant = heir.take(ref)
    expect("the mark", mark, heir.list((grant.partition, grant.generation))[0][ref].mark)


@_check
def pages_of_a_list_hold_every_ref_once_and_end_with_the_grants_version(engine: Engine) -> None:
    actor = Actor(engine)
    first = _new_ref()
    refs = {first, *(_ref_in(actor.partition(first), actor.info.partitions) for _ in range(2))}
    for ref in refs:
        _start(engine, ref)
    grant = actor.take(first)
    held = (grant.partition, grant.generation)
    whole, complete = actor.list(held)
    expect("the refs are in the list", set(), refs - set(whole))
    expect("the version", {grant.partition: grant.observation_version}, complete)
    paged, complete = actor.list(held, limit=1)
    expect("in pages of one", (list(whole), {grant.partition: grant.observation_version}), (list(paged), complete))
    expect("ascending", sorted(whole), list(whole))


@_check
def a_follower_sees_starts_marks_stops_and_losses(engine: Engine) -> None:
    ref = _new_ref()
    actor = Actor(engine)
    grant = actor.take(ref)
    version = grant.observation_version

    def step(what: str) -> own.PartitionChanges:
        nonlocal version
        reply = actor.follow(grant.partition, grant.generation, version, wait=5.0)
        expect(f"partitions that changed by a {what}", [grant.partition], [one.partition for one in reply.changes])
        [changes] = reply.changes
        expect(f"the version rose by a {what}", True, changes.version > version)
        version = changes.version
        return changes

    observation = _start(engine, ref, Condition.ACTIVE)
    [changed] = step("start").changed
    expect("what was started", (ref, (Condition.ACTIVE,)), (changed.ref, changed.wanted))
    [mark] = engine.mark(reports.MarkRequest((ref,), "conformance")).marks
    [changed] = step("mark").changed
    expect("the mark", mark, changed.mark)
    engine.stop(obs.StopRequest((observation.observation_id,)))
    expect("what was stopped", (ref,), step("stop").stopped)
    expect("nothing more", own.FollowReply(), actor.follow(grant.partition, grant.generation, version))
    Actor(engine).take(ref)
    expect("the loss", (grant.partition,), actor.follow(grant.partition, grant.generation, version, wait=5.0).lost)


@_check
def a_trail_is_told_by_the_owner_that_is_asked_and_by_nobody_else(engine: Engine) -> None:
    ref = _new_ref()
    _start(engine, ref)
    actor = Actor(engine)
    grant = actor.take(ref)
    expect("nobody tells it", trails.TrailReply(), engine.trail(trails.TrailRequest(ref, wait=0.0)))
    reply = actor.follow(grant.partition, grant.generation, grant.observation_version, wait=5.0)
    expect("the owner is asked", (ref,), reply.explain)
    trail = trails.Trail(1.0, "why", events=(trails.TrailEvent(1.0, "look", "now"),))
    told = []
    asker = threading.Thread(target=lambda: told.append(engine.trail(trails.TrailRequest(ref, wait=5.0))))
    asker.start()
    while asker.is_alive():
        for generation, one in ((grant.generation - 1, msgspec.structs.replace(trail, why="old")),
                                (grant.generation, trail)):
            engine.tell_trails(trails.TellTrailsRequest(actor.member, (trails.ToldTrail(ref, generation, one),)))
        asker.join(0.05)
    expect("the trail", [trails.TrailReply(trail, actor.member)], told)
    _expect_error("of what nobody observes", NotFound, lambda: engine.trail(trails.TrailRequest(_new_ref(), wait=0.0)))


@_check
def starting_the_same_again_is_the_same_observation(engine: Engine) -> None:
    ref = _new_ref()
    first, again = _start(engine, ref, Condition.ACTIVE), _start(engine, ref, Condition.ACTIVE)
    expect("the observation", first.observation_id, again.observation_id)
    expect("another goal is another one", True, _start(engine, ref).observation_id != first.observation_id)
    expect("stopped", (first.observation_id,), engine.stop(obs.StopRequest((first.observation_id,))).stopped)
    expect("stopped again", (first.observation_id,), engine.stop(obs.StopRequest((first.observation_id,))).missing)


@_check
def observations_are_found_by_label_condition_and_owner(engine: Engine) -> None:
    one, other, actor = _new_ref(), _new_ref(), Actor(engine)
    value = f"100%_\\'\"{uuid.uuid4()}"
    engine.start(obs.StartRequest((
        obs.StartItem(one, labels={"of": value}),
        obs.StartItem(other, labels={"other": f'"of":"{value}"', "OF": value}),
    )))
    actor.report(one, actor.take(one).generation, ACTIVE)

    def found(**filters: Any) -> list[Ref]:
        return [each.ref for each in engine.list_observations(obs.ObservationsRequest(**filters)).observations]

    expect("with the label", [one], found(label=("of", value)))
    expect("with another value", [], found(label=("of", value[:-1])))
    expect("condition", ([one], []), tuple(
        found(resource_id=one.resource_id, condition=each) for each in (Condition.ACTIVE, Condition.ERROR)))
    expect("owner", ([one], []), tuple(
        found(resource_id=one.resource_id, member=each) for each in (actor.member.name, "another")))


@_check
def a_goal_is_met_by_the_report_that_shows_it(engine: Engine) -> None:
    ref = _new_ref()
    observation = _start(engine, ref, Condition.ACTIVE)
    actor = Actor(engine)
    grant = actor.take(ref)
    mark = actor.list((grant.partition, grant.generation))[0][ref].mark  # a look from before the start meets no goal
    expect("still wanted", (Condition.ACTIVE,), actor.report(ref, grant.generation, BUILD, mark=mark).wanted)
    expect("wanted no more", (), actor.report(ref, grant.generation, ACTIVE, mark=mark).wanted)
    request = obs.ObservationsRequest(observation_id=observation.observation_id)
    [found] = engine.list_observations(request).observations
    expect("the status", obs.ObservationStatus.MET, found.status)


@_check
def the_feed_has_every_delta_once_in_order_without_a_gap(engine: Engine) -> None:
    ref = _new_ref()
    _start(engine, ref)
    actor = Actor(engine)
    grant = actor.take(ref)
    since = _end_of_feed(engine)
    versions = [actor.report(ref, grant.generation, one).version for one in (BUILD, ACTIVE, BUILD)]
    expect("versions", [since + 1, since + 2, since + 3], versions)
    page = engine.changes(obs.ChangesRequest(since=since, wait=5.0))
    expect("the feed", versions, [delta.version for delta in page.deltas])
    expect("the feed's end", versions[-1], page.next)
    expect("conditions", [Condition.PENDING, Condition.ACTIVE, Condition.PENDING],
           [delta.condition for delta in page.deltas])
    one = engine.changes(obs.ChangesRequest(since=since, limit=1))
    expect("a page of one", (versions[:1], versions[0]), ([delta.version for delta in one.deltas], one.next))
    other = engine.changes(obs.ChangesRequest(since=since, resource_id="another"))
    expect("a filter moves on", ((), versions[-1]), (other.deltas, other.next))
    newest = engine.changes(obs.ChangesRequest(since=None))
    expect("from now on", ((), versions[-1]), (newest.deltas, newest.next))


@_check
def changes_and_resources_are_found_by_label(engine: Engine) -> None:
    one, other, actor = _new_ref(), _new_ref(), Actor(engine)
    value = f"100%_'\"{uuid.uuid4()}"
    since = _end_of_feed(engine)
    mine = engine.start(obs.StartRequest((
        obs.StartItem(one, labels={"of": value}, project_id="ours"),
        obs.StartItem(other, labels={"of": f"{value}.", "OF": value, 'not"of': value}, project_id="ours"),
    ))).observations[0]
    versions = [actor.report(ref, actor.take(ref).generation, snapshot).version
                for ref, snapshot in ((other, ACTIVE), (other, BUILD), (other, ACTIVE), (one, ACTIVE), (other, BUILD))]

    def found(**filters: Any) -> tuple[list[int], list[Ref]]:
        page = engine.changes(obs.ChangesRequest(since=since, **filters))
        expect("it moves on", True, versions[3] <= page.next <= versions[4])
        filters.pop("limit", 0)
        listed = engine.list_resources(obs.ResourcesRequest(since=since, **filters)).resources
        return [each.version for each in page.deltas], [each.ref for each in listed]

    expect("with the label", ([versions[3]], [one]), found(label=("of", value)))
    expect("behind pages without it", ([versions[3]], [one]), found(label=("of", value), limit=1))
    expect("of this project", ([versions[3]], [one]), found(label=("of", value), labelled_by="ours"))
    expect("of another project", ([], []), found(label=("of", value), labelled_by="theirs"))
    expect("with a part of the value", ([], []), found(label=("of", value[:-1])))
    engine.stop(obs.StopRequest((mine.observation_id,)))
    expect("observed no more", ([], []), found(label=("of", value)))


@_check
def resources_are_listed_once_over_pages_with_the_version_to_follow_from(engine: Engine) -> None:
    refs = sorted(_new_ref() for _ in range(5))
    actor = Actor(engine)
    for ref in refs:
        _start(engine, ref)
    since = _end_of_feed(engine)
    for ref in refs[:4]:
        actor.report(ref, actor.take(ref).generation, ACTIVE)
    found, marker, pages = [], None, 0
    while pages == 0 or marker is not None:
        page = engine.list_resources(obs.ResourcesRequest(region="conformance", since=since, marker=marker, limit=3))
        found += [one.ref for one in page.resources]
        marker, pages = page.marker, pages + 1
    expect("changed since", refs[:4], sorted(found))
    expect("the feed's version", _end_of_feed(engine), page.version)
    for name, value, count in (("project_id", "conformance", 1), ("project_id", "other", 0),
                               ("condition", Condition.ACTIVE, 1), ("condition", Condition.ERROR, 0),
                               ("stack_id", "other", 0), ("resource_type", "network.port", 0)):
        request = obs.ResourcesRequest(resource_id=refs[0].resource_id, **{name: value})
        expect(f"{name} {value}", count, len(engine.list_resources(request).resources))
    [unseen] = engine.list_resources(obs.ResourcesRequest(resource_id=refs[4].resource_id)).resources
    expect("not looked at yet", (refs[4], None, 0), (unseen.ref, unseen.snapshot, unseen.version))


@_check
def what_is_not_there_is_not_found(engine: Engine) -> None:
    ref = _new_ref()
    _start(engine, ref)
    found = engine.read_resources(obs.ReadRequest((ref, _new_ref(), ref))).resources
    expect("those of them that are observed", [(ref, 1)], [(each.ref, each.observations) for each in found])
    _expect_error("an unknown ref", NotFound, lambda: engine.read_resource(obs.ResourceRequest(_new_ref())))


@_check
def grants_and_beats_can_be_read_by_everyone(engine: Engine) -> None:
    ref = _new_ref()
    actor = Actor(engine)
    grant = actor.take(ref)
    [record] = engine.partitions(obs.PartitionsRequest((grant.partition,))).partitions
    expect("owner, generation", (actor.member, grant.generation), (record.owner, record.generation))
    found = {one.beat.member: one for one in engine.members(Empty()).members}
    expect("alive, granted", (True, 1), (found[actor.member].alive, found[actor.member].granted))
    actor.beat(state=own.MemberState.LEFT)
    found = {one.beat.member: one for one in engine.members(Empty()).members}
    expect("alive after its goodbye", False, found[actor.member].alive)


def _end_of_feed(engine: Engine) -> int:
    since = 0
    while True:
        page = engine.changes(obs.ChangesRequest(since=since, limit=1000))
        if page.next == since:
            return since
        since = page.next


def _expect_error(what: str, cls: type[ObsvcError], do: Callable[[], Any]) -> None:
    try:
        came: Any = do()
    except ObsvcError as error:
        expect(what, cls, type(error))
        return
    raise NonConformant(f"{what}: expected {cls.__name__}, got {msgspec.json.encode(came)!r}")
