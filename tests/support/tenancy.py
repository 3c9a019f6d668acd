"""Who may do what, as one table: each operation of the public API, and its answer to each kind of caller.

``Stage`` makes, through an engine, what the operations need; so the table runs over an API without a server (unit
tests) and over one behind a real Keystone (functional tests).
"""
from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from obsvc.api.routes import ROUTES
from obsvc.engine_client.contract import Empty, Engine
from obsvc.engine_client.observations import ResourceRequest, StartItem, StartRequest
from obsvc.engine_client.ownership import Beat, ClaimReason, ClaimRequest, MemberState, PartitionClaim
from obsvc.engine_client.reports import BuryRequest, DeadLetter, DeadLettersRequest, Report, ReportRequest
from obsvc.engine_client.selectors import SelectorStart
from obsvc.engine_client.stacks import StackCreate
from obsvc.model import Cause, Condition, MemberId, Ref, Snapshot, partition

#: Kinds of callers, in the order of the table's columns.  ``other`` is a member of another project, ``system`` a
#: reader of the whole system; reader, member and manager are of the project that everything on the stage is of.
CALLERS = ("none", "other", "reader", "member", "manager", "admin", "service", "system")

TEMPLATE = "heat_template_version: 2021-04-16\nresources:\n  one:\n    type: Sim::Resource\n    properties: {size: 1}\n"
MEMBER = MemberId("stage", "a")
SECRET_NAME = "name-of-a-foreign-server"


class Stage:
    """A server that was seen to be of ``project``, its observation and stacks, a member and a dead letter."""

    def __init__(self, engine: Engine, project: str, *, now: Callable[[], float] = time.time) -> None:
        self.engine, self.project, self._now = engine, project, now
        self.server = Ref("RegionOne", "compute.server", "srv-of-the-stage")
        self._numbers = itertools.count(1)
        partitions = engine.info(Empty()).partitions
        engine.beat(Beat(MEMBER, 1, partitions, MemberState.ACTIVE, now()))
        number = partition(self.server, partitions)
        claimed = engine.claim(ClaimRequest(MEMBER, "stage", (PartitionClaim(number, ClaimReason.VACANT),)))
        engine.start(StartRequest((StartItem(self.server, project_id=project),)))  # it stays observed
        self.observation()
        mark = engine.read_resource(ResourceRequest(self.server)).mark
        snapshot = Snapshot(True, Condition.ACTIVE, "ACTIVE", project_id=project, name=SECRET_NAME, fetched_at=now())
        engine.report(ReportRequest(MEMBER, (Report(
            self.server, number, claimed.grants[0].generation, 1, snapshot, Cause.STARTED, mark),)))
        engine.bury(BuryRequest((DeadLetter("bus", "not_json", "no JSON", now(), body="{", size=1),)))

    def observation(self) -> str:
        """The id of the project's observation; a new one where the last one was stopped."""
        item = StartItem(self.server, Condition.ACTIVE, labels={"of": "the stage"}, project_id=self.project)
        return self.engine.start(StartRequest((item,))).observations[0].observation_id

    def selector(self) -> str:
        """The id of the project's selector; a new one where the last one was stopped."""
        return self.engine.start_selector(SelectorStart("RegionOne", "network.port", self.project)).selector_id

    def stack(self) -> str:
        """The id of a stack of the project that was just begun."""
        name = f"of-the-stage-{next(self._numbers)}"
        return self.engine.create_stack(StackCreate(name, TEMPLATE, project_id=self.project)).stack_id

    def letter(self) -> int:
        return self.engine.dead_letters(DeadLettersRequest(1)).letters[0].letter_id

    def new_name(self) -> str:
        return f"new-{next(self._numbers)}"


class Row(NamedTuple):
    """statuses: by caller, as CALLERS has them.  path, body: made on the stage for each request."""

    statuses: tuple[int, ...]
    path: Callable[[Stage], str]
    body: Callable[[Stage], Any] | None = None


def _open(path: str) -> Row:
    return Row((200,) * len(CALLERS), lambda stage: path)


def _list(path: str) -> Row:
    return Row((401, 200, 200, 200, 200, 200, 200, 403), lambda stage: path)


def _read(path: Callable[[Stage], str]) -> Row:
    return Row((401, 404, 200, 200, 200, 200, 200, 403), path)


def _write(status: int, path: Callable[[Stage], str], body: Callable[[Stage], Any] | None = None,
           other: int = 404) -> Row:
    return Row((401, other, 403, status, status, status, status, 403), path, body)


def _cluster(path: Callable[[Stage], str], status: int = 200, *, system: int = 200) -> Row:
    return Row((401, 403, 403, 403, 403, status, status, system), path)


def _server(stage: Stage) -> str:
    return f"/v1/resources/{stage.server.resource_type}/{stage.server.resource_id}"


def _template(stage: Stage) -> dict[str, Any]:
    return {"template": TEMPLATE}


