"""The life of a stack: by the calls that workers and observers make."""
from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from obsvc.engine.service import EngineService
from obsvc.engine_client.jobs import JobClaimRequest, JobDone
from obsvc.engine_client.stacks import StackEventsRequest, StackRequest, StackStatus
from obsvc.exceptions import Conflict, InvalidInput, NotFound
from obsvc.model import Condition
from tests.support.engine_store import new_store
from tests.support.examples import examples
from tests.support.stack_life import Life, template

CHAIN = """
heat_template_version: 2018-08-31
parameters:
  size: {type: number, default: 3}
  secret: {type: string, hidden: true, default: x}
resources:
  net: {type: "Sim::Resource", properties: {label: {get_param: "OS::stack_name"}}}
  port:
    type: Sim::Resource
    properties: {network: {get_resource: net}, mtu: {get_attr: [net, mtu]}, size: {get_param: size}}
outputs:
  address: {value: {get_attr: [port, ips, 0]}}
"""


def test_a_stack_from_its_template_to_its_outputs_and_away(life):
    stack = life.create(CHAIN, parameters={"size": 7})
    assert stack.status == "CREATE_IN_PROGRESS" and stack.nodes == {"scheduled": 1, "waiting": 1}
    assert stack.parameters == {"size": 7, "secret": "******"} and stack.outputs == {}
    jobs = life.claim()
    assert list(jobs) == ["net"] and jobs["net"].properties == {"label": "s"} and jobs["net"].attempt == 1
    net = life.begin(jobs["net"])
    assert life.nodes()["net"].status == "observing" and life.claim() == {}
    assert life.seen(net, Condition.PENDING) == "accepted"
    assert life.statuses() == {"net": "observing", "port": "waiting"}
    life.seen(net, Condition.ACTIVE, attributes={"mtu": 1450})
    jobs = life.claim()
    assert jobs["port"].properties == {"network": "id-net", "mtu": 1450, "size": 7}
    life.seen(life.begin(jobs["port"]), Condition.ACTIVE, attributes={"ips": ["10.0.0.9"]})
    stack = life.stack()
    assert stack.status == "CREATE_COMPLETE" and stack.outputs == {"address": "10.0.0.9"}

    life.delete()
    jobs = life.claim()
    assert list(jobs) == ["port"] and jobs["port"].action == "delete" and jobs["port"].resource_id == "id-port"
    port = life.begin(jobs["port"])
    life.seen(port, Condition.ACTIVE)
    assert life.claim() == {}
    life.seen(port, Condition.DELETED)
    job = life.claim()["net"]
    life.complete_job(JobDone(job.job_id, job.lease_token, gone=True))
    assert life.stack().status == "DELETE_COMPLETE" and life.observed() == 0
    events = life.events()
    assert [event.event_id for event in events] == list(range(1, len(events) + 1))
    assert [event.event for event in events if event.event.startswith("stack.")] == [
        "stack.create.start", "stack.create.end", "stack.delete.start", "stack.delete.end"]
    assert [what for what in life.emitted() if what.startswith("obsvc.stack.")] == [
        "obsvc.stack.create.start", "obsvc.stack.create.end", "obsvc.stack.delete.start", "obsvc.stack.delete.end"]
    assert life.create(CHAIN).stack_id != stack.stack_id


def test_a_name_is_taken_while_its_stack_lives_and_only_in_its_project(life):
    life.create(template(a=[]))
    with pytest.raises(Conflict, match="another goal by an update"):
        life.create(template(a=[], b=[]))
    assert life.create(template(a=[]), project_id="p").project_id == "p"
    with pytest.raises(NotFound):
        life.read_stack(StackRequest("s", project_id="q"))


def test_a_bad_template_writes_nothing(life):
    with pytest.raises(InvalidInput, match=r"resources.a.depends_on: expected a resource of the template, got 'zz'"):
        life.create(template(a=["zz"]))
    with pytest.raises(NotFound):
        life.stack()
    assert life.emitted() == []


