"""The life of a stack: by the calls that workers and observers make."""
from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from obsvc.clock import ManualClock
from obsvc.engine import due
from obsvc.engine.schema.stacks import outbox
from obsvc.engine_client.jobs import JobDone, JobLease
from obsvc.engine_client.stacks import StackRequest, StackStatus
from obsvc.exceptions import Conflict, InvalidInput, NotFound
from obsvc.model import Condition, Ref
from tests.unit.engine.life import TYPE, Life, template
from tests.unit.engine_store import new_store

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


@pytest.fixture
def life():
    return Life()


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
    with pytest.raises(Conflict, match="later version"):
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


def test_a_completed_job_answered_again_has_no_second_effect_and_another_token_is_refused(life):
    life.create(template(a=[]))
    job = life.claim()["a"]
    ref = life.begin(job)
    before = life.events()
    life.begin(job)
    assert life.events() == before and life.observed() == 1
    with pytest.raises(Conflict, match="not leased under this token"):
        life.complete_job(JobDone(job.job_id, "other", ref=ref))


def test_a_retriable_failure_waits_longer_each_time_then_fails_the_node_with_the_clouds_reason(life):
    life.create(template(a=[], b=[], c=["b"]))
    markers, pauses = set(), []
    for attempt in range(1, 6):
        while not (jobs := life.claim(limit=1, worker="w")) or "a" not in jobs:
            for other in jobs.values():
                life.seen(life.begin(other), Condition.ACTIVE)
            if not jobs:
                life.pass_time(0.5)
                pauses[-1] += 0.5
        assert jobs["a"].attempt == attempt
        markers.add(jobs["a"].marker)
        life.fail(jobs["a"], "503 from nova", retriable=True)
        life.fail(jobs["a"], "503 from nova", retriable=True)
        pauses.append(0.0)
    assert len(markers) == 1 and pauses[3] > pauses[0]
    stack = life.stack()
    assert stack.status == "CREATE_FAILED" and stack.status_reason == "a: 503 from nova (after 5 attempts)"
    assert life.statuses()["a"] == "failed" and life.statuses()["c"] == "complete"


def test_a_final_failure_lets_independent_branches_go_on_and_dependents_wait(life):
    life.create(template(a=[], b=["a"], x=[], y=["x"]))
    jobs = life.claim()
    life.fail(jobs["a"], "quota")
    assert life.stack().status == "CREATE_FAILED"
    life.seen(life.begin(jobs["x"]), Condition.ACTIVE)
    life.seen(life.begin(life.claim()["y"]), Condition.ERROR, status_reason="No valid host")
    assert life.statuses() == {"a": "failed", "b": "waiting", "x": "complete", "y": "failed"}
    assert life.nodes()["y"].status_reason == "the resource is ERROR: No valid host"
    assert life.emitted().count("obsvc.stack.create.error") == 1


def test_an_attribute_that_is_not_there_fails_the_node_with_its_place(life):
    life.create(CHAIN)
    life.seen(life.begin(life.claim()["net"]), Condition.ACTIVE, attributes={"mtv": 1})
    assert life.nodes()["port"].status_reason.startswith("resources.port.properties.mtu.get_attr: net has no 'mtu'")
    assert life.stack().status == "CREATE_FAILED"


def test_a_lapsed_lease_is_offered_again_with_the_same_marker_and_its_worker_is_refused(life):
    life.create(template(a=[]))
    first = life.claim()["a"]
    life.clock.advance(59)
    assert life.claim() == {} and life.renew_job(JobLease(first.job_id, first.lease_token)).lease_until > 0
    life.clock.advance(59)
    assert life.claim() == {}
    life.clock.advance(2)
    second = life.claim(worker="other")["a"]
    assert (second.attempt, second.marker) == (2, first.marker) and second.lease_token != first.lease_token
    for late in (life.renew_job, life.confirm_attempt):
        with pytest.raises(Conflict):
            late(JobLease(first.job_id, first.lease_token))
    with pytest.raises(Conflict):
        life.begin(first)
    life.begin(second)


