"""What workers ask of the engine: jobs with leases."""
from __future__ import annotations

from obsvc.engine.database.store import Store
from obsvc.engine.database.waiters import Waiters
from obsvc.engine.jobs import leases, results
from obsvc.engine.jobs import timeouts as _timeouts  # noqa: F401 -- registers the due work of jobs
from obsvc.engine.stacks import marker_sweeps
from obsvc.engine_client import jobs
from obsvc.engine_client.contract import Empty
from obsvc.exceptions import Conflict
from obsvc.process import failpoints

#: Jobs in one answer.
CLAIM_LIMIT = 100


class JobOperations:
    """What workers ask; safe from any thread."""

    def __init__(self, store: Store, waiters: Waiters) -> None:
        self._store = store
        self._waiters = waiters

    def claim_jobs(self, request: jobs.JobClaimRequest) -> jobs.JobClaimReply:
        """Lease jobs; waits up to ``request.wait`` seconds for the first."""
        limit = max(1, min(request.limit, CLAIM_LIMIT))

        def lease() -> tuple[jobs.Job, ...]:
            if not self._store.read(lambda tx: leases.is_open_job(tx, request)):
                return ()
            leased = self._store.run(lambda tx: leases.lease(tx, request, limit))
            failpoints.hit("job.lease.after")
            return leased

        return jobs.JobClaimReply(self._waiters.wait_until({"job"}, lease, bool, request.wait))

    def renew_job(self, request: jobs.JobLease) -> jobs.LeaseReply:
        """Extend the lease; Conflict where it is not (or no longer) this one."""
        return jobs.LeaseReply(self._store.run(lambda tx: leases.extend(tx, request)))

    def confirm_attempt(self, request: jobs.JobLease) -> jobs.LeaseReply:
        """As :meth:`renew_job`: called just before the cloud is told, so that a lapsed worker stops there."""
        return self.renew_job(request)

    def complete_job(self, request: jobs.JobDone) -> Empty:
        """The action was started: record its resource and observe it, in one transaction."""
        failpoints.hit("job.result.before")
        try:
            self._store.run(lambda tx: results.complete(tx, request))
        except Conflict:
            self._store.run(lambda tx: marker_sweeps.sweep_now(tx, request.job_id))
            raise
        failpoints.hit("job.result.after")
        return Empty()

    def replace_job(self, request: jobs.JobReplace) -> Empty:
        """The update can't be made in place: another copy is to take the resource's place."""
        self._store.run(lambda tx: results.replace(tx, request))
        return Empty()

    def fail_job(self, request: jobs.JobFailed) -> Empty:
        """The action could not be started: retry it later, or fail its node."""
        self._store.run(lambda tx: results.fail(tx, request))
        return Empty()
