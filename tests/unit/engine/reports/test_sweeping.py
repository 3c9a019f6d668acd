"""When an entry of a listing shows another state than the engine's copy."""
from __future__ import annotations

import pytest

from obsvc.engine.reports import sweeping
from obsvc.engine.reports.sweeping import SweptRow, differs
from obsvc.engine_client.duties import BATCH_MAX, SweepBatch, SweepItem
from obsvc.exceptions import InvalidInput, NotFound
from obsvc.model import Condition, Generation, MemberId, Snapshot
from tests.support.engine_store import new_store

KNOWN = Snapshot(exists=True, condition=Condition.ACTIVE, status="ACTIVE", updated_at="2026-01-01T00:00:00Z")
GONE = Snapshot(exists=False, condition=Condition.DELETED)


def item(status: str | None = "ACTIVE", updated_at: str | None = KNOWN.updated_at, *, gone: bool = False) -> SweepItem:
    return SweepItem("i", status, updated_at, gone, 0.0)


@pytest.mark.parametrize("listed, known, expected", [
    (item(), KNOWN, False),
    (item("ERROR"), KNOWN, True),
    (item(updated_at="2026-01-02T00:00:00Z"), KNOWN, True),
    (item(updated_at=None), KNOWN, False),
    (item(gone=True), KNOWN, True),
    (item(gone=True), GONE, False),
    (item(), GONE, True),
])
def test_a_list_differs_by_status_time_of_change_or_existence(listed, known, expected):
    assert differs(listed, known) is expected


@pytest.mark.parametrize("reported_at, newer", [(None, False), (9.0, False), (10.0, True), (11.0, True)])
def test_a_report_is_newer_than_a_list_that_was_asked_for_before_it(reported_at, newer):
    assert SweptRow("R", "t", "i", None, reported_at, None).newer_than(10.0) is newer


def batch(**fields) -> SweepBatch:
    return SweepBatch(MemberId("a", "1"), "sweep/R/nova", Generation(1), "run", "compute.server",
                      **{"items": (), "listed_at": 0.0, **fields})


def test_a_batch_has_its_bound_and_its_duty():
    store = new_store()
    with pytest.raises(InvalidInput, match="at most"):
        store.run(lambda tx: sweeping.sweep(tx, batch(items=(item(),) * (BATCH_MAX + 1))))
    with pytest.raises(NotFound, match="no duty"):
        store.run(lambda tx: sweeping.sweep(tx, batch()))
