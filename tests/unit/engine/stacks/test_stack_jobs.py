"""The jobs of a locked stack: made for workers, and taken back from them."""
from __future__ import annotations

import pytest
import sqlalchemy as sa

from obsvc.engine.schema.stacks import JobStatus, job
from obsvc.engine.stacks.locked_stack import JOB_DEADLINE, JOB_LEASE, JOB_RETRY
from obsvc.engine.stacks.locking import locked
from obsvc.engine.stacks.marker_sweeps import MARKER_SWEEP
from obsvc.engine.stacks.rows import job_row, job_rows, node_row
from obsvc.engine.stacks.stack_jobs import NewJob, begin_jobs, cancel_job, open_jobs, withdraw_jobs
from obsvc.engine_client.jobs import Action
from obsvc.engine_client.stacks import NodeStatus
from tests.support.stack_rows import STACK


def begin(rows, **more) -> None:
    with rows.transaction() as tx, locked(tx, STACK) as traversal:
        begin_jobs(traversal, [NewJob(node_row(tx, "a"), **more)])


def test_a_job_is_made_open_to_workers_and_its_node_scheduled(rows):
    rows.add_node("a", resource_id="1")
    begin(rows, action=Action.UPDATE, properties={"p": 1})
    with rows.transaction() as tx:
        (made,), node = job_rows(tx, sa.select(job)), node_row(tx, "a")
    assert (made.status, made.action, made.available_at) == (JobStatus.READY, Action.UPDATE, rows.clock.time())
    assert (made.properties, made.resource_id, made.attempt) == ('{"p":1}', "1", 0)
    assert (node.status, node.action, node.job_id) == (NodeStatus.SCHEDULED, Action.UPDATE, made.job_id)
    assert rows.due(JOB_DEADLINE) == {made.job_id: rows.store.settings.node_timeout}


def test_one_that_failed_before_is_open_after_a_pause(rows):
    rows.add_node("a")
    begin(rows, action=Action.CREATE, failures=2)
    with rows.transaction() as tx:
        (made,) = job_rows(tx, sa.select(job))
    pause = made.available_at - rows.clock.time()
    assert pause > 0 and rows.due(JOB_RETRY) == {made.job_id: pytest.approx(pause)}


def test_no_jobs_touch_nothing(rows):
    with rows.transaction() as tx:
        with locked(tx, STACK) as traversal:
            begin_jobs(traversal, [])
        assert not tx.touched


@pytest.mark.parametrize(("action", "columns", "goes_on", "offered"), [
    (Action.CREATE, {}, False, False),
    (Action.CREATE, {"attempt": 1}, False, False),
    (Action.CREATE, {"attempt": 1, "status": JobStatus.LEASED, "lease_until": 30.0}, True, False),
    (Action.CREATE, {"attempt": 1, "status": JobStatus.LEASED, "lease_until": -1.0}, False, False),
    (Action.UPDATE, {"attempt": 1, "status": JobStatus.LEASED, "lease_until": 30.0}, True, False),
    (Action.DELETE, {}, False, False),
    (Action.DELETE, {"attempt": 1}, True, True),
    (Action.DELETE, {"attempt": 1, "status": JobStatus.LEASED, "lease_until": -1.0}, True, True),
])
def test_which_jobs_go_on_when_something_else_is_wanted(rows, action, columns, goes_on, offered):
    if "lease_until" in columns:
        columns = {**columns, "lease_until": rows.clock.time() + columns["lease_until"]}
    rows.add_node("a")
    rows.add_job("j", "a", action=action, **columns)
    with rows.transaction() as tx, locked(tx, STACK) as traversal:
        assert withdraw_jobs(traversal) == ({"a"} if goes_on else set())
    with rows.transaction() as tx:
        row = job_row(tx, "j")
    assert (row.status is not JobStatus.CANCELLED) is goes_on
    assert (row.available_at is not None) is offered
    assert rows.due(JOB_LEASE) == ({"j": pytest.approx(30.0)} if goes_on and not offered else {})


@pytest.mark.parametrize(("action", "attempt", "swept", "doubtful"), [
    (Action.CREATE, 0, False, False), (Action.CREATE, 1, True, False),
    (Action.UPDATE, 0, False, False), (Action.UPDATE, 1, False, True), (Action.DELETE, 1, False, False)])
def test_what_a_worker_may_have_begun_of_a_cancelled_job_is_doubtful(rows, action, attempt, swept, doubtful):
    rows.add_node("a")
    rows.add_job("j", "a", action=action, attempt=attempt)
    with rows.transaction() as tx, locked(tx, STACK) as traversal:
        cancel_job(traversal, job_row(tx, "j"))
    assert bool(rows.due(MARKER_SWEEP)) is swept
    with rows.transaction() as tx:
        assert node_row(tx, "a").doubtful is doubtful


def test_sweeps_and_jobs_that_have_ended_are_not_among_the_open_ones(rows):
    rows.add_node("a")
    rows.add_job("open", "a")
    rows.add_job("leased", "a", status=JobStatus.LEASED)
    rows.add_job("sweep", "a", action=Action.SWEEP)
    for status in (JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELLED):
        rows.add_job(status.value, "a", status=status)
    with rows.transaction() as tx, locked(tx, STACK) as traversal:
        assert [row.job_id for row in open_jobs(traversal)] == ["leased", "open"]
