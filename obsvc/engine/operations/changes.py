"""The changes feed."""
from __future__ import annotations

from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from obsvc.engine.database.rows import ref_of
from obsvc.engine.database.store import Store, Transaction
from obsvc.engine.database.waiters import Waiters
from obsvc.engine.observations.labels import with_label
from obsvc.engine.operations.limits import check_page
from obsvc.engine.schema import core
from obsvc.engine_client.observations import ChangesPage, ChangesRequest, Delta, GoalProgress
from obsvc.exceptions import FeedTruncated
from obsvc.model import Condition, Generation, Version

#: Pages that are searched for a label in one answer.
LABEL_PAGES = 20

_names = msgspec.json.Decoder(tuple[str, ...]).decode


class FeedRow(NamedTuple):
    """The one row of ``feed``, in the table's order."""

    id: int
    version: int
    pruned_version: int


class DeltaRow(NamedTuple):
    """A whole row of ``delta``, in the table's order."""

    version: int
    at: float
    region: str
    resource_type: str
    resource_id: str
    condition: str
    before_condition: str
    standing: str
    status: str | None
    before_status: str | None
    settled: bool
    changed: str
    project_id: str | None
    stack_id: str | None
    member: str | None
    generation: Generation | None
    cause: str | None
    fetched_at: float | None


class ChangeOperations:
    """Safe from any thread."""

    def __init__(self, store: Store, waiters: Waiters) -> None:
        self._store = store
        self._waiters = waiters

    def changes(self, request: ChangesRequest) -> ChangesPage:
        """FeedTruncated where deltas after ``since`` are no longer kept, or never were."""
        check_page(request.limit)
        since = self._store.read(Transaction.feed_version) if request.since is None else request.since

        def check() -> ChangesPage | None:
            nonlocal since
            for _ in range(LABEL_PAGES):
                before = since
                page = self._page(request, since)
                since = page.next
                if page.deltas or request.label is None or since == before:
                    return page if page.deltas else None
            return page

        return self._waiters.wait({"feed"}, check, request.wait) or ChangesPage((), Version(since))

    def _page(self, request: ChangesRequest, since: int) -> ChangesPage:
        return self._store.read(lambda tx: read_page(tx, request, since))


def read_page(tx: Transaction, request: ChangesRequest, since: int) -> ChangesPage:
    """The deltas after ``since`` that the request asks for; FeedTruncated where some of them are forgotten."""
    feed = FeedRow._make(tx.execute(sa.select(core.feed)).one())
    if not feed.pruned_version <= since <= feed.version:
        raise _truncated(feed, since)
    table = core.delta
    query = sa.select(table).where(table.c.version > since, table.c.version <= feed.version)
    for name in ("resource_type", "resource_id", "project_id", "stack_id"):
        value = getattr(request, name)
        if value is not None:
            query = query.where(table.c[name] == value)
    rows = [DeltaRow._make(row) for row in tx.execute(query.order_by(table.c.version).limit(request.limit))]
    # each statement sees its own moment: what was forgotten between the two must not be passed over in silence
    if tx.execute(sa.select(core.feed.c.pruned_version)).scalar_one() > since:
        raise _truncated(feed, since)
    following = rows[-1].version if len(rows) == request.limit else feed.version
    if request.label is not None:
        keys = [core.ref_key(ref_of(row)) for row in rows]
        kept = with_label(tx, sorted(set(keys)), request.label, request.labelled_by)
        rows = [row for key, row in zip(keys, rows, strict=True) if key in kept]
    return ChangesPage(tuple(_delta(row) for row in rows), Version(following))


def _truncated(feed: FeedRow, since: int) -> FeedTruncated:
    return FeedTruncated(
        f"expected a version from {feed.pruned_version} to {feed.version}, got {since}: read the resources again, "
        "then follow from the newest version"
    )


def _delta(row: DeltaRow) -> Delta:
    return Delta(
        version=Version(row.version), at=row.at, ref=ref_of(row), condition=Condition(row.condition),
        before_condition=Condition(row.before_condition), standing=GoalProgress(row.standing), status=row.status,
        before_status=row.before_status, settled=row.settled, changed=_names(row.changed), project_id=row.project_id,
        stack_id=row.stack_id, member=row.member, generation=row.generation, cause=row.cause,
        fetched_at=row.fetched_at,
    )
