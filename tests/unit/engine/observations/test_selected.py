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
from tests.unit.api.test_api import MEMBER, House

SERVER = "compute.server"


def ref(name, kind=SERVER):
    return Ref("RegionOne", kind, name)


@pytest.fixture
def house():
    made = House()
    made.own()
    return made


def select(house, project="p1", kind=SERVER, **more):
    return house.engine.start_selector(SelectorStart("RegionOne", kind, project, **more))


def discover(house, *names):
    return house.engine.discover(DiscoverRequest(tuple(map(ref, names)))).started


def listed(house, **more):
    """Names of what is observed for selectors."""
    page = house.engine.list_observations(ObservationsRequest(limit=1000, **more)).observations
    return sorted(each.ref.resource_id for each in page if each.selected)


def seen(house, **more):
    return sorted(each.ref.resource_id for each in house.engine.list_resources(ResourcesRequest(**more)).resources)


def look(house, name, condition=Condition.ACTIVE, *, project="p1", **fields):
    return house.see(ref(name), condition, project_id=project, **fields).verdict


def gone(house, name):
    from obsvc.engine_client.reports import Report, ReportRequest
    from obsvc.model import Cause

    house.sequence += 1
    number = partition_of_id(name, 8)
    snapshot = Snapshot(False, Condition.DELETED, fetched_at=house.clock.time())
    report = Report(ref(name), number, house.grants[number], house.sequence, snapshot, Cause.NOTIFIED)
    return house.engine.report(ReportRequest(MEMBER, (report,))).outcomes[0].verdict


def test_the_same_again_is_the_same_selector_and_each_start_and_stop_raises_the_version(house):
    versions = [house.engine.selectors(SelectorsRequest()).version]
    one = select(house)
    versions.append(house.engine.selectors(SelectorsRequest(known=versions[-1], wait=5)).version)
    assert select(house) == one and select(house, "p2") != one != select(house, None)
    found = house.engine.selectors(SelectorsRequest())
    assert {each.project_id for each in found.selectors} == {"p1", "p2", None}
    with pytest.raises(NotFound):
        house.engine.stop_selector(SelectorStop(one.selector_id, "p2"))
    assert house.engine.stop_selector(SelectorStop(one.selector_id, "p1")) == Empty()
    after = house.engine.selectors(SelectorsRequest())
    assert versions[0] < versions[1] < found.version < after.version
    assert {each.project_id for each in after.selectors} == {"p2", None}


def test_what_is_discovered_is_observed_while_it_is_there_and_the_projects(house):
    select(house)
    assert discover(house, "a", "b", "a", "c") == 3 and listed(house) == ["a", "b", "c"]
    assert house.engine.discover(DiscoverRequest((ref("p", "network.port"),))).started == 0, "no selector wants it"
    assert look(house, "a") is Verdict.ACCEPTED
    assert look(house, "b", project="p2") is Verdict.NOT_OBSERVED, "another project's"
    assert gone(house, "c") is Verdict.NOT_OBSERVED, "never there"
    assert listed(house) == seen(house) == ["a"]
    assert gone(house, "a") is Verdict.ACCEPTED
    assert listed(house) == seen(house) == []
    deltas = house.engine.changes(ChangesRequest()).deltas
    assert [(each.ref.resource_id, each.condition, each.project_id) for each in deltas] == [
        ("a", Condition.ACTIVE, "p1"), ("a", Condition.DELETED, "p1")]


def test_a_ref_that_is_observed_already_is_marked_when_it_is_discovered_again(house):
    select(house)
    assert discover(house, "a") == 1
    look(house, "a")
    assert discover(house, "a") == 0
    [resource] = house.engine.list_resources(ResourcesRequest()).resources
    assert resource.mark is not None


def test_what_somebody_else_observes_stays(house):
    select(house)
    [own] = house.engine.start(StartRequest((StartItem(ref("a"), project_id="p2"),))).observations
    assert discover(house, "a") == 1
    assert look(house, "a", project="p2") is Verdict.ACCEPTED
    assert listed(house) == [] and seen(house) == ["a"]
    assert house.engine.list_observations(ObservationsRequest()).observations[0].observation_id == own.observation_id
    discover(house, "b")
    house.engine.start(StartRequest((StartItem(ref("b"), project_id="p1"),)))
    look(house, "b")
    assert gone(house, "b") is Verdict.ACCEPTED and seen(house) == ["a", "b"], "its observation waits for who stops it"


def test_one_that_was_observed_by_itself_is_selected_after_that_was_stopped(house):
    select(house)
    [own] = house.engine.start(StartRequest((StartItem(ref("a")),))).observations
    discover(house, "a")
    house.engine.stop(StopRequest((own.observation_id,)))
    assert listed(house) == ["a"] and look(house, "a") is Verdict.ACCEPTED


def test_a_stopped_selector_leaves_what_others_select(house):
    one, everybodys = select(house), select(house, None)
    discover(house, "a", "b", "new")
    look(house, "a"), look(house, "b", project="p2")
    house.engine.stop_selector(SelectorStop(everybodys.selector_id))
    assert listed(house) == ["a", "new"]
    house.engine.stop_selector(SelectorStop(one.selector_id))
    assert listed(house) == seen(house) == []


def sweep(house, *items, kind=SERVER, whole=True):
    """A sweep of nova in one batch; what it admitted."""
    name = "sweep/RegionOne/nova"
    generation = house.grants[partition_of_id(name, 8)]
    house.engine.ensure_duties(EnsureDutiesRequest((DutySpec(name, "sweep", "RegionOne", "nova"),)))
    began = house.engine.begin_duty(DutyBegin(MEMBER, name, generation, "run", (kind, "compute.keypair")))
    assert began.observed.get(kind) and "compute.keypair" not in began.observed
    reply = house.engine.sweep(SweepBatch(
        MEMBER, name, generation, "run", kind, tuple(items), listed_at=house.clock.time(), whole=whole))
    assert reply.verdict is Verdict.ACCEPTED
    return reply.admitted


def item(name, project="p1", *, gone=False):
    return SweepItem(name, "ACTIVE", None, gone, 0.0, project)


def test_a_sweep_finds_what_no_notification_told_of(house):
    select(house)
    items = [item("a"), item("b", "p2"), item("c", None), item("d", gone=True)]
    assert sweep(house, *items) == 2 and listed(house) == ["a", "c"], "the list does not say whose c is"
    assert sweep(house, *items) == 0
    look(house, "a"), look(house, "c", project="p2")
    assert listed(house) == ["a"]


def test_a_new_selector_asks_for_a_sweep(house):
    select(house, kind="compute.keypair")
    house.engine.ensure_duties(EnsureDutiesRequest((DutySpec("sweep/RegionOne/nova", "sweep", "RegionOne", "nova"),)))
    select(house, service="nova")
    [duty] = house.engine.duties(Empty()).duties
    assert duty.requested_at is not None


def test_a_member_that_follows_is_told_of_what_is_discovered(house):
    from obsvc.engine_client.ownership import FollowRequest

    select(house)
    number = partition_of_id("a", 8)
    known = ((number, house.grants[number], 0),)
    discover(house, "a")
    [changes] = house.engine.follow(FollowRequest(MEMBER, known)).changes
    assert [each.ref for each in changes.changed] == [ref("a")]
    look(house, "a"), gone(house, "a")
    [changes] = house.engine.follow(FollowRequest(MEMBER, known)).changes
    assert list(changes.stopped) == [ref("a")]
