"""The one way to change a stack: lock its row, change what is wanted, and leave the block.

At the end of the block everything that was gathered is written (:meth:`.locked_stack.LockedStack.save`), once.  A
creation or update that has failed within it is rolled back first, where its owner wants that.  A block that raises
writes nothing: its transaction is rolled back.

Partition locks come before stack locks: who starts or stops observations in the same transaction does that before the
block.
"""
from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator

import sqlalchemy as sa

from obsvc.engine.database.store import Transaction
from obsvc.engine.schema.stacks import stack
from obsvc.engine.stacks.rollback import start_rollback
from obsvc.engine.stacks.rows import stack_rows
from obsvc.engine.stacks.traversal import Traversal
from obsvc.exceptions import NotFound


@contextlib.contextmanager
def locked(tx: Transaction, stack_id: str) -> Iterator[Traversal]:
    """The stack, locked until the commit and saved when the block ends; NotFound where there is none."""
    with locked_if_exists(tx, stack_id) as traversal:
        if traversal is None:
            raise NotFound(f"expected the id of a stack, got {stack_id}: there is none (any more)")
        yield traversal


@contextlib.contextmanager
def locked_if_exists(tx: Transaction, stack_id: str) -> Iterator[Traversal | None]:
    """As :func:`locked`; None where there is no such stack."""
    with locked_all(tx, [stack_id]) as traversals:
        yield traversals[0] if traversals else None


@contextlib.contextmanager
def locked_all(tx: Transaction, stack_ids: Collection[str]) -> Iterator[list[Traversal]]:
    """These stacks, locked in ascending order; those that do not exist are left out."""
    traversals = _lock(tx, stack_ids) if stack_ids else []
    yield traversals
    for traversal in traversals:
        if traversal.may_roll_back and not traversal.row.disable_rollback:
            traversal.may_roll_back = False
            start_rollback(traversal)
        traversal.save()


def _lock(tx: Transaction, stack_ids: Collection[str]) -> list[Traversal]:
    query = sa.select(stack).where(stack.c.stack_id.in_(sorted(set(stack_ids)))).order_by(stack.c.stack_id)
    return [Traversal(tx, row) for row in stack_rows(tx, query.with_for_update())]
