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
from tests.support.public_api import MEMBER, ApiHarness

SERVER = "compute.server"


def ref(name, kind=SERVER):
    return Ref("RegionOne", kind, name)


@pytest.fixture
def harness():
    made = ApiHarness()
    made.own()
    return made


def select(harness, project="p1", kind=SERVER, **more):
    return harness.engine.start_selector(SelectorStart("RegionOne", kind, project, **more))


def discover(harness, *names):
    return harness.engine.discover(DiscoverRequest(tuple(map(ref, names)))).started


def listed(harness, **more):
    """Names of what is observed for selectors."""
    page = harness.engine.list_observations(ObservationsRequest(limit=1000, **more)).observations
    return sorted(each.ref.resource_id for each in page if each.selected)


def seen(harness, **more):
    return sorted(each.ref.resource_id for each in harness.engine.list_resources(ResourcesRequest(**more)).resources)


def look(harness, name, condition=Condition.ACTIVE, *, project="p1", **fields):
    return harness.see(ref(name), condition, project_id=project, **fields).verdict


def gone(harness, name):
    from obsvc.engine_client.reports import Report, ReportRequest
    from obsvc.model import Cause

    harness.sequence += 1
    number = partition_of_id(name, 8)
    snapshot = Snapshot(False, Condition.DELETED, fetched_at=harness.clock.time())
    report = Report(ref(name), number, harness.grants[number], harness.sequence, snapshot, Cause.NOTIFIED)
    return harness.engine.report(ReportRequest(MEMBER, (report,))).outcomes[0].verdict


def test_the_same_again_is_the_same_selector_and_each_start_and_stop_raises_the_version(harness):
    versions = [harness.engine.selectors(SelectorsRequest()).version]
    one = select(harness)
    versions.append(harness.engine.selectors(SelectorsRequest(known=versions[-1], wait=5)).version)
    assert select(harness) == one and select(harness, "p2") != one != select(harness, None)
    found = harness.engine.selectors(SelectorsRequest())
    assert {each.project_id for each in found.selectors} == {"p1", "p2", None}
    with pytest.raises(NotFound):
        harness.engine.stop_selector(SelectorStop(one.selector_id, "p2"))
    assert harness.engine.stop_selector(SelectorStop(one.selector_id, "p1")) == Empty()
    after = harness.engine.selectors(SelectorsRequest())
    assert versions[0] < versions[1] < found.version < after.version
    assert {each.project_id for each in after.selectors} == {"p2", None}


def test_what_is_discovered_is_observed_while_it_is_there_and_the_projects(harness):
    select(harness)
    assert discover(harness, "a", "b", "a", "c") == 3 and listed(harness) == ["a", "b", "c"]
    assert harness.engine.discover(DiscoverRequest((ref("p", "network.port"),))).started == 0, "no selector wants it"
    assert look(harness, "a") is Verdict.ACCEPTED
    assert look(harness, "b", project="p2") is Verdict.NOT_OBSERVED, "another project's"
    assert gone(harness, "c") is Verdict.NOT_OBSERVED, "never there"
    assert listed(harness) == seen(harness) == ["a"]
    assert gone(harness, "a") is Verdict.ACCEPTED
    assert listed(harness) == seen(harness) == []
    deltas = harness.engine.changes(ChangesRequest()).deltas
    assert [(each.ref.resource_id, each.condition, each.project_id) for each in deltas] == [
        ("a", Condition.ACTIVE, "p1"), ("a", Condition.DELETED, "p1")]


def test_a_ref_that_is_observed_already_is_marked_when_it_is_discovered_again(harness):
    select(harness)
    assert discover(harness, "a") == 1
    look(harness, "a")
    assert discover(harness, "a") == 0
    [resource] = harness.engine.list_resources(ResourcesRequest()).resources
    assert resource.mark is not None


