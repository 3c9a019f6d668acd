"""Claims jobs from the engine and runs them, ``threads`` at once.

One thread claims (a long poll for as many jobs as there are free slots), one renews leases, a pool runs the jobs.
Promises: a create is sent only right after the engine confirmed its attempt, and while the lease surely holds; a
result is sent again until the engine answers or says that the lease is another's; nothing waits for a resource;
after ``stop`` no new job is claimed and those under way are finished, for ``drain_timeout`` seconds.
"""
from __future__ import annotations

import concurrent.futures
import logging
import threading
from collections.abc import Mapping

from obsvc import metrics
from obsvc.engine_client.contract import JobsApi
from obsvc.engine_client.jobs import Job, JobClaimRequest, JobDone, JobFailed, JobLease, JobReplace
from obsvc.exceptions import ObsvcError, Unavailable
from obsvc.process import failpoints
from obsvc.process.backoff import Backoff
from obsvc.process.clock import Clock, SystemClock
from obsvc.process.outage_log import OutageLog
from obsvc.process.threads import Loop
from obsvc.worker import runner
from obsvc.worker.leases import Leases
from obsvc.worker.plugins.contract import BoundedClients, Clients, LeaseLost, Plugin

LOG = logging.getLogger(__name__)

#: Seconds of one long poll for jobs.  Five: a stopping worker waits for the one under way.
CLAIM_WAIT = 5.0
#: Seconds between two attempts at an engine that does not answer, and the longest such pause.
ENGINE_BACKOFF = Backoff(0.2, 5.0, jitter=(1.0, 1.0))
#: Seconds between two looks at which leases are due for renewal.
RENEW_TICK = 0.5


