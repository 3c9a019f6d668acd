"""What an engine guarantees of claims, releases, beats, and what an owner reads and follows."""
from __future__ import annotations

import threading

import msgspec

from obsvc.engine_client import observations as obs
from obsvc.engine_client import ownership as own
from obsvc.engine_client import reports, trails
from obsvc.engine_client.conformance.kit import Actor, Checks, expect, expect_error, new_ref, ref_in, start
from obsvc.engine_client.contract import CONTRACT_VERSION, CONTRACT_VERSION_MIN, Empty, Engine
from obsvc.engine_client.ownership import ClaimReason
from obsvc.exceptions import NotFound
from obsvc.model import Condition, Generation, PartitionId

CHECKS = Checks()


@CHECKS
def info_says_a_contract_and_a_partition_count(engine: Engine) -> None:
    info = engine.info(Empty())
    expect("versions overlap", True,
           info.contract_version_min <= CONTRACT_VERSION and info.contract_version >= CONTRACT_VERSION_MIN)
    expect("partitions are positive", True, info.partitions > 0)
    expect("the database keeps its name", info.database_id, engine.info(Empty()).database_id)


@CHECKS
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


@CHECKS
def every_claimed_partition_is_answered_once_in_order(engine: Engine) -> None:
    actor = Actor(engine)
    actor.beat()
    numbers = [PartitionId(number) for number in range(min(5, actor.info.partitions))]
    reply = actor.claim(numbers)
    expect("partitions granted", numbers, [grant.partition for grant in reply.grants])
    expect("grants by the beat", [(one.partition, one.generation) for one in reply.grants], list(actor.beat().granted))


@CHECKS
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


@CHECKS
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
    expect_error("a name that nobody has", NotFound, lambda: engine.drain_member(nobody))


@CHECKS
def a_vanished_owners_partition_is_granted_at_once_with_what_it_said_last(engine: Engine) -> None:
    ref = new_ref()
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


@CHECKS
def a_release_is_compare_and_swap_and_may_be_repeated(engine: Engine) -> None:
    ref = new_ref()
    actor = Actor(engine)
    grant = actor.take(ref)
    older = Generation(grant.generation - 1)
    expect("an older generation", (grant.partition,), actor.release(grant.partition, older).not_held)
    expect("still granted", ((grant.partition, grant.generation),), actor.beat().granted)
    for _ in range(2):
        expect("released", (grant.partition,), actor.release(grant.partition, grant.generation).released)
    expect("granted afterwards", (), actor.beat().granted)


@CHECKS
def marks_come_with_the_list_of_the_next_owner(engine: Engine) -> None:
    ref = new_ref()
    start(engine, ref)
    Actor(engine).take(ref)
    [mark] = engine.mark(reports.MarkRequest((ref,), "conformance")).marks
    heir = Actor(engine)
    grant = heir.take(ref)
    expect("the mark", mark, heir.list((grant.partition, grant.generation))[0][ref].mark)


@CHECKS
def pages_of_a_list_hold_every_ref_once_and_end_with_the_grants_version(engine: Engine) -> None:
    actor = Actor(engine)
    first = new_ref()
    refs = {first, *(ref_in(actor.partition(first), actor.info.partitions) for _ in range(2))}
    for ref in refs:
        start(engine, ref)
    grant = actor.take(first)
    held = (grant.partition, grant.generation)
    whole, complete = actor.list(held)
    expect("the refs are in the list", set(), refs - set(whole))
    expect("the version", {grant.partition: grant.observation_version}, complete)
    paged, complete = actor.list(held, limit=1)
    expect("in pages of one", (list(whole), {grant.partition: grant.observation_version}), (list(paged), complete))
    expect("ascending", sorted(whole), list(whole))


@CHECKS
def a_follower_sees_starts_marks_stops_and_losses(engine: Engine) -> None:
    ref = new_ref()
    actor = Actor(engine)
    grant = actor.take(ref)
    version = grant.observation_version

    def step(what: str) -> own.PartitionChanges:
        nonlocal version
        reply = actor.follow(grant.partition, grant.generation, version, wait=5.0)
        expect(f"partitions that changed by a {what}", [grant.partition],
               [changes.partition for changes in reply.changes])
        [changes] = reply.changes
        expect(f"the version rose by a {what}", True, changes.version > version)
        version = changes.version
        return changes

    observation = start(engine, ref, Condition.ACTIVE)
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


@CHECKS
def a_trail_is_told_by_the_owner_that_is_asked_and_by_nobody_else(engine: Engine) -> None:
    ref = new_ref()
    start(engine, ref)
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
        for generation, answer in ((Generation(grant.generation - 1), msgspec.structs.replace(trail, why="old")),
                                   (grant.generation, trail)):
            engine.tell_trails(trails.TellTrailsRequest(actor.member, (trails.TrailAnswer(ref, generation, answer),)))
        asker.join(0.05)
    expect("the trail", [trails.TrailReply(trail, actor.member)], told)
    expect_error("of what nobody observes", NotFound, lambda: engine.trail(trails.TrailRequest(new_ref(), wait=0.0)))


@CHECKS
def grants_and_beats_can_be_read_by_everyone(engine: Engine) -> None:
    ref = new_ref()
    actor = Actor(engine)
    grant = actor.take(ref)
    [record] = engine.partitions(obs.PartitionsRequest((grant.partition,))).partitions
    expect("owner, generation", (actor.member, grant.generation), (record.owner, record.generation))
    records = {record.beat.member: record for record in engine.members(Empty()).members}
    expect("alive, granted", (True, 1), (records[actor.member].alive, records[actor.member].granted))
    actor.beat(state=own.MemberState.LEFT)
    records = {record.beat.member: record for record in engine.members(Empty()).members}
    expect("alive after its goodbye", False, records[actor.member].alive)
