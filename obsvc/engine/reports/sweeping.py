"""A listing compared with the engine's copies, next to the data: what differs is marked for its owners.

A mark is all that a sweep sets: snapshots are written by owners alone, from fetches of their own, so what a list says
is a hint and never news.  One batch is one transaction, under the generation of the duty's partition and in the run
that began.
"""
from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import sqlalchemy as sa

from obsvc import metrics
from obsvc.engine.database.store import Transaction
from obsvc.engine.observations import selected, watches
from obsvc.engine.observations.judging import gone
from obsvc.engine.observations.records import load_head
from obsvc.engine.ownership import duties
from obsvc.engine.schema import core
from obsvc.engine.schema.duties import duty as duty_table
from obsvc.engine_client.duties import BATCH_MAX, SWEPT, SweepBatch, SweepItem, SweepReply
from obsvc.engine_client.reports import Verdict
from obsvc.exceptions import InvalidInput, NotFound
from obsvc.model import Condition, Ref, Snapshot


class SweptRow(NamedTuple):
    """What of a resource's row a list is compared with."""

    region: str
    resource_type: str
    resource_id: str
    snapshot: str | None
    reported_at: float | None
    mark: int | None

    @property
    def ref(self) -> Ref:
        return Ref(self.region, self.resource_type, self.resource_id)

    def newer_than(self, listed_at: float) -> bool:
        """Whether a report came in after the list was asked for."""
        return self.reported_at is not None and self.reported_at >= listed_at


_COLUMNS = [core.resource.c[name] for name in SweptRow._fields]


def differs(item: SweepItem, known: Snapshot) -> bool:
    """Whether a list's entry shows another state than our copy.  Pure."""
    if item.gone or gone(known):
        return item.gone != gone(known)
    if item.status != known.status:
        return True
    return None not in (item.updated_at, known.updated_at) and item.updated_at != known.updated_at


def sweep(tx: Transaction, request: SweepBatch) -> SweepReply:
    """Compare one batch; mark what differs.

    At most BATCH_MAX refs of a batch are marked as absent: a list that suddenly lacks more is likelier to be at fault
    than right, and what is truly gone comes with the next full list.
    """
    if len(request.items) > BATCH_MAX:
        raise InvalidInput(f"expected at most {BATCH_MAX} items in a batch, got {len(request.items)}")
    region = tx.execute(
        sa.select(duty_table.c.region).where(duty_table.c.name == request.name)
    ).scalar_one_or_none()
    if region is None:
        raise NotFound(f"no duty {request.name!r}")
    compared, changed = _changed(tx, region, request)
    absent = _absent(tx, region, request) if request.whole else {}
    new = selected.unobserved_in_list(tx, region, request)
    row, leads = duties.lead(tx, request, watches.partitions_of(tx, {*changed, *absent, *new}))
    if not leads:
        return SweepReply(Verdict.STALE_GENERATION)
    if row.run_id != request.run_id or row.running_since is None:
        return SweepReply(Verdict.SUPERSEDED)
    # Again under the locks: a report may have come in between.  What differs only now waits for the next sweep.
    if changed:
        _, now = _changed(tx, region, request, only={ref.resource_id for ref in changed})
        changed = {ref: waits for ref, waits in now.items() if ref in changed}
    if absent:
        now = _absent(tx, region, request)
        absent = {ref: waits for ref, waits in now.items() if ref in absent}
    to_mark = sorted(ref for ref, waits in {**changed, **absent}.items() if not waits)
    marked = sum(number is not None for number in watches.mark(tx, to_mark, SWEPT)) if to_mark else 0
    admitted = selected.admit(tx, new)
    if request.cursor is not None:
        tx.execute(sa.update(duty_table).where(duty_table.c.name == request.name).values(cursor_text=request.cursor))
    tx.after_commit(lambda: _count(request.resource_type, len(changed), len(absent), marked))
    return SweepReply(Verdict.ACCEPTED, compared, len(changed), len(absent), marked, admitted)


def _changed(
    tx: Transaction, region: str, request: SweepBatch, *, only: Collection[str] | None = None
) -> tuple[int, dict[Ref, bool]]:
    """``(compared, changed)``: how many of the items are observed, and of those that differ whether a mark waits.

    What was reported after its page was asked for is as new as the list; what was never reported has its first look
    before it.
    """
    items = {item.resource_id: item for item in request.items if only is None or item.resource_id in only}
    keys = [core.ref_key(Ref(region, request.resource_type, resource_id)) for resource_id in items]
    if not keys:
        return 0, {}
    query = sa.select(*_COLUMNS).where(core.resource.c.ref_key.in_(keys))
    rows = [SweptRow._make(row) for row in tx.execute(query)]
    changed = {}
    for row in rows:
        item, known = items[row.resource_id], load_head(row.snapshot)
        if known is not None and not row.newer_than(item.listed_at) and differs(item, known):
            changed[row.ref] = row.mark is not None
    return len(rows), changed


def _absent(tx: Transaction, region: str, request: SweepBatch) -> dict[Ref, bool]:
    """Observed refs within the batch's range that the list does not have, and whether a mark waits."""
    table = core.resource
    query = (
        sa.select(*_COLUMNS)
        .where(
            table.c.region == region, table.c.resource_type == request.resource_type,
            table.c.resource_id.not_in([item.resource_id for item in request.items]),
            table.c.condition != Condition.DELETED.value, table.c.snapshot.is_not(None),
            table.c.started_at < request.listed_at,
        )
        .order_by(table.c.resource_id).limit(BATCH_MAX)
    )
    if request.after is not None:
        query = query.where(table.c.resource_id > request.after)
    if request.upto is not None:
        query = query.where(table.c.resource_id <= request.upto)
    absent = {}
    for row in map(SweptRow._make, tx.execute(query)):
        known = load_head(row.snapshot)
        if known is not None and not gone(known) and not row.newer_than(request.listed_at):
            absent[row.ref] = row.mark is not None
    return absent


def _count(resource_type: str, changed: int, absent: int, marked: int) -> None:
    for what, count in (("changed", changed), ("absent", absent)):
        if count:
            metrics.SWEEP_FOUND.labels(resource_type=resource_type, what=what).inc(count)
    if marked:
        metrics.MARKS.labels(reason=SWEPT).inc(marked)
