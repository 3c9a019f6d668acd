"""Rows as values: what they take over from the tables, and what they say of a node or a job."""
from __future__ import annotations

import pytest
import sqlalchemy as sa

from obsvc.engine.schema import stacks as tables
from obsvc.engine.schema.stacks import JobStatus, Phase
from obsvc.engine.stacks.rows import (
    JobRow,
    NodeRow,
    StackRow,
    from_json,
    job_row,
    node_row,
    parameters_of,
    stack_row,
)
from obsvc.engine_client.jobs import Action
from obsvc.engine_client.stacks import NodeStatus, StackAction, StackStatus
from obsvc.model import Condition, Ref
from tests.support.stack_rows import STACK


@pytest.mark.parametrize(("row", "table"), [
    (StackRow, tables.stack), (NodeRow, tables.node), (JobRow, tables.job)])
def test_a_row_has_its_tables_columns_in_their_order(row, table):
    assert row._fields == tuple(table.c.keys())


def test_words_come_back_as_members_of_their_enums(rows):
    rows.add_node("a")
    rows.add_job("j", "a", action=Action.UPDATE)
    with rows.transaction() as tx:
        stack, node, job = stack_row(tx, STACK), node_row(tx, "a"), job_row(tx, "j", lock=True)
    assert stack.status is StackStatus.CREATE_IN_PROGRESS and stack.action is StackAction.CREATE
    assert stack.phase is Phase.FORWARD
    assert node.status is NodeStatus.WAITING and node.action is Action.CREATE
    assert job.status is JobStatus.READY and job.action is Action.UPDATE


def test_words_are_stored_as_text_and_others_are_refused(rows):
    rows.add_node("a")
    with rows.transaction() as tx:
        text = sa.text("select status from node")
        assert tx.execute(text).scalar_one() == "waiting"
        tx.execute(sa.text("update node set status = 'gone'"))
        with pytest.raises(ValueError, match="gone"):
            node_row(tx, "a")
    with pytest.raises(sa.exc.StatementError, match="asleep"):
        rows.add_node("b", status="asleep")


def test_what_is_not_there_is_none(rows):
    with rows.transaction() as tx:
        assert (stack_row(tx, "x"), node_row(tx, "x"), job_row(tx, "x")) == (None, None, None)


def test_a_node_has_a_ref_once_its_resource_is_known_whole(rows):
    rows.add_node("a", region="R", resource_type="t", resource_id="1")
    rows.add_node("b", region="R", resource_type="t")
    with rows.transaction() as tx:
        assert node_row(tx, "a").ref == Ref("R", "t", "1") and node_row(tx, "b").ref is None


@pytest.mark.parametrize(("action", "status", "wanted", "deleted_by_the_cloud"), [
    (Action.CREATE, NodeStatus.OBSERVING, Condition.ACTIVE, False),
    (Action.UPDATE, NodeStatus.OBSERVING, Condition.ACTIVE, False),
    (Action.DELETE, NodeStatus.SCHEDULED, Condition.DELETED, False),
    (Action.DELETE, NodeStatus.OBSERVING, Condition.DELETED, True),
])
def test_what_a_node_waits_for(rows, action, status, wanted, deleted_by_the_cloud):
    rows.add_node("a", action=action, status=status)
    with rows.transaction() as tx:
        node = node_row(tx, "a")
    assert node.wanted_condition is wanted and node.deletion_under_way is deleted_by_the_cloud


@pytest.mark.parametrize(("status", "lease_until", "is_open", "leased"), [
    (JobStatus.READY, None, True, False), (JobStatus.READY, 100.0, True, False),
    (JobStatus.LEASED, 100.0, True, True), (JobStatus.LEASED, 99.0, True, False),
    (JobStatus.DONE, 100.0, False, False), (JobStatus.FAILED, None, False, False),
    (JobStatus.CANCELLED, 100.0, False, False),
])
def test_which_jobs_are_open_and_leased(rows, status, lease_until, is_open, leased):
    rows.add_node("a")
    rows.add_job("j", "a", status=status, lease_until=lease_until)
    with rows.transaction() as tx:
        job = job_row(tx, "j")
    assert (job.is_open, job.leased_at(99.0)) == (is_open, leased)


def test_the_parameters_have_the_pseudo_parameters_beside_them(rows):
    rows.add_stack("s", parameters='{"size": 3}', project_id="p")
    with rows.transaction() as tx:
        stack = stack_row(tx, "s")
    pseudo = {"OS::stack_name": "s", "OS::stack_id": "s", "OS::project_id": "p"}
    assert parameters_of(stack) == {"size": 3, **pseudo}
    assert parameters_of(stack, {"size": 4}) == {"size": 4, **pseudo}


def test_no_text_is_an_empty_object():
    assert from_json(None) == from_json("") == {} and from_json('{"a": [1]}') == {"a": [1]}