def test_nothing_is_put_in_the_outbox_where_there_is_no_bus(life):
    life.store.emitting = False
    life.create(template(a=[]))
    assert life.emitted() == []


def test_an_attribute_that_is_not_there_fails_the_node_with_its_place(life):
    life.create(CHAIN)
    life.seen(life.begin(life.claim()["net"]), Condition.ACTIVE, attributes={"mtv": 1})
    assert life.nodes()["port"].status_reason.startswith("resources.port.properties.mtu.get_attr: net has no 'mtu'")
    assert life.stack().status == "CREATE_FAILED"


def test_drift_is_told_once_and_ends(life):
    life.create(template(a=[]))
    ref = life.begin(life.claim()["a"])
    life.seen(ref, Condition.ACTIVE)
    life.seen(ref, Condition.DELETED)
    assert life.stack().drifted == ("a",) and life.nodes()["a"].drift == "the resource is gone"
    assert life.stack().status == "CREATE_COMPLETE" and life.emitted().count("obsvc.stack.drift") == 1
    life.seen(ref, Condition.ACTIVE)
    assert life.stack().drifted == () and life.nodes()["a"].drift is None
    assert [event.event for event in life.events()][-2:] == ["stack.drift", "stack.drift.end"]


@st.composite
def graphs(draw):
    names = [f"n{index}" for index in range(draw(st.integers(1, 7)))]
    return {name: draw(st.lists(st.sampled_from(names[:at]), unique=True)) if at else []
            for at, name in enumerate(names)}


@settings(max_examples=examples(30, quick=10), deadline=None)
@given(graphs(), st.data())
def test_every_graph_ends_and_each_node_is_created_once_in_order_and_deleted_in_reverse(requires, data):
    life = Life(store=new_store())
    life.create(template(**requires))
    created, deleted, building = [], [], {}
    fails = data.draw(st.booleans(), "with a failure")
    delete_at = data.draw(st.integers(0, 2 * len(requires) + 1), "steps before the deletion")
    for step in range(20 * len(requires) + 20):
        if step == delete_at:
            life.delete()
        for name, job in life.claim(limit=2).items():
            if job.action == "create":
                assert all(other in created for other in requires[name]) and name not in building
                if fails and name == "n0" and data.draw(st.booleans(), "fail"):
                    life.fail(job)
                    continue
            building[name] = life.begin(job), job.action
        if building:
            name = data.draw(st.sampled_from(sorted(building)))
            ref, action = building.pop(name)
            if action == "create":
                life.seen(ref, Condition.ACTIVE)
                assert name not in created
                created.append(name)
            else:
                life.seen(ref, Condition.DELETED)
                assert all(name not in requires[other] or other in deleted or other not in created
                           for other in requires)
                assert name not in deleted
                deleted.append(name)
        elif step > delete_at and life.stack().status == StackStatus.DELETE_COMPLETE:
            break
    assert life.stack().status == "DELETE_COMPLETE" and life.observed() == 0
    assert set(life.statuses().values()) == {"deleted"}


def test_callers_that_wait_are_woken_by_the_commit():
    life = Life()
    service = EngineService(life.store)
    with ThreadPoolExecutor(3) as pool:
        job = pool.submit(service.claim_jobs, JobClaimRequest("w", ("Sim::Resource",), wait=30))
        stack = life.create(template(a=[]))
        (job,) = job.result(30).jobs
        events = pool.submit(service.stack_events, StackEventsRequest(stack.stack_id, after=2, wait=30))
        ended = pool.submit(service.read_stack, StackRequest("s", wait=30))
        life.seen(life.begin(job), Condition.ACTIVE)
        assert events.result(30).events[0].event == "node.observing"
        assert ended.result(30).status == "CREATE_COMPLETE"
    service.shutdown()


def test_a_region_that_no_ref_can_have_is_refused(life):
    for region in ("", "r" * 65, "a\0b"):
        with pytest.raises(InvalidInput, match="region"):
            life.create(template(a=[]), region=region)
