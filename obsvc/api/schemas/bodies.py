"""Bodies of requests: their types, and how they are read.  A refusal names what is wrong."""
from __future__ import annotations

import math
from typing import Annotated, Any, Literal, TypeVar

import falcon
import msgspec

from obsvc.exceptions import InvalidInput, TooLarge
from obsvc.model import Condition

T = TypeVar("T")

#: Parts of a ref, as the engine takes them: no database holds a NUL.
ResourceId = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[^\u0000]*$")]
Region = Annotated[str, msgspec.Meta(max_length=64, pattern=r"^[^\u0000]*$")]

#: Seconds until a deadline.
Seconds = Annotated[float, msgspec.Meta(gt=0)]

#: Largest body, bytes: the largest legal template (Heat's max_template_size is 512 KiB) as JSON text, and some room.
BODY_LIMIT = 2 * 1024 * 1024

#: Most observations that one request starts.
START_MOST = 1000


class StartBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One observation to start.  timeout: seconds until its deadline."""

    resource_type: str
    resource_id: ResourceId
    region: Region | None = None
    goal: Condition | None = None
    timeout: Seconds | None = None
    labels: dict[str, str] = {}


#: Several observations to start in one request.
StartList = Annotated[list[StartBody], msgspec.Meta(min_length=1, max_length=START_MOST)]


class StartManyBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Several observations to start."""

    observations: StartList


class StartEach(StartBody, frozen=True, forbid_unknown_fields=True):
    """One of many, each answered separately, also where its type can't be observed."""


class StartEachBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Several observations to start, each answered separately."""

    observations: Annotated[list[StartEach], msgspec.Meta(min_length=1, max_length=START_MOST)]


class StopManyBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Several observations to stop, by their ids."""

    observation_ids: Annotated[list[str], msgspec.Meta(min_length=1, max_length=START_MOST)]


class StartStackBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Observations for every resource that a stack has now."""

    stack: str
    goal: Condition | None = None
    timeout: Seconds | None = None
    labels: dict[str, str] = {}


class SelectorBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Observe all of a type.  project_id: for admin and service, null: of all projects; else the caller's own."""

    resource_type: str
    region: Region | None = None
    project_id: Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[^\u0000]*$")] | None = None


class StackBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A stack to create.  template: HOT as text, or as the object that it stands for."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    template: str | dict[str, Any]
    parameters: dict[str, Any] = {}
    region: str | None = None
    timeout: Seconds | None = None
    on_drift: Literal["report"] = "report"
    disable_rollback: bool = True


class StackGoalBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another goal for a stack: the whole of it, as in StackBody."""

    template: str | dict[str, Any]
    parameters: dict[str, Any] = {}
    timeout: Seconds | None = None
    disable_rollback: bool = True


class StackCancelBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Stop what is in progress; rollback: and go back to the last goal that was reached."""

    rollback: bool = True


def template_text(template: str | dict[str, Any]) -> str:
    """The HOT text of a body's ``template``."""
    return template if isinstance(template, str) else msgspec.json.encode(template).decode()


def read_json(req: falcon.Request) -> Any:
    """The body, decoded; InvalidInput unless it is JSON, TooLarge above BODY_LIMIT."""
    body = req.bounded_stream.read(BODY_LIMIT + 1)
    if len(body) > BODY_LIMIT:
        raise TooLarge(f"expected a body of at most {BODY_LIMIT} bytes, got more")
    if not body:
        raise InvalidInput("expected a body of JSON, got none")
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:  # RecursionError: nested too deeply
        raise InvalidInput(f"expected a body of JSON: {error}") from error


def read_as(value: Any, kind: type[T]) -> T:
    """``value`` as ``kind``; InvalidInput says what differs and where."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"the body can't be taken: {error}") from error


def check_timeout(timeout: float | None) -> float | None:
    """A time-out in seconds, or none."""
    if timeout is not None and not (timeout > 0 and math.isfinite(timeout)):
        raise InvalidInput(f"timeout: expected seconds above 0, got {timeout}")
    return timeout
