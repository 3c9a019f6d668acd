"""The contract of a resource plugin: start an action and return; whether it ends well is the observer's to see.

A plugin object is shared by all threads of the worker and keeps no state of a job.  It never polls.  Errors:
:class:`ActionFailed` (or a cloud's ``CallFailed``) with ``retriable`` saying whether another attempt may help.
"""
from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from obsvc.cloud.calls import Answer
from obsvc.engine_client.jobs import Job
from obsvc.exceptions import ObsvcError
from obsvc.model import Ref

#: Confirms the attempt with the engine; to be called right before the create request.  Raises LeaseLost.
Confirm = Callable[[], None]


class ActionFailed(ObsvcError):
    """The action can't be started.  retriable: another attempt may help."""

    code = "action_failed"

    def __init__(self, message: str, *, retriable: bool = False) -> None:
        super().__init__(message)
        self.retriable = retriable


class LeaseLost(ObsvcError):
    """The job is not (or no longer) this worker's: stop at once, and answer nothing."""

    code = "lease_lost"
    http_status = 409


@dataclass(frozen=True)
class Created:
    """A create or update was started.  adopted: an earlier attempt had created it."""

    ref: Ref
    request_id: str | None = None
    adopted: bool = False


@dataclass(frozen=True)
class Replace:
    """The update can't be made in place: these properties can't be changed."""

    properties: tuple[str, ...]


@dataclass(frozen=True)
class Deleting:
    """A delete was started; the resource may be there for a while."""

    ref: Ref
    request_id: str | None = None


@dataclass(frozen=True)
class Gone:
    """There is nothing to delete (any more)."""

    request_id: str | None = None


class Clients(Protocol):
    """What a plugin may ask of the cloud; see ``obsvc.worker.clients``."""

    def region(self, job: Job) -> str: ...

    def call(self, region: str, service: str, method: str, path: str, *, json: Mapping[str, Any] | None = None,
             params: Mapping[str, Any] | None = None) -> Answer: ...

    def find_id(self, region: str, kind: str, name_or_id: str) -> str: ...


class BoundedClients(Protocol):
    """What the worker makes a job's :class:`Clients` of."""

    def within(self, seconds: float) -> Clients: ...


@dataclass(frozen=True)
class Property:
    """One property of a HOT resource type.

    kinds: Python types that a value may have.  in_place: it can be changed without replacing the resource.
    field: its name in the request, where that differs.
    """

    kinds: tuple[type, ...]
    required: bool = False
    in_place: bool = False
    field: str | None = None


TEXT = (str,)
INTEGER = (int,)
BOOLEAN = (bool,)
LIST = (list, tuple)
MAP = (dict,)


class Plugin(abc.ABC):
    """Starts actions on one HOT resource type."""

    #: The HOT type, and what observers call it.
    type: ClassVar[str]
    resource_type: ClassVar[str]
    #: Every property that is known; None: any is taken.
    properties: ClassVar[Mapping[str, Property] | None]

    @abc.abstractmethod
    def handle_create(self, job: Job, clients: Clients, confirm: Confirm) -> Created:
        """Start the creation, unless an earlier attempt has."""

    @abc.abstractmethod
    def handle_update(self, job: Job, clients: Clients) -> Created:
        """Start changing ``job.resource_id`` in place to ``job.properties``."""

    @abc.abstractmethod
    def handle_delete(self, job: Job, clients: Clients) -> Deleting | Gone:
        """Start the deletion of ``job.resource_id``."""

    def handle_sweep(self, job: Job, clients: Clients) -> Gone:
        """Delete whatever carries ``job.marker`` but ``job.resource_id``; here: nothing is looked for."""
        return Gone()

    def needs_replacement(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
        """Names of the changed properties that can't be changed in place; empty: an update will do."""
        known = self.properties or {}
        changed = (name for name in sorted({*before, *after}) if before.get(name) != after.get(name))
        return tuple(name for name in changed if not (name in known and known[name].in_place))

    def check(self, properties: Mapping[str, Any]) -> None:
        """Raise ActionFailed, naming the property, for one that is unknown, missing or of a wrong type."""
        if self.properties is None:
            return
        for name in properties:
            if name not in self.properties:
                known_names = ", ".join(sorted(self.properties))
                raise ActionFailed(f"{self.type} has no property {name!r}: expected one of {known_names}")
        for name, known in self.properties.items():
            value = properties.get(name)
            if value is None:
                if known.required:
                    raise ActionFailed(f"{self.type} needs the property {name!r}")
            elif not isinstance(value, known.kinds) or (isinstance(value, bool) and bool not in known.kinds):
                kinds = " or ".join(kind.__name__ for kind in known.kinds)
                raise ActionFailed(f"property {name!r} of {self.type}: expected {kinds}, got {type(value).__name__}")