def test_a_job_whose_leases_all_lapse_fails_its_node(life):
    life.create(template(a=[]))
    for _ in range(5):
        assert life.claim()
        life.pass_time(61)
    assert life.claim() == {}
    life.run_due()
    assert life.stack().status == "CREATE_FAILED" and "did not answer" in life.stack().status_reason


def test_delete_during_create_ends_what_is_begun_and_begins_nothing_more(life):
    life.create(template(a=[], b=["a"], c=["b"], x=[]))
    jobs = life.claim()
    a = life.begin(jobs["a"])
    life.seen(a, Condition.ACTIVE)
    b = life.claim()["b"]
    life.delete()
    # c never began; x and b are with a worker; a waits for b
    assert life.statuses() == {"a": "waiting", "b": "scheduled", "c": "deleted", "x": "scheduled"}
    assert life.claim() == {}
    life.begin(b)
    life.fail(jobs["x"], "no", retriable=True)
    deletes = life.claim()
    assert {(name, job.action, job.resource_id) for name, job in deletes.items()} == {
        ("b", "delete", "id-b"), ("x", "delete", None)}
    assert deletes["x"].marker == jobs["x"].marker
    life.complete_job(JobDone(deletes["x"].job_id, deletes["x"].lease_token, gone=True))
    life.seen(life.begin(deletes["b"]), Condition.DELETED)
    life.seen(life.begin(life.claim()["a"]), Condition.DELETED)
    assert life.stack().status == "DELETE_COMPLETE" and life.observed() == 0


def test_a_worker_that_vanished_in_a_create_does_not_hold_up_the_deletion(life):
    life.create(template(a=[]))
    life.claim()
    life.delete()
    life.pass_time(30)
    assert life.claim() == {}
    life.pass_time(31)
    job = life.claim()["a"]
    assert job.action == "delete" and job.resource_id is None
    life.complete_job(JobDone(job.job_id, job.lease_token, gone=True))
    assert life.stack().status == "DELETE_COMPLETE"


def test_a_stack_that_never_began_is_deleted_without_a_job(life):
    life.create(template(a=[], b=["a"], c=["b"]))
    assert life.delete().status == "DELETE_COMPLETE"
    assert life.claim() == {}
    assert life.delete().status == "DELETE_COMPLETE"


def test_a_resource_in_error_can_be_deleted_and_a_failed_delete_can_be_repeated(life):
    life.create(template(a=[]))
    ref = life.begin(life.claim()["a"])
    life.seen(ref, Condition.ACTIVE)
    life.seen(ref, Condition.ERROR)
    life.delete()
    life.fail(life.claim()["a"], "403 not yours")
    assert life.stack().status == "DELETE_FAILED" and life.stack().status_reason == "a: 403 not yours"
    life.delete()
    life.begin(life.claim()["a"])
    life.seen(ref, Condition.DELETED)
    assert life.stack().status == "DELETE_COMPLETE"


def test_a_resource_that_was_in_error_before_its_deletion_does_not_fail_it(life):
    life.create(template(a=[]))
    ref = life.begin(life.claim()["a"])
    life.seen(ref, Condition.ACTIVE)
    life.seen(ref, Condition.ERROR)
    life.delete()
    life.begin(life.claim()["a"])
    life.seen(ref, Condition.ERROR)
    assert life.statuses() == {"a": "observing"}
    life.seen(ref, Condition.ERROR, "ERROR_DELETING")
    assert life.stack().status == "DELETE_FAILED"


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


def test_progress_is_told_periodically_and_a_stall_names_what_is_waited_for(life):
    life.create(template(a=[], b=["a"]))
    life.begin(life.claim()["a"])
    life.pass_time(61)
    assert life.emitted()[-1] == "obsvc.stack.progress"
    for _ in range(5):
        life.pass_time(61)
    assert life.emitted()[-1] == "obsvc.stack.stalled"
    last = life.store.read(lambda tx: tx.execute(outbox.select().order_by(outbox.c.outbox_id.desc())).first())
    assert '"node":"a"' in last.payload and '"resource_id":"id-a"' in last.payload and '"since":' in last.payload
    assert "waiting for a" in life.events()[-1].reason
    count = len(life.emitted())
    life.seen(Ref("R", "sim.resource", "id-a"), Condition.ACTIVE)
    life.seen(life.begin(life.claim()["b"]), Condition.ACTIVE)
    ended = len(life.emitted())
    assert ended > count
    life.pass_time(200)
    assert len(life.emitted()) == ended


