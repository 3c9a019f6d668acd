"""The answers of the public API as types: the API's own schemas, and what the client library returns.

Below both: the client is importable without the server's libraries, and the server does not depend on its client.

A client ignores fields that it does not know yet, so an older client works with a newer API.  Times are seconds since
the epoch.  The types resemble the contract with the engine (``obsvc.engine_client``) and are separate from it for two
reasons: here a ref is three fields, and what is an enumeration there is text here, so that a newer API may use words
that an older client does not know.  The two change at different times and for different readers.
"""
from __future__ import annotations

from typing import Any

import msgspec

from obsvc.model import MemberId


class Observation(msgspec.Struct, frozen=True):
    observation_id: str
    region: str
    resource_type: str
    resource_id: str
    status: str
    started_at: float
    goal: str | None = None
    deadline: float | None = None
    labels: dict[str, str] = {}
    project_id: str | None = None
    stack_id: str | None = None
    node_id: str | None = None
    met_at: float | None = None
    selected: bool = False


class Selector(msgspec.Struct, frozen=True):
    """All resources of a type in a region; project_id: of that project, None: of all."""

    selector_id: str
    region: str
    resource_type: str
    started_at: float
    project_id: str | None = None


class Error(msgspec.Struct, frozen=True):
    """code: stable.  expected, remedy: what would have been right, and what to do."""

    code: str
    message: str
    expected: str = ""
    remedy: str = ""


class Started(msgspec.Struct, frozen=True):
    """One of many: its observation, or why there is none."""

    observation: Observation | None = None
    error: Error | None = None


class Stopped(msgspec.Struct, frozen=True):
    """One of many; error: why it was not stopped."""

    observation_id: str
    error: Error | None = None


class Snapshot(msgspec.Struct, frozen=True):
    exists: bool
    condition: str
    status: str | None = None
    settled: bool = True
    project_id: str | None = None
    name: str | None = None
    attributes: dict[str, Any] = {}
    status_reason: str | None = None
    updated_at: str | None = None
    fetched_at: float = 0.0
    request_id: str | None = None


class TrailEvent(msgspec.Struct, frozen=True):
    """what: notified, look, seen, verdict, marked or held."""

    at: float
    what: str
    text: str


class Trail(msgspec.Struct, frozen=True):
    """What became of a resource's notifications and looks.  why: what is due now, or why nothing is.  ownership: how
    proposal and grant of its partition stand.  told_by: the member whose memory the events are of, oldest first."""

    partition: int
    owner: MemberId | None
    intended: str | None
    generation: int
    since: float | None
    ownership: str
    why: str
    told_by: MemberId | None
    told_at: float | None
    next_at: float | None
    next_cause: str | None
    events: tuple[TrailEvent, ...]


class Resource(msgspec.Struct, frozen=True):
    """condition: that of the snapshot; ``unknown`` before the first look.  trail: where it was asked for and is the
    caller's to see."""

    region: str
    resource_type: str
    resource_id: str
    partition: int
    version: int
    snapshot: Snapshot | None = None
    generation: int | None = None
    reported_by: str | None = None
    reported_at: float | None = None
    mark: int | None = None
    observations: int = 0
    condition: str = "unknown"
    trail: Trail | None = None


class Waited(msgspec.Struct, frozen=True):
    """resource: None where it is not the caller's to see.  timed_out: nothing happened that was waited for."""

    observation: Observation
    resource: Resource | None
    timed_out: bool


class Delta(msgspec.Struct, frozen=True):
    """A change.  standing: to the goals of the observations (none, towards, met, drift, failed).  changed: names of
    attributes.  cause: why it was looked at; ``listed``: no change, but what is there after changes were missed."""

    version: int
    at: float
    region: str
    resource_type: str
    resource_id: str
    condition: str
    before_condition: str
    standing: str
    status: str | None = None
    before_status: str | None = None
    settled: bool = True
    changed: tuple[str, ...] = ()
    project_id: str | None = None
    stack_id: str | None = None
    member: str | None = None
    generation: int | None = None
    cause: str | None = None
    fetched_at: float | None = None


class Changes(msgspec.Struct, frozen=True):
    changes: tuple[Delta, ...]
    next: int


class Position(msgspec.Struct, frozen=True):
    """next: the version to go on from."""

    next: int


class Listing(msgspec.Struct, frozen=True):
    """version: of the changes feed; who follows from it misses no change after what is listed."""

    resources: tuple[Resource, ...]
    version: int


