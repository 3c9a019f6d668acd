"""The contract with an engine: what members, workers and the API may ask of it.

An engine is anything that implements :class:`Engine`; carriers (``http``, ``local``) bring the calls to it.  Its
operations stand in one small protocol a subject (:class:`OwnershipApi` …), and a caller names the ones that it
uses, no more.

Rules for callers: every method may be called from any thread; it returns the reply or raises an
:class:`~obsvc.exceptions.ObsvcError`.  ``Unavailable`` means that the outcome is *unknown*: the call may have
been carried out.  Every operation here may be sent again as it was with no second effect, except
``create_stack`` (a second one is refused by Conflict) and ``update_stack`` (a second one begins another traversal to
the same goal, which costs what is not reached yet).

Rules for engines: ``docs/design.md``, "The engine"; the conformance suite in ``obsvc.engine_client.conformance`` says
them in code.  A fenced write is checked in the transaction that writes.
"""
from __future__ import annotations

from typing import NamedTuple, Protocol, get_type_hints

import msgspec

from obsvc.engine_client import duties as duty_messages
from obsvc.engine_client import jobs, observations, ownership, reports, stacks, trails
from obsvc.engine_client import selectors as selector_messages

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


class InfoApi(Protocol):
    """What everyone asks first."""

    def info(self, request: Empty) -> EngineInfo: ...


class OwnershipApi(Protocol):
    """Who owns which partition, asked by members."""

    def beat(self, request: ownership.Beat) -> ownership.BeatReply: ...
    def claim(self, request: ownership.ClaimRequest) -> ownership.ClaimReply: ...
    def release(self, request: ownership.ReleaseRequest) -> ownership.ReleaseReply: ...


class ListsApi(Protocol):
    """What is observed in the partitions of a member."""

    def observed(self, request: ownership.ObservedRequest) -> ownership.ObservedPage: ...
    def follow(self, request: ownership.FollowRequest) -> ownership.FollowReply: ...


class ReportsApi(Protocol):
    """What members saw."""

    def report(self, request: reports.ReportRequest) -> reports.ReportReply: ...


class MarksApi(Protocol):
    """Asking the owners of refs for a look."""

    def mark(self, request: reports.MarkRequest) -> reports.MarkReply: ...


class DeadLetterIntakeApi(Protocol):
    """What members could not read."""

    def bury(self, request: reports.BuryRequest) -> Empty: ...


class SelectorMatchesApi(Protocol):
    """What selectors select, and what members found of it."""

    def selectors(self, request: selector_messages.SelectorsRequest) -> selector_messages.SelectorsReply: ...
    def discover(self, request: selector_messages.DiscoverRequest) -> selector_messages.DiscoverReply: ...


class TrailAnswersApi(Protocol):
    """The trails that owners tell."""

    def tell_trails(self, request: trails.TellTrailsRequest) -> Empty: ...


class DutiesApi(Protocol):
    """Work that one leader does for the whole cluster."""

    def duties(self, request: Empty) -> duty_messages.DutiesReply: ...
    def ensure_duties(self, request: duty_messages.EnsureDutiesRequest) -> Empty: ...
    def request_duty(self, request: duty_messages.DutyRequest) -> duty_messages.DutyRequestReply: ...
    def begin_duty(self, request: duty_messages.DutyBegin) -> duty_messages.DutyBegun: ...
    def sweep(self, request: duty_messages.SweepBatch) -> duty_messages.SweepReply: ...
    def end_duty(self, request: duty_messages.DutyEnd) -> duty_messages.DutyEnded: ...


class JobsApi(Protocol):
    """The jobs of workers."""

    def claim_jobs(self, request: jobs.JobClaimRequest) -> jobs.JobClaimReply: ...
    def renew_job(self, request: jobs.JobLease) -> jobs.LeaseReply: ...
    def confirm_attempt(self, request: jobs.JobLease) -> jobs.LeaseReply: ...
    def complete_job(self, request: jobs.JobDone) -> Empty: ...
    def replace_job(self, request: jobs.JobReplace) -> Empty: ...
    def fail_job(self, request: jobs.JobFailed) -> Empty: ...


class ObservationsApi(Protocol):
    """Starting, stopping and listing observations."""

    def start(self, request: observations.StartRequest) -> observations.StartReply: ...
    def stop(self, request: observations.StopRequest) -> observations.StopReply: ...
    def list_observations(self, request: observations.ObservationsRequest) -> observations.ObservationsPage: ...


class ResourcesApi(Protocol):
    """What is known of single resources."""

    def read_resource(self, request: observations.ResourceRequest) -> observations.Resource: ...
    def read_resources(self, request: observations.ReadRequest) -> observations.ResourcesReply: ...
    def trail(self, request: trails.TrailRequest) -> trails.TrailReply: ...
    def find_resources(self, request: observations.FindRequest) -> observations.ResourcesReply: ...
    def list_resources(self, request: observations.ResourcesRequest) -> observations.ResourcesPage: ...


