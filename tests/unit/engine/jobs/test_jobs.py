"""The jobs of a stack: leases, attempts, and what fails a node."""
from __future__ import annotations

import pytest
import sqlalchemy as sa

from obsvc.engine.schema import stacks
from obsvc.engine_client.jobs import JobDone, JobLease
from obsvc.engine_client.stacks import StackCancel
from obsvc.exceptions import Conflict
from obsvc.model import Condition, Ref
from tests.support.stack_life import TYPE, Life, template


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


def test_a_final_failure_lets_independent_branches_go_on_and_dependents_wait():
    life = Life(build_attempts=1)
    life.create(template(a=[], b=["a"], x=[], y=["x"]))
    jobs = life.claim()
    life.fail(jobs["a"], "quota")
    assert life.stack().status == "CREATE_FAILED"
    life.seen(life.begin(jobs["x"]), Condition.ACTIVE)
    life.seen(life.begin(life.claim()["y"]), Condition.ERROR, status_reason="No valid host")
    assert life.statuses() == {"a": "failed", "b": "waiting", "x": "complete", "y": "failed"}
    assert life.nodes()["y"].status_reason == "the resource is ERROR: No valid host"
    assert life.emitted().count("obsvc.stack.create.error") == 1


def build(life, name, condition, **more):
    """Claim the create of ``name``, begin a copy of its own, and have it seen; its ref."""
    job = life.claim()[name]
    ref = Ref("R", "sim.resource", f"id-{job.marker}")
    life.complete_job(JobDone(job.job_id, job.lease_token, ref=ref))
    life.seen(ref, condition, **more)
    return ref


def test_what_the_cloud_built_into_error_is_built_again_after_a_pause_and_the_broken_copy_goes_at_once(life):
    life.create(template(a=[], b=["a"]))
    broken = build(life, "a", Condition.ERROR, status_reason="No valid host")
    assert life.stack().status == "CREATE_IN_PROGRESS"
    (deletion,) = life.claim().values()
    assert (deletion.action, deletion.resource_id) == ("delete", broken.resource_id)
    life.seen(life.begin(deletion), Condition.DELETED)
    assert life.statuses() == {"a": "scheduled", "b": "waiting"}
    life.pass_time(life.settings.job_retry_initial)
    good = build(life, "a", Condition.ACTIVE)
    assert good != broken and life.nodes()["a"].resource_id == good.resource_id
    build(life, "b", Condition.ACTIVE)
    stack = life.stack()
    assert stack.status == "CREATE_COMPLETE" and stack.nodes == {"complete": 2}
    retries = [one.reason for one in life.events() if one.event == "node.retry"]
    assert retries == ["the resource is ERROR: No valid host"]
    life.delete()
    order = []
    while jobs := life.claim():
        for job in jobs.values():
            order.append(job.node_name)
            life.seen(life.begin(job), Condition.DELETED)
    assert order == ["b", "a"] and life.stack().status == "DELETE_COMPLETE"


def test_what_is_built_into_error_each_time_fails_with_the_clouds_reason_and_pauses_grow(life):
    life.create(template(a=[]))
    pauses = []
    for again in range(3):
        broken = build(life, "a", Condition.ERROR, status_reason="No valid host")
        for deletion in life.claim().values():
            life.begin(deletion)  # how that ends does not matter here
        pauses.append(0.0)
        while again < 2 and pauses[-1] < 10 and life.store.read(lambda tx: tx.execute(sa.select(
                stacks.job.c.job_id).where(stacks.job.c.action == "create", stacks.job.c.available_at > tx.now)).all()):
            life.pass_time(0.25)
            pauses[-1] += 0.25
    assert 0.5 <= pauses[0] <= 1 <= pauses[1] <= 2
    assert life.stack().status == "CREATE_FAILED"
    assert life.nodes()["a"].status_reason == "the resource is ERROR: No valid host (after 3 builds)"
    assert life.nodes()["a"].resource_id == broken.resource_id


def test_a_broken_copy_whose_deletion_fails_is_left_to_the_cleanup():
    life = Life(job_attempts=1)
    life.create(template(a=[]))
    build(life, "a", Condition.ERROR)
    (deletion,) = life.claim().values()
    life.fail(deletion, "locked")
    life.pass_time(1)
    jobs = life.claim()
    life.fail(next(job for job in jobs.values() if job.action == "delete"), "locked")
    good = Ref("R", "sim.resource", "good")
    life.complete_job(JobDone(jobs["a"].job_id, jobs["a"].lease_token, ref=good))
    life.seen(good, Condition.ACTIVE)
    assert life.stack().status == "CREATE_IN_PROGRESS"
    (deletion,) = life.claim().values()
    assert deletion.action == "delete"
    life.seen(life.begin(deletion), Condition.DELETED)
    assert life.stack().status == "CREATE_COMPLETE" and list(life.nodes()) == ["a"]


def test_nothing_is_built_again_in_a_stack_that_was_stopped(life):
    life.create(template(a=[]))
    job = life.claim()["a"]
    ref = life.begin(job)
    life.cancel_stack(StackCancel("s", rollback=False))
    life.seen(ref, Condition.ERROR)
    assert life.statuses() == {"a": "failed"} and not life.claim()


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


def test_a_job_is_given_only_to_a_worker_with_its_plugin(life):
    life.create(template(a=[]).replace("Sim::Resource", "Sim::Other"))
    life.resource_types = frozenset({"Sim::Resource"})
    assert life.claim() == {}
    life.resource_types = frozenset({"Sim::Other"})
    assert list(life.claim()) == ["a"]


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


def test_a_pause_that_a_service_asks_for_ends_with_the_nodes_time(life):
    life.create(template(a=[]))
    life.fail(life.claim()["a"], "maintenance", retriable=True, retry_after=1e7)
    life.pass_time(life.settings.node_timeout + 1)
    assert life.stack().status == "CREATE_FAILED" and "maintenance" in life.stack().status_reason
