"""Reports, and the look marks that ask for them."""
from __future__ import annotations

from obsvc import metrics
from obsvc.engine.database.store import Store
from obsvc.engine.observations import watches
from obsvc.engine.reports import reporting
from obsvc.engine_client import reports


class ReportOperations:
    """Safe from any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def report(self, request: reports.ReportRequest) -> reports.ReportReply:
        if not request.reports:
            return reports.ReportReply(())
        return self._store.run(lambda tx: reporting.write_reports(tx, request))

    def mark(self, request: reports.MarkRequest) -> reports.MarkReply:
        marks = self._store.run(lambda tx: watches.mark(tx, request.refs, request.reason))
        metrics.MARKS.labels(reason=request.reason[:32]).inc(sum(number is not None for number in marks))
        return reports.MarkReply(tuple(marks))