class SelectorsApi(Protocol):
    """Starting and stopping selectors."""

    def start_selector(self, request: selector_messages.SelectorStart) -> selector_messages.Selector: ...
    def stop_selector(self, request: selector_messages.SelectorStop) -> Empty: ...


class ChangesApi(Protocol):
    """The changes feed."""

    def changes(self, request: observations.ChangesRequest) -> observations.ChangesPage: ...


class MembersApi(Protocol):
    """Members and partitions, as operators see them."""

    def members(self, request: Empty) -> observations.MembersReply: ...
    def partitions(self, request: observations.PartitionsRequest) -> observations.PartitionsReply: ...
    def drain_member(self, request: ownership.DrainRequest) -> ownership.DrainReply: ...


class DeadLettersApi(Protocol):
    """What could not be read, as operators see it."""

    def dead_letters(self, request: reports.DeadLettersRequest) -> reports.DeadLettersPage: ...
    def dead_letter(self, request: reports.DeadLetterRequest) -> reports.DeadLetter: ...
    def replay_dead_letter(self, request: reports.ReplayRequest) -> reports.ReplayReply: ...


class StacksApi(Protocol):
    """Stacks."""

    def create_stack(self, request: stacks.StackCreate) -> stacks.Stack: ...
    def update_stack(self, request: stacks.StackUpdate) -> stacks.Stack: ...
    def read_stack(self, request: stacks.StackRequest) -> stacks.Stack: ...
    def list_stacks(self, request: stacks.StacksRequest) -> stacks.StacksPage: ...
    def delete_stack(self, request: stacks.StackRequest) -> stacks.Stack: ...
    def rollback_stack(self, request: stacks.StackRequest) -> stacks.Stack: ...
    def cancel_stack(self, request: stacks.StackCancel) -> stacks.Stack: ...
    def resume_stack(self, request: stacks.StackRequest) -> stacks.Stack: ...
    def preview_stack(self, request: stacks.StackUpdate) -> stacks.StackPlan: ...
    def stack_nodes(self, request: stacks.StackRequest) -> stacks.NodesReply: ...
    def stack_events(self, request: stacks.StackEventsRequest) -> stacks.StackEventsPage: ...


class FollowerApi(ListsApi, TrailAnswersApi, Protocol):
    """What following the lists of a member's partitions needs: the trails asked for come with them."""


class PartitioningApi(InfoApi, OwnershipApi, MembersApi, Protocol):
    """What a member needs in order to own partitions."""


class MemberApi(
    InfoApi, OwnershipApi, ListsApi, ReportsApi, MarksApi, DeadLetterIntakeApi, SelectorMatchesApi, TrailAnswersApi,
    DutiesApi, MembersApi, Protocol,
):
    """Everything that a member asks."""


class PublicApi(
    InfoApi, MarksApi, SelectorMatchesApi, DutiesApi, ObservationsApi, ResourcesApi, SelectorsApi, ChangesApi,
    MembersApi, DeadLettersApi, StacksApi, Protocol,
):
    """Everything that the public API asks."""


class Engine(
    InfoApi, OwnershipApi, ListsApi, ReportsApi, MarksApi, DeadLetterIntakeApi, SelectorMatchesApi, TrailAnswersApi,
    DutiesApi, JobsApi, ObservationsApi, ResourcesApi, SelectorsApi, ChangesApi, MembersApi, DeadLettersApi, StacksApi,
    Protocol,
):
    """Everything that can be asked of an engine; one method an operation, one request struct each."""


class Operation(NamedTuple):
    """One operation as carriers see it: ``POST /v1/<name>`` with ``request`` as JSON, answered by ``reply``."""

    name: str
    request: type[msgspec.Struct]
    reply: type[msgspec.Struct]


def _operations() -> dict[str, Operation]:
    operations = {}
    for subject in Engine.__bases__:
        for name, method in vars(subject).items():
            if not name.startswith("_") and callable(method):
                hints = get_type_hints(method)
                operations[name] = Operation(name, hints["request"], hints["return"])
    return operations


#: Every operation of the contract by name; both ends of the HTTP carrier are driven by this table.
OPERATIONS: dict[str, Operation] = _operations()


class ErrorBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """The one JSON shape of an error answer: ``{"error": {"code": …, "message": …, …}}``, of the public API too.

    code: stable.  message: of this case.  expected, remedy: what would have been right, and what to do, in general."""

    code: str
    message: str
    expected: str = ""
    remedy: str = ""
    request_id: str | None = None


class ErrorReply(msgspec.Struct, frozen=True):
    error: ErrorBody
