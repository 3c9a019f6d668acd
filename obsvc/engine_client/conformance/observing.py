"""What an engine guarantees of observations, resources and the changes feed."""
from __future__ import annotations

import uuid
from typing import Any

import msgspec

from obsvc.engine_client import observations as obs
from obsvc.engine_client.conformance.kit import ACTIVE, BUILD, Actor, Checks, expect, expect_error, new_ref, start
from obsvc.engine_client.contract import Engine
from obsvc.exceptions import NotFound
from obsvc.model import Condition, Ref

CHECKS = Checks()


def end_of_feed(engine: Engine) -> int:
    since = 0
    while True:
        page = engine.changes(obs.ChangesRequest(since=since, limit=1000))
        if page.next == since:
            return since
        since = page.next


@CHECKS
def starting_the_same_again_is_the_same_observation(engine: Engine) -> None:
    ref = new_ref()
    first, again = start(engine, ref, Condition.ACTIVE), start(engine, ref, Condition.ACTIVE)
    expect("the observation", first.observation_id, again.observation_id)
    expect("another goal is another one", True, start(engine, ref).observation_id != first.observation_id)
    expect("stopped", (first.observation_id,), engine.stop(obs.StopRequest((first.observation_id,))).stopped)
    expect("stopped again", (first.observation_id,), engine.stop(obs.StopRequest((first.observation_id,))).missing)


@CHECKS
def observations_are_found_by_label_condition_and_owner(engine: Engine) -> None:
    one, other, actor = new_ref(), new_ref(), Actor(engine)
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


@CHECKS
def a_goal_is_met_by_the_report_that_shows_it(engine: Engine) -> None:
    ref = new_ref()
    observation = start(engine, ref, Condition.ACTIVE)
    actor = Actor(engine)
    grant = actor.take(ref)
    mark = actor.list((grant.partition, grant.generation))[0][ref].mark  # a look from before the start meets no goal
    expect("still wanted", (Condition.ACTIVE,), actor.report(ref, grant.generation, BUILD, mark=mark).wanted)
    expect("wanted no more", (), actor.report(ref, grant.generation, ACTIVE, mark=mark).wanted)
    request = obs.ObservationsRequest(observation_id=observation.observation_id)
    [found] = engine.list_observations(request).observations
    expect("the status", obs.ObservationStatus.MET, found.status)


@CHECKS
def the_feed_has_every_delta_once_in_order_without_a_gap(engine: Engine) -> None:
    ref = new_ref()
    start(engine, ref)
    actor = Actor(engine)
    grant = actor.take(ref)
    since = end_of_feed(engine)
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


@CHECKS
def changes_and_resources_are_found_by_label(engine: Engine) -> None:
    one, other, actor = new_ref(), new_ref(), Actor(engine)
    value = f"100%_'\"{uuid.uuid4()}"
    since = end_of_feed(engine)
    mine = engine.start(obs.StartRequest((
        obs.StartItem(one, labels={"of": value}, project_id="ours"),
        obs.StartItem(other, labels={"of": f"{value}.", "OF": value, 'not"of': value}, project_id="ours"),
    ))).observations[0]
    versions = [actor.report(ref, actor.take(ref).generation, snapshot).version
                for ref, snapshot in ((other, ACTIVE), (other, BUILD), (other, ACTIVE), (one, ACTIVE), (other, BUILD))]

    def found(**filters: Any) -> tuple[list[int], list[Ref]]:
        page = engine.changes(obs.ChangesRequest(since=since, **filters))
        expect("it moves on", True, (versions[3] or 0) <= page.next <= (versions[4] or 0))
        filters.pop("limit", 0)
        listed = engine.list_resources(obs.ResourcesRequest(since=since, **filters)).resources
        return [delta.version for delta in page.deltas], [resource.ref for resource in listed]

    expect("with the label", ([versions[3]], [one]), found(label=("of", value)))
    expect("behind pages without it", ([versions[3]], [one]), found(label=("of", value), limit=1))
    expect("of this project", ([versions[3]], [one]), found(label=("of", value), labelled_by="ours"))
    expect("of another project", ([], []), found(label=("of", value), labelled_by="theirs"))
    expect("with a part of the value", ([], []), found(label=("of", value[:-1])))
    engine.stop(obs.StopRequest((mine.observation_id,)))
    expect("observed no more", ([], []), found(label=("of", value)))


@CHECKS
def resources_are_listed_once_over_pages_with_the_version_to_follow_from(engine: Engine) -> None:
    refs = sorted(new_ref() for _ in range(5))
    actor = Actor(engine)
    for ref in refs:
        start(engine, ref)
    since = end_of_feed(engine)
    for ref in refs[:4]:
        actor.report(ref, actor.take(ref).generation, ACTIVE)
    listed: list[Ref] = []
    marker, pages = None, 0
    while pages == 0 or marker is not None:
        page = engine.list_resources(obs.ResourcesRequest(region="conformance", since=since, marker=marker, limit=3))
        listed += [resource.ref for resource in page.resources]
        marker, pages = page.marker, pages + 1
    expect("changed since", refs[:4], sorted(listed))
    expect("the feed's version", end_of_feed(engine), page.version)
    for name, value, count in (("project_id", "conformance", 1), ("project_id", "other", 0),
                               ("condition", Condition.ACTIVE, 1), ("condition", Condition.ERROR, 0),
                               ("stack_id", "other", 0), ("resource_type", "network.port", 0)):
        request = msgspec.structs.replace(obs.ResourcesRequest(resource_id=refs[0].resource_id), **{name: value})
        expect(f"{name} {value}", count, len(engine.list_resources(request).resources))
    [unseen] = engine.list_resources(obs.ResourcesRequest(resource_id=refs[4].resource_id)).resources
    expect("not looked at yet", (refs[4], None, 0), (unseen.ref, unseen.snapshot, unseen.version))


@CHECKS
def what_is_not_there_is_not_found(engine: Engine) -> None:
    ref = new_ref()
    start(engine, ref)
    resources = engine.read_resources(obs.ReadRequest((ref, new_ref(), ref))).resources
    expect("those of them that are observed", [(ref, 1)],
           [(resource.ref, resource.observations) for resource in resources])
    expect_error("an unknown ref", NotFound, lambda: engine.read_resource(obs.ResourceRequest(new_ref())))