class Stack(msgspec.Struct, frozen=True):
    stack_id: str
    name: str
    status: str
    created_at: float
    updated_at: float
    traversal: str = ""
    status_reason: str = ""
    project_id: str | None = None
    region: str | None = None
    deadline: float | None = None
    on_drift: str = "report"
    nodes: dict[str, int] = {}
    outputs: dict[str, Any] = {}
    parameters: dict[str, Any] = {}
    drifted: tuple[str, ...] = ()
    goal: int = 1
    disable_rollback: bool = True

    @property
    def in_progress(self) -> bool:
        return self.status.endswith("_IN_PROGRESS")


class Node(msgspec.Struct, frozen=True):
    node_id: str
    name: str
    type: str
    status: str
    requires: tuple[str, ...] = ()
    resource_type: str | None = None
    resource_id: str | None = None
    region: str | None = None
    status_reason: str = ""
    attempts: int = 0
    drift: str | None = None
    scheduled_at: float | None = None
    observing_at: float | None = None
    completed_at: float | None = None
    obsolete: bool = False


class PlannedNode(msgspec.Struct, frozen=True):
    """change: create, update (in place), replace, delete, retain or none."""

    name: str
    type: str
    change: str
    resource_id: str | None = None
    properties: tuple[str, ...] = ()
    reason: str = ""


class StackEvent(msgspec.Struct, frozen=True):
    event_id: int
    at: float
    event: str
    node: str | None = None
    resource_id: str | None = None
    reason: str = ""


class Member(msgspec.Struct, frozen=True):
    """intended, in_ring: None while the coordination backend can't be read.  drained_at: None where it is not."""

    name: str
    incarnation: str
    state: str
    alive: bool
    last_beat_at: float
    last_beat_age: float
    granted: int
    started_at: float = 0.0
    in_ring: bool | None = None
    intended: int | None = None
    drained_at: float | None = None
    recall: tuple[dict[str, Any], ...] = ()
    held: int = 0
    caught_up: bool = False
    backlog: int = 0
    unsettled: int = 0
    oldest_unsettled: float = 0.0
    host: str = ""
    address: str = ""
    view: tuple[str, ...] = ()
    buses: tuple[dict[str, Any], ...] = ()
    rates: dict[str, float] = {}
    open_breakers: tuple[str, ...] = ()
    last_error: str | None = None


class BusSummary(msgspec.Struct, frozen=True):
    """members: that listen to it.  connected: of those.  last_error: of one that is not."""

    members: int
    connected: int
    last_error: str | None = None


class Status(msgspec.Struct, frozen=True):
    """How the cluster stands.

    verdict: one sentence.  ok: there is no problem.  problems: what somebody should look into, a sentence each.
    members: that are alive; drained: names of those that an operator has drained.  owned: partitions that are granted;
    moving: of those, granted to another member than the ring proposes.  observed: resources.  unsettled,
    oldest_unsettled: messages taken in and not settled yet, and the age of the oldest in seconds.
    """

    verdict: str
    ok: bool
    problems: tuple[str, ...]
    members: int
    members_caught_up: int
    drained: tuple[str, ...]
    partitions: int
    owned: int
    moving: int
    observed: int
    unsettled: int
    oldest_unsettled: float
    buses: dict[str, BusSummary]
    duties: int
    duties_led: int
    engine_time: float


class Duty(msgspec.Struct, frozen=True):
    """leader: name and incarnation.  lag: seconds that the next run is overdue.  recall: share of the changes lately
    found that a notification told of, None without any; seen, missed: those changes."""

    name: str
    kind: str
    region: str
    service: str
    partition: int
    generation: int
    leader: dict[str, str] | None = None
    since: float | None = None
    running_since: float | None = None
    last_run_at: float | None = None
    last_ended_at: float | None = None
    next_run_at: float | None = None
    interval: float = 0.0
    lag: float = 0.0
    result: dict[str, int] = {}
    last_error: str | None = None
    requested_at: float | None = None
    request_reason: str | None = None
    recall: float | None = None
    seen: int = 0
    missed: int = 0


class Partition(msgspec.Struct, frozen=True):
    """owner: granted by the engine.  intended: proposed by the ring.  why: how the two stand, in one sentence."""

    partition: int
    owner: MemberId | None
    intended: str | None
    generation: int
    since: float | None = None
    observed: int = 0
    observation_version: int = 0
    asked_by: str | None = None
    asked_at: float | None = None
    granted_why: str | None = None
    why: str = ""
    note: str | None = None


class Owner(Partition, frozen=True, kw_only=True):
    resource_type: str
    resource_id: str
