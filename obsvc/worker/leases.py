"""The leases that a worker holds: their local deadlines, and when to renew them.

A lease's deadline is counted by the monotonic clock from *before* the request that took or renewed it was sent, so
it never ends later here than at the engine.  Any thread may call.
"""
from __future__ import annotations

import threading
from dataclasses import dataclass

from obsvc.engine_client.jobs import Job
from obsvc.process.clock import Clock

#: A lease is renewed when this part of it is over: two renewals may fail before it lapses.
RENEW_AT = 1 / 3


@dataclass
class _Lease:
    job: Job
    renewed_at: float
    lost: bool = False


class Leases:
    """Jobs that are leased and not answered yet, by job id."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._leases: dict[str, _Lease] = {}

    def take(self, job: Job, asked_at: float) -> None:
        """``job`` was claimed by a request that was sent at ``asked_at`` (monotonic)."""
        with self._lock:
            self._leases[job.job_id] = _Lease(job, asked_at)

    def renewed(self, job: Job, asked_at: float) -> None:
        """The engine renewed it, asked at ``asked_at``."""
        with self._lock:
            lease = self._of(job)
            if lease is not None:
                lease.renewed_at = max(lease.renewed_at, asked_at)

    def lose(self, job: Job) -> None:
        """The engine says that the lease is another's."""
        with self._lock:
            lease = self._of(job)
            if lease is not None:
                lease.lost = True

    def drop(self, job: Job) -> None:
        """The job was answered, or given up."""
        with self._lock:
            lease = self._of(job)
            if lease is not None:
                del self._leases[job.job_id]

    def holds(self, job: Job) -> bool:
        """Whether the lease is surely still ours: not lost, not lapsed."""
        with self._lock:
            lease = self._of(job)
            return (lease is not None and not lease.lost
                    and self._clock.monotonic() < lease.renewed_at + job.lease_seconds)

    def lost(self, job: Job) -> bool:
        """Whether the engine has said that it is not ours."""
        with self._lock:
            lease = self._of(job)
            return lease is None or lease.lost

    def due(self) -> list[Job]:
        """Jobs whose lease is to be renewed now."""
        now = self._clock.monotonic()
        with self._lock:
            return [lease.job for lease in self._leases.values()
                    if not lease.lost and now >= lease.renewed_at + lease.job.lease_seconds * RENEW_AT]

    def _of(self, job: Job) -> _Lease | None:
        """The very lease that ``job`` was claimed under; None once it is dropped, or claimed anew."""
        lease = self._leases.get(job.job_id)
        return lease if lease is not None and lease.job.lease_token == job.lease_token else None

    def __len__(self) -> int:
        with self._lock:
            return len(self._leases)
