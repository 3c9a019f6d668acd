"""Members that an operator has drained for maintenance, by name: kept until undrained, over restarts.

The engine only remembers and tells: the member reads it in the answer to its beats, leaves the group, and hands over
what the others then ask for.  So what the others compute follows from the group alone, as with every other change.
Functions belong to the thread of their Transaction.
"""
from __future__ import annotations

import logging

import sqlalchemy as sa

from obsvc.engine.database.store import Transaction
from obsvc.engine.schema import core
from obsvc.engine_client.ownership import DrainReply, DrainRequest
from obsvc.exceptions import NotFound

LOG = logging.getLogger(__name__)


def is_drained(tx: Transaction, name: str) -> bool:
    table = core.member_drain
    return tx.execute(sa.select(table.c.name).where(table.c.name == name)).first() is not None


def drained_since(tx: Transaction) -> dict[str, float]:
    """When each drained name was drained, seconds since the epoch."""
    return {row.name: row.since for row in tx.execute(sa.select(core.member_drain))}


def set_drained(tx: Transaction, request: DrainRequest) -> DrainReply:
    """Drain or undrain a name; no effect where it is so already.  NotFound for a name that no member has or had."""
    table = core.member_drain
    row = tx.execute(sa.select(table).where(table.c.name == request.name)).one_or_none()
    if row is None and request.name not in _known(tx):
        raise NotFound(f"no member {request.name!r}: expected one of {', '.join(_known(tx)) or 'none yet'}")
    if not request.drained:
        if row is not None:
            tx.execute(sa.delete(table).where(table.c.name == request.name))
            tx.after_commit(lambda: LOG.info("member %s is drained no more", request.name))
        return DrainReply(request.name, None)
    if row is not None:
        return DrainReply(request.name, row.since)
    tx.execute(sa.insert(table).values(name=request.name, since=tx.now))
    tx.after_commit(lambda: LOG.info("member %s is drained: it is to hand over what it has", request.name))
    return DrainReply(request.name, tx.now)


def _known(tx: Transaction) -> list[str]:
    return list(tx.execute(sa.select(core.member.c.name).distinct().order_by(core.member.c.name)).scalars())