def test_a_stacks_own_deadline_fails_it_and_begins_nothing_more(life):
    life.create(template(a=[], b=["a"], x=[]), timeout=100)
    ref = life.begin(life.claim(limit=1)["a"])
    life.pass_time(101)
    assert life.stack().status == "CREATE_FAILED" and "timed out after 100 s; it waited for a, x" in (
        life.stack().status_reason)
    life.seen(ref, Condition.ACTIVE)
    assert life.claim() == {} and life.statuses() == {"a": "complete", "b": "waiting", "x": "failed"}
    life.delete()
    life.seen(life.begin(life.claim()["a"]), Condition.DELETED)
    assert life.stack().status == "DELETE_COMPLETE"


def test_a_job_is_given_only_to_a_worker_with_its_plugin(life):
    life.create(template(a=[]).replace("Sim::Resource", "Sim::Other"))
    life.resource_types = frozenset({"Sim::Resource"})
    assert life.claim() == {}
    life.resource_types = frozenset({"Sim::Other"})
    assert list(life.claim()) == ["a"]


@st.composite
def graphs(draw):
    names = [f"n{index}" for index in range(draw(st.integers(1, 7)))]
    return {name: draw(st.lists(st.sampled_from(names[:at]), unique=True)) if at else []
            for at, name in enumerate(names)}


@settings(max_examples=30, deadline=None)
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


def test_a_deleted_stack_is_forgotten_after_the_retention(life):
    life.create(template(a=[], b=["a"]))
    life.delete()
    life.pass_time(life.settings.retention - 1)
    assert life.stack().status == "DELETE_COMPLETE"
    life.pass_time(2)
    with pytest.raises(NotFound):
        life.stack()


def test_a_node_that_never_gets_there_fails_after_its_time_and_one_last_look(life):
    life.create(template(a=[], b=["a"]))
    job = life.claim()["a"]
    ref = Ref("R", "sim.resource", "id-a")
    life.complete_job(JobDone(job.job_id, job.lease_token, ref=ref, timeout=120))
    life.seen(ref, Condition.PENDING, "BUILD")
    life.pass_time(121)
    assert life.stack().status == "CREATE_IN_PROGRESS"
    life.pass_time(life.settings.last_look_grace + 1)
    assert life.nodes()["a"].status_reason == "timed out after 137 s waiting for active; last seen BUILD"
    assert life.stack().status == "CREATE_FAILED" and life.statuses()["b"] == "waiting"
    life.delete()
    life.begin(life.claim()["a"])
    life.seen(ref, Condition.DELETED)
    assert life.stack().status == "DELETE_COMPLETE"


def test_the_last_look_can_still_meet_the_goal(life):
    life.create(template(a=[]))
    job = life.claim()["a"]
    ref = Ref("R", "sim.resource", "id-a")
    life.complete_job(JobDone(job.job_id, job.lease_token, ref=ref, timeout=120))
    life.pass_time(121)
    life.seen(ref, Condition.ACTIVE)
    life.pass_time(60)
    assert life.stack().status == "CREATE_COMPLETE"


def test_a_delete_that_never_ends_fails_and_can_be_repeated(life):
    life.create(template(a=[]))
    ref = life.begin(life.claim()["a"])
    life.seen(ref, Condition.ACTIVE)
    life.delete()
    life.begin(life.claim()["a"])
    life.pass_time(life.settings.node_timeout + 1)
    life.pass_time(life.settings.last_look_grace + 1)
    assert life.stack().status == "DELETE_FAILED" and "waiting for deleted" in life.stack().status_reason
    life.delete()
    life.begin(life.claim()["a"])
    life.seen(ref, Condition.DELETED)
    assert life.stack().status == "DELETE_COMPLETE" and life.observed() == 0


def test_callers_that_wait_are_woken_by_the_commit():
    from concurrent.futures import ThreadPoolExecutor

    from obsvc.engine.service import EngineService
    from obsvc.engine_client.jobs import JobClaimRequest
    from obsvc.engine_client.stacks import StackEventsRequest

    life = Life()
    service = EngineService(life.store, life.settings)
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


