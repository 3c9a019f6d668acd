"""When doubles of a copy are looked for by its marker, and how long its row stays."""
from __future__ import annotations

import pytest
import sqlalchemy as sa

from obsvc.engine.database import due
from obsvc.engine.schema.stacks import JobStatus, job
from obsvc.engine.stacks import marker_sweeps
from obsvc.engine.stacks.marker_sweeps import MARKER_SWEEP
from obsvc.engine.stacks.rows import job_row, job_rows, node_row
from obsvc.engine_client.jobs import Action
from obsvc.engine_client.stacks import NodeStatus
from tests.support.stack_rows import STACK


def run_due(rows) -> None:
    while due.run_due(rows.store):
        pass


def sweeps(rows):
    with rows.transaction() as tx:
        return job_rows(tx, sa.select(job).where(job.c.action == Action.SWEEP))


@pytest.fixture
def suspect(rows):
    """A node whose create was attempted and came to nothing."""
    rows.add_node("a", resource_id="1")
    rows.add_job("create", "a", status=JobStatus.FAILED, available_at=None, attempt=1, properties='{"name": "x"}')
    with rows.transaction() as tx:
        marker_sweeps.sweep_later(tx, "a")
    return rows


def test_a_sweep_is_made_after_a_leases_time_with_what_the_create_was_given(suspect):
    run_due(suspect)
    assert sweeps(suspect) == []
    suspect.clock.advance(suspect.store.settings.job_lease)
    run_due(suspect)
    (sweep,) = sweeps(suspect)
    assert (sweep.status, sweep.properties, sweep.resource_id) == (JobStatus.READY, '{"name": "x"}', "1")


def test_no_sweep_is_made_while_a_create_or_a_sweep_of_the_marker_is_open(suspect):
    suspect.add_job("again", "a")
    for _ in range(3):
        suspect.clock.advance(suspect.store.settings.job_lease)
        run_due(suspect)
    assert sweeps(suspect) == [] and suspect.due(MARKER_SWEEP)
    with suspect.transaction() as tx:
        tx.execute(sa.update(job).where(job.c.job_id == "again").values(status=JobStatus.DONE))
    for _ in range(3):
        suspect.clock.advance(suspect.store.settings.job_lease)
        run_due(suspect)
    assert len(sweeps(suspect)) == 1


def test_of_a_refused_create_doubles_are_looked_for_at_once_of_others_not_at_all(rows):
    rows.add_node("a")
    rows.add_node("b")
    rows.add_job("create", "a")
    rows.add_job("update", "b", action=Action.UPDATE)
    with rows.transaction() as tx:
        for job_id in ("create", "update", "unknown"):
            marker_sweeps.sweep_now(tx, job_id)
    assert rows.due(MARKER_SWEEP) == {"a": 0.0}


def test_the_pauses_grow_until_the_retention_is_over(suspect):
    pauses = []
    while True:
        suspect.add_job("sweep", "a", action=Action.SWEEP, status=JobStatus.LEASED)
        with suspect.transaction() as tx:
            marker_sweeps.sweep_ended(tx, job_row(tx, "sweep"))
        assert sweeps(suspect) == []
        if not suspect.due(MARKER_SWEEP):
            break
        pauses.append(suspect.due(MARKER_SWEEP)["a"])
    settings = suspect.store.settings
    assert pauses[0] == pytest.approx(settings.marker_sweep_pause)
    assert all(after == pytest.approx(2 * before) for before, after in zip(pauses, pauses[1:], strict=False))
    assert pauses[-1] <= settings.retention < 2 * pauses[-1]
    with suspect.transaction() as tx:
        assert node_row(tx, "a").sweeps == len(pauses)


def test_the_row_of_a_suspect_copy_stays_as_a_deleted_one_under_another_name_until_the_last_sweep(suspect):
    suspect.add_node("b")
    suspect.add_edges({("a", "b"): (True, True)})
    with suspect.transaction() as tx:
        marker_sweeps.forget_nodes(tx, ["a", "b"])
    with suspect.transaction() as tx:
        row = node_row(tx, "a")
        assert (row.status, row.obsolete, row.name) == (NodeStatus.DELETED, True, "(gone) a")
        assert node_row(tx, "b") is None
    assert suspect.edges() == {}
    suspect.add_node("a2", name="a")  # its name is free again
    suspect.add_job("sweep", "a", action=Action.SWEEP, status=JobStatus.LEASED)
    suspect.store.settings = type(suspect.store.settings)(retention=0.0)
    with suspect.transaction() as tx:
        marker_sweeps.sweep_ended(tx, job_row(tx, "sweep"))
    with suspect.transaction() as tx:
        assert node_row(tx, "a") is None and node_row(tx, "a2").stack_id == STACK


def test_nothing_to_forget_and_nobody_to_sweep(rows):
    with rows.transaction() as tx:
        marker_sweeps.forget_nodes(tx, [])
        marker_sweeps.sweep_later(tx, "not there any more")
    rows.clock.advance(3600)
    run_due(rows)
    assert sweeps(rows) == [] and rows.due(MARKER_SWEEP) == {}
