"""What an engine guarantees of selectors."""
from __future__ import annotations

import uuid
from collections.abc import Callable

from obsvc.engine_client import observations as obs
from obsvc.engine_client import reports, selectors
from obsvc.engine_client.conformance.kit import ACTIVE, Actor, Checks, expect
from obsvc.engine_client.contract import Engine
from obsvc.exceptions import NotFound
from obsvc.model import Condition, Ref, Snapshot

CHECKS = Checks()

GONE = Snapshot(False, Condition.DELETED)


def _select(engine: Engine, project_id: str | None) -> tuple[selectors.Selector, Callable[[], Ref]]:
    """A selector of a region of its own, and what makes refs there."""
    region = f"conformance-{uuid.uuid4().hex[:12]}"
    one = engine.start_selector(selectors.SelectorStart(region, "compute.server", project_id))
    return one, lambda: Ref(region, "compute.server", str(uuid.uuid4()))


def _discover(engine: Engine, *refs: Ref) -> int:
    return engine.discover(selectors.DiscoverRequest(refs)).started


def _listed(engine: Engine, region: str) -> set[Ref]:
    return {each.ref for each in engine.list_resources(obs.ResourcesRequest(region=region)).resources}


@CHECKS
def selectors_have_a_version_that_rises_with_each_start_and_stop(engine: Engine) -> None:
    before = engine.selectors(selectors.SelectorsRequest()).version
    one, _ = _select(engine, "conformance")
    found = engine.selectors(selectors.SelectorsRequest(known=before, wait=5.0))
    expect("it is there", True, one in found.selectors and found.version > before)
    again = engine.start_selector(selectors.SelectorStart(one.region, one.resource_type, one.project_id))
    expect("the same again", one, again)
    try:
        engine.stop_selector(selectors.SelectorStop(one.selector_id, "another"))
    except NotFound:
        engine.stop_selector(selectors.SelectorStop(one.selector_id, one.project_id))
    else:
        expect("another project's", "not found", "stopped")
    after = engine.selectors(selectors.SelectorsRequest())
    expect("it is stopped", True, one not in after.selectors and after.version > found.version)


@CHECKS
def what_is_discovered_is_observed_until_it_is_gone_or_proves_to_be_anothers(engine: Engine) -> None:
    one, new_ref = _select(engine, ACTIVE.project_id)
    mine, theirs, never, actor = new_ref(), new_ref(), new_ref(), Actor(engine)
    other_type = Ref(one.region, "network.port", str(uuid.uuid4()))
    expect("started", 3, _discover(engine, mine, theirs, never, mine, other_type))
    expect("listed", {mine, theirs, never}, _listed(engine, one.region))

    def report(ref: Ref, snapshot: Snapshot) -> reports.Verdict:
        return actor.report(ref, actor.take(ref).generation, snapshot).verdict

    foreign = Snapshot(True, Condition.ACTIVE, "ACTIVE", project_id="another")
    expect("the project's", reports.Verdict.ACCEPTED, report(mine, ACTIVE))
    expect("another's", reports.Verdict.NOT_OBSERVED, report(theirs, foreign))
    expect("what never was", reports.Verdict.NOT_OBSERVED, report(never, GONE))
    expect("listed", {mine}, _listed(engine, one.region))
    since = engine.changes(obs.ChangesRequest(since=None)).next
    expect("the project's is gone", reports.Verdict.ACCEPTED, report(mine, GONE))
    told = [each.condition for each in engine.changes(obs.ChangesRequest(since, resource_id=mine.resource_id)).deltas]
    expect("the feed tells it", [Condition.DELETED], told)
    expect("listed", set(), _listed(engine, one.region))


@CHECKS
def with_its_selector_a_ref_is_observed_no_more_unless_somebody_else_does(engine: Engine) -> None:
    one, new_ref = _select(engine, None)
    alone, shared = new_ref(), new_ref()
    engine.start(obs.StartRequest((obs.StartItem(shared),)))
    _discover(engine, alone, shared)
    engine.stop_selector(selectors.SelectorStop(one.selector_id))
    expect("listed", {shared}, _listed(engine, one.region))
    expect("nothing is selected", 0, _discover(engine, alone))
