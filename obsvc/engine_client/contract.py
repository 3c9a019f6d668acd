"""The contract with an engine: what members, workers and the API may ask of it.

An engine is anything that implements :class:`Engine`; carriers (``http``, ``local``) bring the calls to it.

Rules for callers: every method may be called from any thread; it returns the reply or raises an
:class:`~obsvc.exceptions.ObsvcError`.  ``Unavailable`` means that the outcome is *unknown*: the call may have
been carried out.  Every operation here may be sent again as it was with no second effect, except
``create_stack`` (a second one of that name is refused by Conflict).

Rules for engines: DESIGN 2 and 4; the conformance suite in ``obsvc.engine_client.conformance`` says them in
code.  A fenced write is checked in the transaction that writes.
"""
from __future__ import annotations

from typing import Any, NamedTuple, Protocol, get_type_hints

import msgspec

from obsvc.engine_client import duties as duty_messages
from obsvc.engine_client import jobs, observations, ownership, reports, stacks

#: Raised when an old member or engine could no longer understand the new one; fields are only ever added.
CONTRACT_VERSION = 1

#: The oldest contract version that this side still speaks.
CONTRACT_VERSION_MIN = 1


class Empty(msgspec.Struct, frozen=True):
    """Nothing to say."""


class EngineInfo(msgspec.Struct, frozen=True):
    """What a client must know before anything else.

    database_id: random, made with the database; the same for every engine process of one deployment.
    partitions: P.  engine_time: seconds since the epoch by the engine's clock.
    drain_timeout, member_timeout: seconds, see ``[engine]`` in the configuration.
    """

    contract_version: int
    contract_version_min: int
    database_id: str
    partitions: int
    engine_time: float
    drain_timeout: float
    member_timeout: float


class Engine(Protocol):
    """Everything that can be asked of an engine; one method an operation, one request struct each."""

    # for everyone
    def info(self, request: Empty) -> EngineInfo: ...

    # for members
    def beat(self, request: ownership.Beat) -> ownership.BeatReply: ...
    def claim(self, request: ownership.ClaimRequest) -> ownership.ClaimReply: ...
    def release(self, request: ownership.ReleaseRequest) -> ownership.ReleaseReply: ...
    def observed(self, request: ownership.ObservedRequest) -> ownership.ObservedPage: ...
    def follow(self, request: ownership.FollowRequest) -> ownership.FollowReply: ...
    def report(self, request: reports.ReportRequest) -> reports.ReportReply: ...
    def mark(self, request: reports.MarkRequest) -> reports.MarkReply: ...
    def bury(self, request: reports.BuryRequest) -> Empty: ...
    def duties(self, request: Empty) -> duty_messages.DutiesReply: ...
    def ensure_duties(self, request: duty_messages.EnsureDutiesRequest) -> Empty: ...
    def request_duty(self, request: duty_messages.DutyRequest) -> duty_messages.DutyRequestReply: ...
    def begin_duty(self, request: duty_messages.DutyBegin) -> duty_messages.DutyBegun: ...
    def sweep(self, request: duty_messages.SweepBatch) -> duty_messages.SweepReply: ...
    def end_duty(self, request: duty_messages.DutyEnd) -> duty_messages.DutyEnded: ...

    # for workers
    def claim_jobs(self, request: jobs.JobClaimRequest) -> jobs.JobClaimReply: ...
    def renew_job(self, request: jobs.JobLease) -> jobs.LeaseReply: ...
    def confirm_attempt(self, request: jobs.JobLease) -> jobs.LeaseReply: ...
    def complete_job(self, request: jobs.JobDone) -> Empty: ...
    def fail_job(self, request: jobs.JobFailed) -> Empty: ...

    # for the public API
    def start(self, request: observations.StartRequest) -> observations.StartReply: ...
    def stop(self, request: observations.StopRequest) -> observations.StopReply: ...
    def list_observations(self, request: observations.ObservationsRequest) -> observations.ObservationsPage: ...
    def read_resource(self, request: observations.ResourceRequest) -> observations.Resource: ...
    def find_resources(self, request: observations.FindRequest) -> observations.ResourcesReply: ...
    def changes(self, request: observations.ChangesRequest) -> observations.ChangesPage: ...
    def members(self, request: Empty) -> observations.MembersReply: ...
    def partitions(self, request: observations.PartitionsRequest) -> observations.PartitionsReply: ...
    def drain_member(self, request: ownership.DrainRequest) -> ownership.DrainReply: ...
    def dead_letters(self, request: reports.DeadLettersRequest) -> reports.DeadLettersPage: ...
    def dead_letter(self, request: reports.DeadLetterRequest) -> reports.DeadLetter: ...
    def replay_dead_letter(self, request: reports.ReplayRequest) -> reports.ReplayReply: ...
    def create_stack(self, request: stacks.StackCreate) -> stacks.Stack: ...
    def read_stack(self, request: stacks.StackRequest) -> stacks.Stack: ...
    def list_stacks(self, request: stacks.StacksRequest) -> stacks.StacksPage: ...
    def delete_stack(self, request: stacks.StackRequest) -> stacks.Stack: ...
    def stack_nodes(self, request: stacks.StackRequest) -> stacks.NodesReply: ...
    def stack_events(self, request: stacks.StackEventsRequest) -> stacks.StackEventsPage: ...


class Operation(NamedTuple):
    """One operation as carriers see it: ``POST /v1/<name>`` with ``request`` as JSON, answered by ``reply``."""

    name: str
    request: type[Any]
    reply: type[Any]


def _operations() -> dict[str, Operation]:
    found = {}
    for name, method in vars(Engine).items():
        if not name.startswith("_") and callable(method):
            hints = get_type_hints(method)
            found[name] = Operation(name, hints["request"], hints["return"])
    return found


#: Every operation of the contract by name; both ends of the HTTP carrier are driven by this table.
OPERATIONS: dict[str, Operation] = _operations()


class ErrorBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """The one JSON shape of an error answer: ``{"error": {"code": …, "message": …}}``."""

    code: str
    message: str
    request_id: str | None = None


class ErrorReply(msgspec.Struct, frozen=True):
    error: ErrorBody
