"""Every metric of obsvc, with help and unit; all names begin with ``obsvc_``.

Labels are bounded: bus, resource type, verdict, cause, reason and the like, never an id or a project.
"""
from __future__ import annotations

import functools

from prometheus_client import Counter, Gauge, Histogram

# Where several processes count as one (:mod:`obsvc.web.metrics_sharing`) a gauge is the sum of theirs.
_gauge = functools.partial(Gauge, multiprocess_mode="livesum")

# listeners
NOTIFICATIONS = Counter("obsvc_notifications_total", "Notifications taken from a bus", ["bus", "family"])
NOTIFICATIONS_BY_FATE = Counter(
    "obsvc_notifications_fate_total",
    "What became of notifications, once per ref: queued, coalesced, told (payload taken), not_owned, not_observed, "
    "found (for a selector), dirty (list not complete yet), no_resource, no_look, dead_letter",
    ["fate"],
)
GUESSED = Counter(
    "obsvc_notifications_guessed_total",
    "Notifications that no entry of the catalogue names, read by its fallback rule", ["bus"],
)
DEAD_LETTERS = Counter("obsvc_dead_letters_total", "Messages that could not be read", ["bus", "reason"])
GAPS = Counter("obsvc_bus_gaps_total", "Times that notifications may have been missed", ["bus", "reason"])
BUS_CONNECTED = _gauge("obsvc_bus_connected", "1 while consuming the bus", ["bus"])
UNSETTLED = _gauge("obsvc_unsettled_deliveries", "Deliveries taken from the buses and not settled yet")
DISCOVERED = Counter("obsvc_discovered_total", "Resources observed for selectors since a notification told of them")
MARKS = Counter("obsvc_marks_total", "Look marks stored at the engine", ["reason"])

# partitioning
MEMBERS = _gauge("obsvc_members_seen", "Members in the current membership view")
PARTITIONS_HELD = _gauge("obsvc_partitions_held", "Partitions granted to this member")
CLAIMS = Counter("obsvc_claims_total", "Partitions claimed, by what came of it", ["outcome"])
REJOINS = Counter("obsvc_rejoins_total", "Times that this member was found out of the group and joined again")
COORDINATION_UP = _gauge("obsvc_coordination_connected", "1 while the coordination backend answers")

# observer
QUEUE_DEPTH = _gauge("obsvc_queue_depth", "Refs that wait for a look now")
LOOKS = Counter("obsvc_looks_total", "Fetches made", ["resource_type", "cause"])
TRUSTED_PAYLOADS = Counter(
    "obsvc_payloads_total",
    "Payloads of types that are trusted, by what became of them: taken, known (again what is known), stale (older than "
    "that); or a look, because it was incomplete, nothing was known to compare it with, it had the same order and "
    "said another thing, another project, no condition, or a look was due anyway (busy)",
    ["resource_type", "outcome"],
)
FETCHES_IN_FLIGHT = _gauge("obsvc_fetches_in_flight", "Fetches under way now")
FETCH_SECONDS = Histogram("obsvc_fetch_seconds", "Time of one fetch, seconds", ["service"])
LIST_FETCHES = Counter("obsvc_list_fetches_total", "Requests that fetched several resources by their ids", ["service"])
FETCH_ERRORS = Counter("obsvc_fetch_errors_total", "Fetches without a usable answer", ["service", "reason"])
BREAKER_OPEN = _gauge("obsvc_breaker_open", "1 while a service is left alone", ["region", "service"])
REPORTS = Counter("obsvc_reports_total", "Reports by verdict", ["verdict"])
REPORT_BACKLOG = _gauge("obsvc_report_backlog", "Reports that wait for the engine")
REPORT_REQUESTS_UNDER_WAY = _gauge("obsvc_report_requests_under_way", "Batches sent to the engine and not answered")

# duties
SWEEP_REQUESTS = Counter("obsvc_sweep_requests_total", "Pages of lists asked for by sweeps", ["region", "service"])
SWEEPS = Counter("obsvc_sweeps_total", "Sweeps led by this member, by what came of them",
                 ["region", "service", "outcome"])
RECALL_CHANGES = Counter(
    "obsvc_notification_recall_total",
    "Changes found: seen (a notification told of it, first or within the grace) or missed (found without one)",
    ["region", "resource_type", "outcome"],
)
RECALL_LATE = Histogram(
    "obsvc_notification_late_seconds",
    "By how much a notification came after its change had been found otherwise, seconds; 0 where it came first",
    ["region", "resource_type"], buckets=(0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0),
)

# engine
SWEEP_FOUND = Counter(
    "obsvc_sweep_found_total", "Observed resources that a sweep found to differ: changed, or absent from a full list",
    ["resource_type", "what"],
)
ENGINE_REQUESTS = Histogram(
    "obsvc_engine_request_seconds", "Time of one engine operation, seconds, without its wait", ["operation"]
)
ENGINE_ERRORS = Counter("obsvc_engine_errors_total", "Engine operations that failed", ["operation", "code"])
VERDICTS = Counter("obsvc_verdicts_total", "Reports judged", ["verdict"])
REFUSED = Counter(
    "obsvc_refused_total",
    "Reports and releases refused because the partition is not granted so: old_generation (a member that slept, a "
    "late or replayed request), released, other_incarnation (two processes with one member name), other_member, "
    "unknown_generation (never granted by this database); and reports of an older look: superseded",
    ["operation", "reason"],
)
REPEATED = Counter("obsvc_reports_repeated_total", "Reports that were in already: their answer had been lost")
DELTAS = Counter("obsvc_deltas_total", "Deltas made", ["resource_type", "standing"])
GRANTS = Counter("obsvc_grants_total", "Partitions granted", ["reason"])
TRANSACTION_RETRIES = Counter("obsvc_transaction_retries_total", "Transactions run again", ["reason"])
JOBS = Counter("obsvc_jobs_total", "Jobs by what came of them", ["action", "outcome"])
DUE_RUN = Counter("obsvc_due_total", "Due work carried out", ["kind"])
OUTBOX_DEPTH = Gauge(
    "obsvc_outbox_depth", "Notifications that wait to be emitted", multiprocess_mode="livemostrecent"
)
EMITTED = Counter("obsvc_emitted_total", "Notifications emitted and confirmed", ["event_type"])

# worker
WORKER_JOBS = Counter("obsvc_worker_jobs_total", "Jobs run", ["type", "action", "outcome"])
WORKER_JOB_SECONDS = Histogram("obsvc_worker_job_seconds", "Time of one job, seconds", ["type", "action"])
