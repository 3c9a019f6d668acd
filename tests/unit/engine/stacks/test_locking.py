"""A locked stack saves itself at the end of the block, and rolls back where its owner wants that."""
from __future__ import annotations

import pytest
import sqlalchemy as sa

from obsvc.engine.schema.stacks import stack_event
from obsvc.engine.stacks.locking import locked, locked_all, locked_if_exists
from obsvc.engine.stacks.rows import stack_row
from obsvc.engine_client.stacks import StackStatus
from obsvc.exceptions import NotFound
from tests.support.stack_rows import STACK


def events(rows, stack_id=STACK):
    with rows.transaction() as tx:
        return [(row.event_id, row.event) for row in tx.execute(
            sa.select(stack_event).where(stack_event.c.stack_id == stack_id).order_by(stack_event.c.event_id))]


def read(rows, stack_id=STACK):
    with rows.transaction() as tx:
        return stack_row(tx, stack_id)


def test_what_was_set_and_said_is_written_when_the_block_ends(rows):
    rows.clock.advance(5)
    with rows.transaction() as tx, locked(tx, STACK) as traversal:
        traversal.event("one")
        traversal.event("two")
        traversal.set(total=3)
        assert traversal.row.total == 3
        assert stack_row(tx, STACK).total == 0
    assert events(rows) == [(1, "one"), (2, "two")]
    row = read(rows)
    assert (row.total, row.last_event_id, row.updated_at) == (3, 2, rows.clock.time())
    with rows.transaction() as tx, locked(tx, STACK) as traversal:
        traversal.event("three")
    assert events(rows)[-1] == (3, "three")


def test_a_stack_that_nothing_was_done_to_is_not_written(rows):
    before = read(rows)
    rows.clock.advance(5)
    with rows.transaction() as tx, locked(tx, STACK):
        pass
    assert read(rows) == before and not tx.touched


def test_leaving_the_block_early_saves_as_well(rows):
    def work(tx):
        with locked(tx, STACK) as traversal:
            traversal.event("one")
            return
    rows.store.run(work)
    assert events(rows) == [(1, "one")]


def test_a_block_that_raises_writes_nothing(rows):
    with pytest.raises(ZeroDivisionError), rows.transaction() as tx, locked(tx, STACK) as traversal:
        traversal.event("one")
        raise ZeroDivisionError
    assert events(rows) == []


def test_a_stack_that_is_not_there(rows):
    with rows.transaction() as tx:
        with locked_if_exists(tx, "x") as traversal:
            assert traversal is None
        with pytest.raises(NotFound, match="'?x'?"), locked(tx, "x"):
            raise AssertionError("there is nothing to lock")
        with locked_all(tx, []) as none:
            assert none == []


def test_several_are_locked_in_ascending_order_and_each_is_saved(rows):
    rows.add_stack("stack-0")
    with rows.transaction() as tx, locked_all(tx, [STACK, "x", "stack-0"]) as traversals:
        assert [traversal.stack_id for traversal in traversals] == ["stack-0", STACK]
        for traversal in traversals:
            traversal.event("one")
    assert events(rows) == events(rows, "stack-0") == [(1, "one")]


@pytest.mark.parametrize(("disable_rollback", "status"), [
    (True, StackStatus.CREATE_FAILED), (False, StackStatus.ROLLBACK_COMPLETE)])
def test_a_creation_that_fails_rolls_back_where_that_is_wanted(rows, disable_rollback, status):
    rows.add_stack("s", disable_rollback=disable_rollback)
    with rows.transaction() as tx, locked(tx, "s") as traversal:
        traversal.fail("no quota")
    assert read(rows, "s").status is status
    assert (2, "stack.rollback.start") in events(rows, "s") or disable_rollback


def test_one_that_was_cancelled_stays_where_it_is(rows):
    rows.add_stack("s", disable_rollback=False)
    with rows.transaction() as tx, locked(tx, "s") as traversal:
        traversal.fail("cancelled")
        traversal.may_roll_back = False
    assert read(rows, "s").status is StackStatus.CREATE_FAILED
