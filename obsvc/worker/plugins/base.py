"""The contract of a resource plugin: start an action and return; whether it ends well is the observer's to see.

A plugin object is shared by all threads of the worker and keeps no state of a job.  It never polls.  Errors:
:class:`ActionFailed` (or a cloud's ``CallFailed``) with ``retriable`` saying whether another attempt may help.

The marker.  It travels *in the create request*, never in a later call: as metadata (``obsvc_marker``) where the API
has it, else at the end of the description.  Before a create on a later attempt one listing, filtered by name, looks
for what an earlier attempt may have made, and adopts it.  A delete without a known id looks for it likewise.  A
listing that fails half way proves nothing: the attempt fails as retriable.
"""
from __future__ import annotations

import abc
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from obsvc.cloud.calls import Answer, CallFailed
from obsvc.engine_client.jobs import Action, Job
from obsvc.exceptions import ObsvcError
from obsvc.model import Ref
from obsvc.process import failpoints

LOG = logging.getLogger(__name__)

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
NUMBER = (int,)
TRUTH = (bool,)
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


@dataclass(frozen=True)
class Api:
    """Where a REST plugin's resources live: ``{collection}/{id}``, the body under ``key``, lists under ``keys``."""

    service: str
    collection: str
    key: str
    keys: str
    listing: str | None = None


class RestPlugin(Plugin):
    """A plugin for an API with one collection; subclasses write ``body`` and, for lookups by name, ``resolve``."""

    api: ClassVar[Api]

    @abc.abstractmethod
    def body(self, job: Job, properties: Mapping[str, Any]) -> dict[str, Any]:
        """The create request's resource, marker and all.  Pure."""

    @abc.abstractmethod
    def marked(self, job: Job, found: Mapping[str, Any]) -> bool:
        """Whether a listed resource carries this node's marker.  Pure."""

    def request(self, job: Job, properties: Mapping[str, Any]) -> dict[str, Any]:
        """The whole create request.  Pure."""
        return {self.api.key: self.body(job, properties)}

    def changes(self, job: Job, properties: Mapping[str, Any]) -> dict[str, Any]:
        """The update request's resource.  Pure."""
        in_place = {name for name, known in (self.properties or {}).items() if known.in_place}
        return {(self.properties or {})[name].field or name: value for name, value in properties.items()
                if name in in_place and value is not None}

    def resolve(self, properties: Mapping[str, Any], clients: Clients, region: str) -> dict[str, Any]:
        """``properties`` with names replaced by ids where the API wants ids."""
        return dict(properties)

    def handle_create(self, job: Job, clients: Clients, confirm: Confirm) -> Created:
        self.check(job.properties)
        region = clients.region(job)
        if job.attempt > 1:
            made = self._all_marked(job, clients, region)
            if made:
                return Created(Ref(region, self.resource_type, made[0]), adopted=True)
        request = self.request(job, self.resolve(job.properties, clients, region))
        confirm()
        failpoints.hit("create.before")
        answer = clients.call(region, self.api.service, "POST", self.api.collection, json=request)
        failpoints.hit("create.after")
        return Created(self._ref(region, answer.body), answer.request_id)

    def handle_update(self, job: Job, clients: Clients) -> Created:
        self.check(job.properties)
        region, resource_id = clients.region(job), _live(job)
        changes = self.changes(job, self.resolve(job.properties, clients, region))
        answer = clients.call(region, self.api.service, "PUT", f"{self.api.collection}/{resource_id}",
                              json={self.api.key: changes})
        return Created(Ref(region, self.resource_type, resource_id), answer.request_id)

    def handle_delete(self, job: Job, clients: Clients) -> Deleting | Gone:
        region = clients.region(job)
        if job.resource_id is not None:
            return self._delete(job.resource_id, clients, region)
        # Two attempts may each have made one that nobody knows of: none of them is left behind.
        results = [self._delete(found, clients, region) for found in self._all_marked(job, clients, region)]
        return next((one for one in results if isinstance(one, Deleting)), Gone())

    def handle_sweep(self, job: Job, clients: Clients) -> Gone:
        region = clients.region(job)
        for found in self._all_marked(job, clients, region):
            if found != job.resource_id:
                LOG.warning("%s %s is a double (marker %s): deleted", self.type, found, job.marker)
                self._delete(found, clients, region)
        return Gone()

    def _delete(self, resource_id: str, clients: Clients, region: str) -> Deleting | Gone:
        try:
            answer = clients.call(region, self.api.service, "DELETE", f"{self.api.collection}/{resource_id}")
        except CallFailed as error:
            if error.status == 404:
                return Gone(error.request_id)
            raise
        return Deleting(Ref(region, self.resource_type, resource_id), answer.request_id)

    def _ref(self, region: str, body: Mapping[str, Any]) -> Ref:
        resource_id = (body.get(self.api.key) or {}).get("id")
        if not isinstance(resource_id, str) or not resource_id:
            raise ActionFailed(f"expected the new {self.api.key}'s id in the answer, got none", retriable=True)
        return Ref(region, self.resource_type, resource_id)

    def _all_marked(self, job: Job, clients: Clients, region: str) -> list[str]:
        """The resources that earlier attempts made, oldest first: all pages of one listing, filtered by name where that
        is exact."""
        path: str | None = self.api.listing or self.api.collection
        # A delete may not carry the properties, and so not the name, that the resource was created with.
        params: dict[str, Any] | None = self.filter(job) if job.action in (Action.CREATE, Action.SWEEP) else None
        found = []
        while path is not None:
            answer = clients.call(region, self.api.service, "GET", path, params=params)
            found += [one for one in answer.body.get(self.api.keys, ()) if self.marked(job, one)]
            path, params = _next_link(answer.body, self.api.keys), None
        found.sort(key=lambda one: (str(one.get("created_at") or one.get("created") or ""), str(one.get("id"))))
        return [one["id"] for one in found]

    def filter(self, job: Job) -> dict[str, Any]:
        """The listing's query parameters; what they leave in may be more than is marked, never less."""
        return {"name": name_of(job)}


def name_of(job: Job) -> str:
    """The resource's name: the property, else the stack's and node's names, with the node's id to tell two apart."""
    name = job.properties.get("name")
    return name if isinstance(name, str) and name else f"{job.stack_name}-{job.node_name}-{job.node_id[-8:]}"


def marker_metadata(job: Job) -> dict[str, str]:
    """The marker for APIs whose resources carry metadata."""
    return {"obsvc_marker": job.marker}


def marker_description(job: Job, text: str | None) -> str:
    """The marker for APIs that have only a description: behind the user's own text."""
    return f"{text or ''} {job.marker}".strip()


def in_metadata(job: Job, metadata: Any) -> bool:
    """Whether ``metadata`` carries the job's marker."""
    return isinstance(metadata, Mapping) and metadata.get("obsvc_marker") == job.marker


def in_description(job: Job, text: Any) -> bool:
    """As :func:`in_metadata`, for a description."""
    return isinstance(text, str) and job.marker in text.split()


def _live(job: Job) -> str:
    if job.resource_id is None:
        raise ActionFailed(f"expected the resource's id in the {job.action} job {job.job_id}, got none")
    return job.resource_id


def _next_link(body: Mapping[str, Any], keys: str) -> str | None:
    for link in body.get(f"{keys}_links") or ():
        if isinstance(link, Mapping) and link.get("rel") == "next":
            return link.get("href")
    return None