class Worker:
    """The running of jobs; ``start`` it once, ``stop`` it once."""

    def __init__(
        self,
        engine: JobsApi,
        plugins: Mapping[str, Plugin],
        clients: BoundedClients,
        *,
        name: str,
        threads: int = 4,
        drain_timeout: float = 30.0,
        request_timeout: float = 30.0,
        clock: Clock | None = None,
    ) -> None:
        """request_timeout: seconds that a cloud request may take at most; less where a job's lease is short."""
        self.name = name
        self._request_timeout = request_timeout
        self.engine_error: str | None = "the engine was not reached yet"
        self._engine = engine
        self._plugins = dict(plugins)
        self._clients = clients
        self._threads = threads
        self._drain_timeout = drain_timeout
        self._clock = clock or SystemClock()
        self._leases = Leases(self._clock)
        self._slots = threading.Semaphore(threads)
        self._giving_up = threading.Event()
        self._outage = OutageLog(
            LOG, f"worker {name}: no jobs from the engine", back=f"worker {name}: the engine answers"
        )
        self._pool = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="job")
        self._claimer = Loop("claim-jobs", self._claim)
        self._renewer = Loop("renew-leases", self._renew)

    def start(self) -> None:
        LOG.info("worker %s runs %d jobs at once of %s", self.name, self._threads, ", ".join(sorted(self._plugins)))
        self._claimer.start()
        self._renewer.start()

    def stop(self) -> bool:
        """Claim no more, finish what is under way; True when all of it was finished in time."""
        self._claimer.stop()
        deadline = self._clock.monotonic() + self._drain_timeout
        in_time = self._claimer.join(self._drain_timeout)
        for _ in range(self._threads):
            in_time = self._slots.acquire(timeout=max(0.0, deadline - self._clock.monotonic())) and in_time
        self._giving_up.set()
        self._renewer.stop()
        self._pool.shutdown(wait=in_time, cancel_futures=True)
        if not in_time:
            LOG.warning("worker %s: %d jobs unfinished after %.0f s: their leases lapse and they are offered again",
                        self.name, len(self._leases), self._drain_timeout)
        return in_time

    def ready(self) -> str | None:
        """None when the engine answered the last claim, else why not."""
        return self.engine_error

    # threads

    def _claim(self, stop: threading.Event) -> None:
        failures = 0
        while not stop.is_set():
            free = self._take_slots()
            if not free:
                continue
            taken = 0
            try:
                taken = self._claim_once(free)
                failures = 0
            except ObsvcError as error:
                self._outage.failed(error)
                self.engine_error = str(error)
                failures += 1
                stop.wait(ENGINE_BACKOFF.delay(failures))
            finally:
                self._slots.release(free - taken) if free > taken else None

    def _take_slots(self) -> int:
        """Every free slot; waits a moment for the first."""
        if not self._slots.acquire(timeout=RENEW_TICK):
            return 0
        free = 1
        while self._slots.acquire(blocking=False):
            free += 1
        return free

    def _claim_once(self, free: int) -> int:
        asked_at = self._clock.monotonic()
        reply = self._engine.claim_jobs(
            JobClaimRequest(self.name, tuple(sorted(self._plugins)), wait=CLAIM_WAIT, limit=free,
                            sweeps=True))
        self._outage.recovered()
        self.engine_error = None
        # The lease began at some time during the wait: what is sure is only that it did not begin before it, so the
        # first renewal comes at once for a long wait, which costs one small request.
        if reply.jobs:
            failpoints.hit("job.leased")
        for job in reply.jobs:
            self._leases.take(job, asked_at)
            self._pool.submit(self._run, job)
        return len(reply.jobs)

    def _renew(self, stop: threading.Event) -> None:
        while not stop.wait(RENEW_TICK):
            for job in self._leases.due():
                try:
                    self._renew_once(job)
                except LeaseLost as error:
                    LOG.warning("%s: %s", runner.describe(job), error)
                except ObsvcError as error:
                    LOG.warning("%s: lease not renewed: %s", runner.describe(job), error)

    def _renew_once(self, job: Job) -> None:
        asked_at = self._clock.monotonic()
        try:
            self._engine.renew_job(JobLease(job.job_id, job.lease_token))
        except Unavailable:
            raise
        except ObsvcError as error:
            if error.http_status not in (404, 409):
                raise
            self._leases.lose(job)
            raise LeaseLost(f"the engine refused to renew the lease: {error}") from error
        self._leases.renewed(job, asked_at)

    # one job, on a thread of the pool

    def _run(self, job: Job) -> None:
        try:
            with metrics.WORKER_JOB_SECONDS.labels(job.type, job.action).time():
                result = runner.run(job, self._plugins, self._clients_for(job), lambda: self._confirm(job))
            outcome = "lost" if result is None else self._answer(job, result)
            metrics.WORKER_JOBS.labels(job.type, job.action, outcome).inc()
        except Exception:  # the pool would swallow it
            LOG.exception("%s: not answered; its lease lapses", runner.describe(job))
        finally:
            self._leases.drop(job)
            self._slots.release()

    def _clients_for(self, job: Job) -> Clients:
        """Clients whose requests end within the job's lease, so that the job is not offered again while its create is
        on its way.  Half of it: a token that is refused makes keystoneauth send a request once more."""
        return self._clients.within(min(self._request_timeout, job.lease_seconds / 2))

    def _confirm(self, job: Job) -> None:
        """Ask the engine whether the attempt is still ours; LeaseLost unless it said yes while the lease held."""
        failures = 0
        while True:
            asked_at = self._clock.monotonic()
            failpoints.hit("attempt.before")
            try:
                self._engine.confirm_attempt(JobLease(job.job_id, job.lease_token))
                self._leases.renewed(job, asked_at)
            except Unavailable as error:
                failures += 1
                if not self._leases.holds(job) or self._giving_up.wait(ENGINE_BACKOFF.delay(failures)):
                    raise LeaseLost(f"the attempt could not be confirmed: {error}") from error
                continue
            except ObsvcError as error:
                self._leases.lose(job)
                raise LeaseLost(f"the engine did not confirm the attempt: {error}") from error
            if not self._leases.holds(job):
                raise LeaseLost("the lease lapsed while its attempt was confirmed")
            failpoints.hit("attempt.after")
            return

    def _answer(self, job: Job, result: JobDone | JobReplace | JobFailed) -> str:
        """Tell the engine, until it answers; the outcome's name for the metrics."""
        failures = 0
        while True:
            try:
                if isinstance(result, JobDone):
                    failpoints.hit("job.answer.before")
                    self._engine.complete_job(result)
                    failpoints.hit("job.answered")
                    return "done"
                if isinstance(result, JobReplace):
                    self._engine.replace_job(result)
                    return "replace"
                self._engine.fail_job(result)
                return "failed"
            except Unavailable as error:
                LOG.warning("%s: result not taken yet: %s", runner.describe(job), error)
                if self._leases.lost(job):
                    return "lost"
                failures += 1
                if self._giving_up.wait(ENGINE_BACKOFF.delay(failures)):
                    return "unanswered"
            except ObsvcError as error:
                LOG.warning("%s: result refused: %s", runner.describe(job), error)
                return "refused"
