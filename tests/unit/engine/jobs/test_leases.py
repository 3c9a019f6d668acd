"""Which jobs are open to workers, in which order they are leased, and for how long."""
from __future__ import annotations

import pytest

from obsvc.engine.database import due
from obsvc.engine.jobs import leases
from obsvc.engine.schema.stacks import JobStatus
from obsvc.engine.settings import EngineSettings
from obsvc.engine.stacks.locked_stack import JOB_DEADLINE, JOB_LEASE
from obsvc.engine.stacks.marker_sweeps import MARKER_SWEEP
from obsvc.engine.stacks.rows import job_row
from obsvc.engine_client.jobs import Action, JobClaimRequest, JobLease
from obsvc.exceptions import Conflict, NotFound
from tests.support.stack_rows import StackRows


@pytest.fixture
def rows() -> StackRows:
    rows = StackRows()
    rows.add_stack(region="of the stack", project_id="p")
    rows.add_node("a", applied='{"size": 1}')
    return rows


def claim(rows, *types, limit=10, sweeps=False):
    request = JobClaimRequest("w", types or ("T",), sweeps=sweeps)
    with rows.transaction() as tx:
        is_open = leases.is_open_job(tx, request)
        leased = leases.lease(tx, request, limit)
    assert is_open is bool(leased) or not limit
    return {job.job_id: job for job in leased}


def read(rows, job_id="j"):
    with rows.transaction() as tx:
        return job_row(tx, job_id)


def test_a_lease_names_its_worker_counts_its_attempt_and_says_what_to_do(rows):
    rows.add_job("j", "a", action=Action.UPDATE, properties='{"size": 2}', resource_id="1")
    job = claim(rows)["j"]
    assert (job.action, job.attempt, job.properties, job.before, job.resource_id, job.marker) == (
        Action.UPDATE, 1, {"size": 2}, {"size": 1}, "1", "obsvc:a:1")
    assert (job.region, job.project_id, job.lease_seconds) == ("of the stack", "p", rows.store.settings.job_lease)
    row = read(rows)
    assert (row.status, row.lease_token, row.worker, row.attempt) == (JobStatus.LEASED, job.lease_token, "w", 1)
    assert row.available_at == row.lease_until == rows.clock.time() + job.lease_seconds
    assert rows.due(JOB_LEASE) == {"j": job.lease_seconds}


def test_those_open_longest_come_first_and_no_more_than_asked_for(rows):
    now = rows.clock.time()
    for job_id, since in (("late", 1.0), ("early", 9.0), ("later", 0.5)):
        rows.add_job(job_id, "a", available_at=now - since)
    assert list(claim(rows, limit=2)) == ["early", "late"]
    assert list(claim(rows)) == ["later"]


@pytest.mark.parametrize("columns", [
    {"available_at": None}, {"type": "U"}, {"action": Action.SWEEP},
    {"status": JobStatus.LEASED, "available_at": 1e12}])
def test_what_is_not_open_to_a_worker(rows, columns):
    rows.add_job("j", "a", **columns)
    assert claim(rows) == {} and claim(rows, "V") == {}


def test_a_sweep_is_for_workers_that_know_what_it_is(rows):
    rows.add_job("j", "a", action=Action.SWEEP)
    assert claim(rows, sweeps=True)["j"].action is Action.SWEEP


def test_a_create_offered_again_after_its_lease_has_its_doubles_looked_for(rows):
    rows.add_job("j", "a")
    first = claim(rows)["j"]
    assert rows.due(MARKER_SWEEP) == {}
    rows.clock.advance(first.lease_seconds)
    second = claim(rows)["j"]
    assert (second.attempt, second.marker) == (2, first.marker) and second.lease_token != first.lease_token
    assert rows.due(MARKER_SWEEP) == {"a": rows.store.settings.job_lease}


def test_one_whose_attempts_are_used_up_is_not_leased_but_ended_soon(rows):
    rows.add_job("j", "a", attempt=rows.store.settings.job_attempts)
    with rows.transaction() as tx:
        assert leases.lease(tx, JobClaimRequest("w", ("T",)), 1) == ()
    assert read(rows).available_at is None and rows.due(JOB_LEASE) == {"j": 0.0}


def test_a_deletion_has_more_attempts_than_anything_else():
    settings = EngineSettings(job_attempts=3)
    attempts = {action: leases.attempts_of(settings, action) for action in Action}
    assert attempts == {Action.CREATE: 3, Action.UPDATE: 3, Action.DELETE: 6, Action.SWEEP: 3}


def extend(rows, token, job_id="j"):
    with rows.transaction() as tx:
        return leases.extend(tx, JobLease(job_id, token))


def test_a_lease_is_extended_by_its_holder_alone(rows):
    rows.add_job("j", "a")
    job = claim(rows)["j"]
    rows.clock.advance(5)
    until = extend(rows, job.lease_token)
    assert until == rows.clock.time() + job.lease_seconds
    assert read(rows).lease_until == read(rows).available_at == until
    with pytest.raises(Conflict, match="leased last to w"):
        extend(rows, "another")
    with pytest.raises(NotFound, match="x"):
        extend(rows, job.lease_token, "x")


def test_no_lease_is_extended_beyond_the_time_that_a_node_has(rows):
    rows.add_job("j", "a")
    job = claim(rows)["j"]
    rows.clock.advance(rows.store.settings.node_timeout)
    with pytest.raises(Conflict, match="are over"):
        extend(rows, job.lease_token)


def test_one_that_is_not_to_be_offered_again_is_not_by_an_extension(rows):
    rows.add_job("j", "a", status=JobStatus.LEASED, lease_token="t", lease_until=1.0, available_at=None)
    extend(rows, "t")
    assert read(rows).available_at is None and read(rows).lease_until > rows.clock.time()


def test_a_finished_job_is_nobodys(rows):
    rows.add_job("j", "a")
    claim(rows)
    with rows.transaction() as tx:
        due.schedule(tx, JOB_DEADLINE, "j", 1.0)
        leases.finish(tx, job_row(tx, "j"), JobStatus.FAILED, error="no quota")
    row = read(rows)
    assert (row.status, row.available_at, row.error) == (JobStatus.FAILED, None, "no quota")
    assert rows.due(JOB_LEASE) == rows.due(JOB_DEADLINE) == {}
    assert claim(rows) == {}
