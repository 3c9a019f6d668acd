"""Selectors in the engine: what is found is observed, what is gone or another's is observed no more."""
from __future__ import annotations

import pytest

from obsvc.engine_client.contract import Empty
from obsvc.engine_client.duties import DutyBegin, DutySpec, EnsureDutiesRequest, SweepBatch, SweepItem
from obsvc.engine_client.observations import (
    ChangesRequest,
    ObservationsRequest,
    ResourcesRequest,
    StartItem,
    StartRequest,
    StopRequest,
)
from obsvc.engine_client.reports import Verdict
from obsvc.engine_client.selectors import DiscoverRequest, SelectorsRequest, SelectorStart, SelectorStop
from obsvc.exceptions import NotFound
from obsvc.model import Condition, Ref, Snapshot, partition_of_id
from tests.support.in_memory_api import MEMBER, InMemoryApi

SERVER = "compute.server"


def ref(name, kind=SERVER):
    return Ref("RegionOne", kind, name)


@pytest.fixture
def api():
    made = InMemoryApi()
    made.own()
    return made


def select(api, project="p1", kind=SERVER, **more):
    return api.engine.start_selector(SelectorStart("RegionOne", kind, project, **more))


def discover(api, *names):
    return api.engine.discover(DiscoverRequest(tuple(map(ref, names)))).started


def listed(api, **more):
    """Names of what is observed for selectors."""
    page = api.engine.list_observations(ObservationsRequest(limit=1000, **more)).observations
    return sorted(each.ref.resource_id for each in page if each.selected)


def seen(api, **more):
    return sorted(each.ref.resource_id for each in api.engine.list_resources(ResourcesRequest(**more)).resources)


def look(api, name, condition=Condition.ACTIVE, *, project="p1", **fields):
    return api.see(ref(name), condition, project_id=project, **fields).verdict


def gone(api, name):
    from obsvc.engine_client.reports import Report, ReportRequest
    from obsvc.model import Cause

    api.sequence += 1
    number = partition_of_id(name, 8)
    snapshot = Snapshot(False, Condition.DELETED, fetched_at=api.clock.time())
    report = Report(ref(name), number, api.grants[number], api.sequence, snapshot, Cause.NOTIFIED)
    return api.engine.report(ReportRequest(MEMBER, (report,))).outcomes[0].verdict


def test_the_same_again_is_the_same_selector_and_each_start_and_stop_raises_the_version(api):
    versions = [api.engine.selectors(SelectorsRequest()).version]
    one = select(api)
    versions.append(api.engine.selectors(SelectorsRequest(known=versions[-1], wait=5)).version)
    assert select(api) == one and select(api, "p2") != one != select(api, None)
    found = api.engine.selectors(SelectorsRequest())
    assert {each.project_id for each in found.selectors} == {"p1", "p2", None}
    with pytest.raises(NotFound):
        api.engine.stop_selector(SelectorStop(one.selector_id, "p2"))
    assert api.engine.stop_selector(SelectorStop(one.selector_id, "p1")) == Empty()
    after = api.engine.selectors(SelectorsRequest())
    assert versions[0] < versions[1] < found.version < after.version
    assert {each.project_id for each in after.selectors} == {"p2", None}


def test_what_is_discovered_is_observed_while_it_is_there_and_the_projects(api):
    select(api)
    assert discover(api, "a", "b", "a", "c") == 3 and listed(api) == ["a", "b", "c"]
    assert api.engine.discover(DiscoverRequest((ref("p", "network.port"),))).started == 0, "no selector wants it"
    assert look(api, "a") is Verdict.ACCEPTED
    assert look(api, "b", project="p2") is Verdict.NOT_OBSERVED, "another project's"
    assert gone(api, "c") is Verdict.NOT_OBSERVED, "never there"
    assert listed(api) == seen(api) == ["a"]
    assert gone(api, "a") is Verdict.ACCEPTED
    assert listed(api) == seen(api) == []
    deltas = api.engine.changes(ChangesRequest()).deltas
    assert [(each.ref.resource_id, each.condition, each.project_id) for each in deltas] == [
        ("a", Condition.ACTIVE, "p1"), ("a", Condition.DELETED, "p1")]


