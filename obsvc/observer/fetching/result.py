"""What came of one request for one ref: the value between the fetcher and the policy of looks."""
from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from obsvc.model import Ref, Snapshot


class FetchOutcome(enum.StrEnum):
    FOUND = "found"  #: the service answered with the resource: there is a snapshot
    ABSENT = "absent"  #: the service answered 404
    FAILED = "failed"  #: anything else (401, 403, 429, 5xx, no answer, a body that can't be read): says nothing
    UNSUPPORTED = "unsupported"  #: the catalogue knows no way to fetch this type


@dataclass(frozen=True, slots=True)
class FetchResult:
    """One fetch.

    began_at: monotonic seconds just before the request was sent.
    fetched_at: the same in seconds since the epoch.
    order: the snapshot's place among the resource's changes (:func:`obsvc.catalog.payloads.order_of`), None where it
        tells none.
    retry_after: seconds that the service asked to be left alone for.
    error: for a log and an operator.
    reason: a short stable word for it (``timeout``, ``http_503``, ``unreachable`` …).
    """

    ref: Ref
    outcome: FetchOutcome
    began_at: float
    fetched_at: float = 0.0
    snapshot: Snapshot | None = None
    order: float | None = None
    retry_after: float | None = None
    error: str | None = None
    reason: str | None = None
    request_id: str | None = None

    def of(self, ref: Ref) -> FetchResult:
        """The same of another ref that shared the request."""
        return replace(self, ref=ref)