def test_what_somebody_else_observes_stays(harness):
    select(harness)
    [own] = harness.engine.start(StartRequest((StartItem(ref("a"), project_id="p2"),))).observations
    assert discover(harness, "a") == 1
    assert look(harness, "a", project="p2") is Verdict.ACCEPTED
    assert listed(harness) == [] and seen(harness) == ["a"]
    assert harness.engine.list_observations(ObservationsRequest()).observations[0].observation_id == own.observation_id
    discover(harness, "b")
    harness.engine.start(StartRequest((StartItem(ref("b"), project_id="p1"),)))
    look(harness, "b")
    assert gone(harness, "b") is Verdict.ACCEPTED
    assert seen(harness) == ["a", "b"], "its observation waits for who stops it"


def test_one_that_was_observed_by_itself_is_selected_after_that_was_stopped(harness):
    select(harness)
    [own] = harness.engine.start(StartRequest((StartItem(ref("a")),))).observations
    discover(harness, "a")
    harness.engine.stop(StopRequest((own.observation_id,)))
    assert listed(harness) == ["a"] and look(harness, "a") is Verdict.ACCEPTED


def test_a_stopped_selector_leaves_what_others_select(harness):
    one, everybodys = select(harness), select(harness, None)
    discover(harness, "a", "b", "new")
    look(harness, "a"), look(harness, "b", project="p2")
    harness.engine.stop_selector(SelectorStop(everybodys.selector_id))
    assert listed(harness) == ["a", "new"]
    harness.engine.stop_selector(SelectorStop(one.selector_id))
    assert listed(harness) == seen(harness) == []


def sweep(harness, *items, kind=SERVER, whole=True):
    """A sweep of nova in one batch; what it admitted."""
    name = "sweep/RegionOne/nova"
    generation = harness.grants[partition_of_id(name, 8)]
    harness.engine.ensure_duties(EnsureDutiesRequest((DutySpec(name, "sweep", "RegionOne", "nova"),)))
    began = harness.engine.begin_duty(DutyBegin(MEMBER, name, generation, "run", (kind, "compute.keypair")))
    assert began.observed.get(kind) and "compute.keypair" not in began.observed
    reply = harness.engine.sweep(SweepBatch(
        MEMBER, name, generation, "run", kind, tuple(items), listed_at=harness.clock.time(), whole=whole))
    assert reply.verdict is Verdict.ACCEPTED
    return reply.admitted


def item(name, project="p1", *, gone=False):
    return SweepItem(name, "ACTIVE", None, gone, 0.0, project)


def test_a_sweep_finds_what_no_notification_told_of(harness):
    select(harness)
    items = [item("a"), item("b", "p2"), item("c", None), item("d", gone=True)]
    assert sweep(harness, *items) == 2 and listed(harness) == ["a", "c"], "the list does not say whose c is"
    assert sweep(harness, *items) == 0
    look(harness, "a"), look(harness, "c", project="p2")
    assert listed(harness) == ["a"]


def test_a_new_selector_asks_for_a_sweep(harness):
    select(harness, kind="compute.keypair")
    harness.engine.ensure_duties(EnsureDutiesRequest((DutySpec("sweep/RegionOne/nova", "sweep", "RegionOne", "nova"),)))
    select(harness, service="nova")
    [duty] = harness.engine.duties(Empty()).duties
    assert duty.requested_at is not None


def test_a_member_that_follows_is_told_of_what_is_discovered(harness):
    from obsvc.engine_client.ownership import FollowRequest

    select(harness)
    number = partition_of_id("a", 8)
    known = ((number, harness.grants[number], 0),)
    discover(harness, "a")
    [changes] = harness.engine.follow(FollowRequest(MEMBER, known)).changes
    assert [each.ref for each in changes.changed] == [ref("a")]
    look(harness, "a"), gone(harness, "a")
    [changes] = harness.engine.follow(FollowRequest(MEMBER, known)).changes
    assert list(changes.stopped) == [ref("a")]
