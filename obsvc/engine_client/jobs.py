"""Messages between workers and the engine."""
from __future__ import annotations

import enum
from typing import Any

import msgspec

from obsvc.model import Condition, Ref


class Action(enum.StrEnum):
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    SWEEP = "sweep"  #: delete every copy that carries the marker, but the one that is recorded


class Job(msgspec.Struct, frozen=True, omit_defaults=True):
    """One action on one node, leased to one worker.

    lease_token: names this lease; an answer under another token is refused.
    lease_seconds: how long the lease holds from its claim or last renewal.
    attempt: counts the leases of this job from 1.  marker: text that the create request must carry.
    type: the HOT resource type, e.g. ``OS::Nova::Server``.
    properties: resolved, no functions left (empty for a delete).
    before: of an update, the properties that the resource was last given.
    resource_id: of the live copy, for update and delete.  None in a delete: a create was begun and its answer never
    came; ``marker`` is that create's, by which a copy is found; where there is none the job is done as ``gone``.
    Of a sweep: the copy to keep, if any; the job is done as ``gone`` when no other is left.
    """

    job_id: str
    lease_token: str
    lease_seconds: float
    action: Action
    type: str
    node_id: str
    node_name: str
    stack_id: str
    stack_name: str
    attempt: int
    marker: str
    properties: dict[str, Any] = {}
    resource_id: str | None = None
    region: str | None = None
    project_id: str | None = None
    before: dict[str, Any] = {}


class JobClaimRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Lease up to ``limit`` jobs of the types that the worker has plugins for; wait up to ``wait`` seconds.
    sweeps: the worker knows what a sweep is."""

    worker: str
    types: tuple[str, ...]
    wait: float = 20.0
    limit: int = 1
    sweeps: bool = False


class JobClaimReply(msgspec.Struct, frozen=True):
    jobs: tuple[Job, ...]


class JobLease(msgspec.Struct, frozen=True):
    """Names a lease: to renew it, or to confirm its attempt just before the cloud create.
    Refused with Conflict when the lease is not (or no longer) this one."""

    job_id: str
    lease_token: str


class LeaseReply(msgspec.Struct, frozen=True):
    lease_until: float


class JobDone(msgspec.Struct, frozen=True, omit_defaults=True):
    """The action was started (or was found done).

    ref: the resource to observe.  goal: the condition that ends the node (``active`` after create and update,
    ``deleted`` after delete).  gone: for a delete, the service answered 404: no observation is needed.
    timeout: seconds that the node has to reach its goal.
    """

    job_id: str
    lease_token: str
    ref: Ref | None = None
    goal: Condition = Condition.ACTIVE
    gone: bool = False
    timeout: float | None = None
    request_id: str | None = None


class JobReplace(msgspec.Struct, frozen=True):
    """An update that can't be made in place.  properties: the names of those that can't be changed."""

    job_id: str
    lease_token: str
    properties: tuple[str, ...]


class JobFailed(msgspec.Struct, frozen=True, omit_defaults=True):
    """retriable: the engine offers the job again after a backoff, until its attempts are used up.
    retry_after: seconds that the service asked for."""

    job_id: str
    lease_token: str
    error: str
    retriable: bool
    retry_after: float | None = None
    request_id: str | None = None