MATRIX: dict[tuple[str, str], Row] = {
    ("GET", "/"): _open("/"),
    ("GET", "/v1"): _open("/v1"),
    ("GET", "/v1/openapi.json"): _open("/v1/openapi.json"),
    ("GET", "/v1/observations"): _list("/v1/observations"),
    ("POST", "/v1/observations"): _write(201, lambda stage: "/v1/observations", lambda stage: {
        "resource_type": stage.server.resource_type, "resource_id": stage.server.resource_id}),
    ("POST", "/v1/observations/start"): _write(200, lambda stage: "/v1/observations/start", lambda stage: {
        "observations": [{"resource_type": stage.server.resource_type, "resource_id": stage.server.resource_id}]},
        other=200),  # with an error for the one
    ("POST", "/v1/observations/stop"): _write(
        200, lambda stage: "/v1/observations/stop", lambda stage: {"observation_ids": [stage.observation()]},
        other=200),
    ("GET", "/v1/observations/{observation_id}"): _read(lambda stage: f"/v1/observations/{stage.observation()}"),
    ("DELETE", "/v1/observations/{observation_id}"):
        _write(204, lambda stage: f"/v1/observations/{stage.observation()}"),
    ("GET", "/v1/observations/{observation_id}/wait"):
        _read(lambda stage: f"/v1/observations/{stage.observation()}/wait?timeout=0"),
    ("GET", "/v1/selectors"): _list("/v1/selectors"),
    ("POST", "/v1/selectors"): _write(
        201, lambda stage: "/v1/selectors", lambda stage: {"resource_type": stage.server.resource_type}, other=201),
    ("GET", "/v1/selectors/{selector_id}"): _read(lambda stage: f"/v1/selectors/{stage.selector()}"),
    ("DELETE", "/v1/selectors/{selector_id}"): _write(204, lambda stage: f"/v1/selectors/{stage.selector()}"),
    ("GET", "/v1/resources/{resource_type}/{resource_id}"): _read(_server),
    ("POST", "/v1/resources/{resource_type}/{resource_id}/check"): _write(202, lambda stage: _server(stage) + "/check"),
    ("GET", "/v1/resources/{resource_type}/{resource_id}/owner"): _cluster(lambda stage: _server(stage) + "/owner"),
    ("GET", "/v1/resources"): _list("/v1/resources"),
    ("GET", "/v1/changes"): _list("/v1/changes"),
    ("GET", "/v1/watch"): _list("/v1/watch?since=0&timeout=0"),
    ("GET", "/v1/stacks"): _list("/v1/stacks"),
    ("POST", "/v1/stacks"): _write(201, lambda stage: "/v1/stacks", lambda stage: {
        "name": stage.new_name(), "template": TEMPLATE}, other=201),
    ("GET", "/v1/stacks/{stack}"): _read(lambda stage: f"/v1/stacks/{stage.stack()}"),
    ("PUT", "/v1/stacks/{stack}"): _write(202, lambda stage: f"/v1/stacks/{stage.stack()}", _template),
    ("DELETE", "/v1/stacks/{stack}"): _write(202, lambda stage: f"/v1/stacks/{stage.stack()}"),
    ("GET", "/v1/stacks/{stack}/resources"): _read(lambda stage: f"/v1/stacks/{stage.stack()}/resources"),
    ("GET", "/v1/stacks/{stack}/events"): _read(lambda stage: f"/v1/stacks/{stage.stack()}/events"),
    ("POST", "/v1/stacks/{stack}/preview"):
        _read(lambda stage: f"/v1/stacks/{stage.stack()}/preview")._replace(body=_template),
    ("POST", "/v1/stacks/{stack}/rollback"): _write(202, lambda stage: f"/v1/stacks/{stage.stack()}/rollback"),
    ("POST", "/v1/stacks/{stack}/cancel"):
        _write(202, lambda stage: f"/v1/stacks/{stage.stack()}/cancel", lambda stage: {"rollback": False}),
    ("POST", "/v1/stacks/{stack}/resume"): _write(202, lambda stage: f"/v1/stacks/{stage.stack()}/resume"),
    ("GET", "/v1/status"): _cluster(lambda stage: "/v1/status"),
    ("GET", "/v1/members"): _cluster(lambda stage: "/v1/members"),
    ("PUT", "/v1/members/{name}/drain"): _cluster(lambda stage: f"/v1/members/{MEMBER.name}/drain", system=403),
    ("DELETE", "/v1/members/{name}/drain"): _cluster(lambda stage: f"/v1/members/{MEMBER.name}/drain", system=403),
    ("GET", "/v1/partitions"): _cluster(lambda stage: "/v1/partitions"),
    ("GET", "/v1/partitions/{partition}"): _cluster(lambda stage: "/v1/partitions/1"),
    ("GET", "/v1/duties"): _cluster(lambda stage: "/v1/duties"),
    ("GET", "/v1/dead-letters"): _cluster(lambda stage: "/v1/dead-letters", system=403),
    ("GET", "/v1/dead-letters/{letter}"): _cluster(lambda stage: f"/v1/dead-letters/{stage.letter()}", system=403),
    ("POST", "/v1/dead-letters/{letter}/replay"):  # 409: the letter still can't be read
        _cluster(lambda stage: f"/v1/dead-letters/{stage.letter()}/replay", 409, system=403),
}

#: Each operation that there is.
OPERATIONS = [(operation.method, route.path) for route in ROUTES for operation in route.operations]

def secrets(stage: Stage) -> tuple[str, ...]:
    """Texts that tell of the stage: none may stand in an answer to another project."""
    return (SECRET_NAME, stage.project, "of-the-stage-", "of the stage")
