"""Edges between the nodes of a stack: who requires whom.

An edge is *wanted* while the goal has it: what is created or changed waits for it.  It is *actual* once its node was
made or changed with it: what is deleted waits for it, whatever the goal says now.  The stack's row is locked.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import sqlalchemy as sa

from obsvc.engine.database.rows import chunks
from obsvc.engine.database.store import Transaction
from obsvc.engine.schema.stacks import edge, node
from obsvc.engine.stacks.rows import from_json
from obsvc.engine.templates.functions import Facts


def required_facts(tx: Transaction, node_ids: Sequence[str]) -> dict[str, dict[str, Facts]]:
    """For each of these nodes what is known of those that it requires, by name."""
    facts: dict[str, dict[str, Facts]] = {node_id: {} for node_id in node_ids}
    for chunk in chunks(node_ids):
        required = tx.execute(
            sa.select(edge.c.node_id, node.c.name, node.c.resource_id, node.c.attributes)
            .join(node, edge.c.requires == node.c.node_id)
            .where(edge.c.node_id.in_(chunk), edge.c.wanted.is_(True))
        )
        for row in required:
            facts[row.node_id][row.name] = Facts(row.resource_id, from_json(row.attributes))
    return facts


def dependents(tx: Transaction, node_ids: Sequence[str]) -> Counter[str]:
    """The nodes that are to be created or changed after these: of each, how many of these it requires."""
    waiting: Counter[str] = Counter()
    for chunk in chunks(node_ids):
        waiting.update(tx.execute(
            sa.select(edge.c.node_id).where(edge.c.requires.in_(chunk), edge.c.wanted.is_(True))).scalars())
    return waiting


def requirements(tx: Transaction, node_ids: Sequence[str]) -> Counter[str]:
    """The nodes that are to be deleted after these: of each, how many of these were made with it."""
    waiting: Counter[str] = Counter()
    for chunk in chunks(node_ids):
        waiting.update(tx.execute(
            sa.select(edge.c.requires).where(edge.c.node_id.in_(chunk), edge.c.actual.is_(True))).scalars())
    return waiting


def make_actual(tx: Transaction, node_ids: Sequence[str]) -> None:
    """These nodes are made or changed now, with what the goal wants of them."""
    for chunk in chunks(node_ids):
        tx.execute(sa.update(edge).where(edge.c.node_id.in_(chunk), edge.c.wanted.is_(True)).values(actual=True))


def drop_unwanted(tx: Transaction, node_ids: Sequence[str]) -> None:
    """These nodes are as the goal has them: they use nothing else any more."""
    for chunk in chunks(node_ids):
        tx.execute(sa.delete(edge).where(edge.c.node_id.in_(chunk), edge.c.wanted.is_(False)))


def hand_over(tx: Transaction, old: str, new: str) -> None:
    """What the goal says of the old copy is about the new one; what the old was made with stays its own."""
    of_old = (edge.c.node_id == old) | (edge.c.requires == old)
    wanted = tx.execute(sa.select(edge.c.node_id, edge.c.requires).where(of_old, edge.c.wanted.is_(True))).all()
    tx.execute(sa.delete(edge).where(of_old, edge.c.wanted.is_(True), edge.c.actual.is_(False)))
    tx.execute(sa.update(edge).where(of_old).values(wanted=False))
    if wanted:
        tx.execute(sa.insert(edge), [
            {"node_id": new, "requires": row.requires, "wanted": True, "actual": True}
            if row.node_id == old else {"node_id": row.node_id, "requires": new, "wanted": True, "actual": False}
            for row in wanted
        ])


def write_goal_edges(tx: Transaction, stack_id: str, wanted: Iterable[tuple[str, str]]) -> None:
    """``wanted``, pairs of (node id, id that it requires), are the goal's from now on.

    They stand beside what the copies were made with.
    """
    of_stack = edge.c.node_id.in_(sa.select(node.c.node_id).where(node.c.stack_id == stack_id))
    tx.execute(sa.delete(edge).where(of_stack, edge.c.actual.is_(False)))
    tx.execute(sa.update(edge).where(of_stack).values(wanted=False))
    stored = {(row.node_id, row.requires) for row in tx.execute(
        sa.select(edge.c.node_id, edge.c.requires).where(of_stack))}
    again: list[Mapping[str, object]] = []
    new: list[Mapping[str, object]] = []
    for node_id, required in wanted:
        if (node_id, required) in stored:
            again.append({"dependent": node_id, "required": required})
        else:
            new.append({"node_id": node_id, "requires": required, "wanted": True, "actual": False})
    if again:
        tx.execute(sa.update(edge).where(
            edge.c.node_id == sa.bindparam("dependent"), edge.c.requires == sa.bindparam("required"),
        ).values(wanted=True), again)
    if new:
        tx.execute(sa.insert(edge), new)