def test_a_delete_of_what_is_still_building_is_tried_again_though_the_service_says_400(life):
    life.create(template(a=[]))
    ref = life.begin(life.claim()["a"])
    life.delete()
    life.fail(life.claim()["a"], "400 status must be available")
    assert life.stack().status == "DELETE_IN_PROGRESS"
    life.pass_time(2)
    life.begin(life.claim()["a"])
    life.seen(ref, Condition.DELETED)
    assert life.stack().status == "DELETE_COMPLETE"


def test_a_job_that_no_worker_takes_fails_its_node_after_its_time(life):
    life.create(template(a=[], b=["a"]))
    life.pass_time(life.settings.node_timeout - 1)
    assert life.stack().status == "CREATE_IN_PROGRESS"
    life.pass_time(2)
    assert life.stack().status == "CREATE_FAILED"
    assert "no worker took the job" in life.nodes()["a"].status_reason and TYPE in life.nodes()["a"].status_reason
    assert life.claim() == {}
    assert life.delete().status == "DELETE_COMPLETE"


def test_a_worker_that_renews_for_ever_does_not_hold_its_node_for_ever(life):
    life.create(template(a=[]))
    job = life.claim()["a"]
    lease = JobLease(job.job_id, job.lease_token)
    for _ in range(int(life.settings.node_timeout // 50) - 1):
        life.pass_time(50)
        life.renew_job(lease)
    life.pass_time(50)
    with pytest.raises(Conflict, match="are over"):
        life.confirm_attempt(lease)
    assert life.stack().status == "CREATE_IN_PROGRESS"  # its create may be under way: the lease is awaited
    life.pass_time(61)
    assert life.stack().status == "CREATE_FAILED" and life.claim() == {}
    assert "did not answer" in life.stack().status_reason
    life.delete()
    assert life.claim()["a"].resource_id is None  # it may have made something: found by its marker


def test_a_hanging_create_does_not_hold_up_a_deletion_for_ever(life):
    life.create(template(a=[]))
    job = life.claim()["a"]
    life.delete()
    for _ in range(int(life.settings.node_timeout // 50) + 2):
        life.pass_time(50)
        with contextlib.suppress(Conflict):
            life.renew_job(JobLease(job.job_id, job.lease_token))
    assert life.claim()["a"].action == "delete"


def test_a_pause_that_a_service_asks_for_ends_with_the_nodes_time(life):
    life.create(template(a=[]))
    life.fail(life.claim()["a"], "maintenance", retriable=True, retry_after=1e7)
    life.pass_time(life.settings.node_timeout + 1)
    assert life.stack().status == "CREATE_FAILED" and "maintenance" in life.stack().status_reason


def test_a_stacks_deadline_survives_a_clock_that_is_set_back(life):
    life.create(template(a=[]), timeout=100)
    life.clock.advance(101)
    claim, rows = life.store.run(lambda tx: due._claim(tx, 100))
    life.store.clock = ManualClock(life.clock.time() - 50)  # set back between the claim and the run
    for row in rows:
        due._carry_out(life.store, claim, row)
    life.store.clock = life.clock
    life.pass_time(51)
    assert life.stack().status == "CREATE_FAILED"


def test_events_of_a_stack_that_lives_on_are_forgotten_after_the_retention(life):
    life.create(template(a=[]))
    ref = life.begin(life.claim()["a"])
    life.seen(ref, Condition.ACTIVE)
    first = life.events()[-1].event_id
    life.pass_time(life.settings.retention / 2)
    life.seen(ref, Condition.ERROR)
    life.pass_time(life.settings.retention / 2)
    for _ in range(2):
        life.pass_time(86400)
    kept = [event.event_id for event in life.events()]
    assert kept == [first + 1] and life.events(after=first)[0].event == "stack.drift"


def test_a_region_that_no_ref_can_have_is_refused(life):
    for region in ("", "r" * 65, "a\0b"):
        with pytest.raises(InvalidInput, match="region"):
            life.create(template(a=[]), region=region)
