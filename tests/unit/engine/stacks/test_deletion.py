"""A stack's deletion, at whatever moment, and what may go wrong with it."""
from __future__ import annotations

import contextlib

import pytest

from obsvc.engine_client.jobs import JobDone, JobLease
from obsvc.exceptions import Conflict, NotFound
from obsvc.model import Condition
from tests.support.stack_life import template


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


def test_a_hanging_create_does_not_hold_up_a_deletion_for_ever(life):
    life.create(template(a=[]))
    job = life.claim()["a"]
    life.delete()
    for _ in range(int(life.settings.node_timeout // 50) + 2):
        life.pass_time(50)
        with contextlib.suppress(Conflict):
            life.renew_job(JobLease(job.job_id, job.lease_token))
    assert life.claim()["a"].action == "delete"


def test_a_stack_that_never_began_is_deleted_without_a_job(life):
    life.create(template(a=[], b=["a"], c=["b"]))
    assert life.delete().status == "DELETE_COMPLETE"
    assert life.claim() == {}
    assert life.delete().status == "DELETE_COMPLETE"


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


def test_a_deleted_stack_is_forgotten_after_the_retention(life):
    life.create(template(a=[], b=["a"]))
    life.delete()
    life.pass_time(life.settings.retention - 1)
    assert life.stack().status == "DELETE_COMPLETE"
    life.pass_time(2)
    with pytest.raises(NotFound):
        life.stack()