def test_a_ref_that_is_observed_already_is_marked_when_it_is_discovered_again(api):
    select(api)
    assert discover(api, "a") == 1
    look(api, "a")
    assert discover(api, "a") == 0
    [resource] = api.engine.list_resources(ResourcesRequest()).resources
    assert resource.mark is not None


def test_what_somebody_else_observes_stays(api):
    select(api)
    [own] = api.engine.start(StartRequest((StartItem(ref("a"), project_id="p2"),))).observations
    assert discover(api, "a") == 1
    assert look(api, "a", project="p2") is Verdict.ACCEPTED
    assert listed(api) == [] and seen(api) == ["a"]
    assert api.engine.list_observations(ObservationsRequest()).observations[0].observation_id == own.observation_id
    discover(api, "b")
    api.engine.start(StartRequest((StartItem(ref("b"), project_id="p1"),)))
    look(api, "b")
    assert gone(api, "b") is Verdict.ACCEPTED and seen(api) == ["a", "b"], "its observation waits for who stops it"


def test_one_that_was_observed_by_itself_is_selected_after_that_was_stopped(api):
    select(api)
    [own] = api.engine.start(StartRequest((StartItem(ref("a")),))).observations
    discover(api, "a")
    api.engine.stop(StopRequest((own.observation_id,)))
    assert listed(api) == ["a"] and look(api, "a") is Verdict.ACCEPTED


def test_a_stopped_selector_leaves_what_others_select(api):
    one, everybodys = select(api), select(api, None)
    discover(api, "a", "b", "new")
    look(api, "a"), look(api, "b", project="p2")
    api.engine.stop_selector(SelectorStop(everybodys.selector_id))
    assert listed(api) == ["a", "new"]
    api.engine.stop_selector(SelectorStop(one.selector_id))
    assert listed(api) == seen(api) == []


def sweep(api, *items, kind=SERVER, whole=True):
    """A sweep of nova in one batch; what it admitted."""
    name = "sweep/RegionOne/nova"
    generation = api.grants[partition_of_id(name, 8)]
    api.engine.ensure_duties(EnsureDutiesRequest((DutySpec(name, "sweep", "RegionOne", "nova"),)))
    began = api.engine.begin_duty(DutyBegin(MEMBER, name, generation, "run", (kind, "compute.keypair")))
    assert began.observed.get(kind) and "compute.keypair" not in began.observed
    reply = api.engine.sweep(SweepBatch(
        MEMBER, name, generation, "run", kind, tuple(items), listed_at=api.clock.time(), whole=whole))
    assert reply.verdict is Verdict.ACCEPTED
    return reply.admitted


def item(name, project="p1", *, gone=False):
    return SweepItem(name, "ACTIVE", None, gone, 0.0, project)


def test_a_sweep_finds_what_no_notification_told_of(api):
    select(api)
    items = [item("a"), item("b", "p2"), item("c", None), item("d", gone=True)]
    assert sweep(api, *items) == 2 and listed(api) == ["a", "c"], "the list does not say whose c is"
    assert sweep(api, *items) == 0
    look(api, "a"), look(api, "c", project="p2")
    assert listed(api) == ["a"]


def test_a_new_selector_asks_for_a_sweep(api):
    select(api, kind="compute.keypair")
    api.engine.ensure_duties(EnsureDutiesRequest((DutySpec("sweep/RegionOne/nova", "sweep", "RegionOne", "nova"),)))
    select(api, service="nova")
    [duty] = api.engine.duties(Empty()).duties
    assert duty.requested_at is not None


def test_a_member_that_follows_is_told_of_what_is_discovered(api):
    from obsvc.engine_client.ownership import FollowRequest

    select(api)
    number = partition_of_id("a", 8)
    known = ((number, api.grants[number], 0),)
    discover(api, "a")
    [changes] = api.engine.follow(FollowRequest(MEMBER, known)).changes
    assert [each.ref for each in changes.changed] == [ref("a")]
    look(api, "a"), gone(api, "a")
    [changes] = api.engine.follow(FollowRequest(MEMBER, known)).changes
    assert list(changes.stopped) == [ref("a")]
