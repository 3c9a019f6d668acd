"""Messages that could not be read: the newest are kept and listed, and it is noted when one could be
read after all.

Functions belong to the thread of their Transaction.  A letter's body is redacted by the member that buries it; the
engine never looks into it.
"""
from __future__ import annotations

import msgspec
import sqlalchemy as sa

from obsvc.engine.database.store import Transaction
from obsvc.engine.observations import watches
from obsvc.engine.schema import core
from obsvc.engine_client import reports
from obsvc.exceptions import InvalidInput, NotFound

#: Dead letters kept, the newest of them: with bodies at most 64 MB.
KEPT = 1000

#: Longest excerpt kept of one, characters.
EXCERPT_MAX = 8192

#: Refs that one letter may mark: a bulk request's (see ``listeners.decode.MAX_REFS``).
REFS_MAX = 1000

_table = core.dead_letter
_listed = [column for column in _table.c if column.name != "body"]


def bury(tx: Transaction, letters: tuple[reports.DeadLetter, ...]) -> None:
    """Store ``letters``; the oldest beyond KEPT are forgotten."""
    rows = []
    for letter in letters:
        row = msgspec.structs.asdict(letter)
        del row["letter_id"]
        row |= {name: row[name][:255] for name in ("bus", "reason", "member")}
        row |= {name: row[name] and row[name][:255] for name in ("region", "exchange")}
        row |= {"detail": letter.detail[:EXCERPT_MAX], "excerpt": letter.excerpt[:EXCERPT_MAX], "replayed_at": None}
        row["body"] = letter.body if 0 < len(letter.body) <= reports.DEAD_LETTER_BODY_MAX else None
        rows.append(row)
    tx.execute(sa.insert(_table), rows)
    newest = tx.execute(sa.select(sa.func.max(_table.c.letter_id))).scalar_one()
    tx.execute(sa.delete(_table).where(_table.c.letter_id <= newest - KEPT))


def page(tx: Transaction, request: reports.DeadLettersRequest) -> reports.DeadLettersPage:
    """Newest first, without their bodies; ``before``: the letter_id that the page before ended with."""
    if not 1 <= request.limit <= KEPT:
        raise InvalidInput(f"expected a limit of 1 to {KEPT}, got {request.limit}")
    query = sa.select(*_listed).order_by(_table.c.letter_id.desc()).limit(request.limit)
    if request.before is not None:
        query = query.where(_table.c.letter_id < request.before)
    return reports.DeadLettersPage(tuple(reports.DeadLetter(**row._mapping) for row in tx.execute(query)))


def read(tx: Transaction, letter_id: int) -> reports.DeadLetter:
    """The whole letter; NotFound for none."""
    row = tx.execute(sa.select(_table).where(_table.c.letter_id == letter_id)).one_or_none()
    if row is None:
        raise _missing(letter_id)
    return reports.DeadLetter(**{**row._mapping, "body": row.body or ""})


def replayed(tx: Transaction, request: reports.ReplayRequest) -> reports.ReplayReply:
    """Mark what the letter names and note that it was read, in one transaction.  Partitions are locked first."""
    if len(request.refs) > REFS_MAX:
        raise InvalidInput(f"expected at most {REFS_MAX} refs of one letter, got {len(request.refs)}")
    marks = watches.mark(tx, request.refs, "replay") if request.refs else []
    noted = tx.execute(
        sa.update(_table).where(_table.c.letter_id == request.letter_id).values(replayed_at=tx.now)
    )
    if not noted.rowcount:
        raise _missing(request.letter_id)
    return reports.ReplayReply(tuple(marks), tx.now)


def _missing(letter_id: int) -> NotFound:
    return NotFound(f"no dead letter {letter_id}: the newest {KEPT} are kept; list those there are")
