"""What a resource type is, as data: the shape of the files in ``obsvc/catalog/data``.

One YAML file describes one service.  msgspec checks it: an unknown key, a missing one or a wrong type is refused
with the place.  A file in an operator's folder adds a service or replaces one of the same ``service`` name.
"""
from __future__ import annotations

from typing import Literal

import msgspec

from obsvc.model import Condition, Family, Urgency


class Fetch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """``GET <endpoint><path>`` answers the resource under ``key`` (None: the answer is the resource itself).

    path: with ``{id}`` for the id, url-quoted.  version_prefix: the API version that the path needs behind the
    catalogue's endpoint when that has none (``/v2.0`` for neutron, ``/v3`` for keystone), else empty.
    microversion: sent in the header that the service wants; None: none is sent.  headers: further ones, always
    the same (designate answers for other projects only when asked to).
    """

    path: str
    key: str | None = None
    version_prefix: str = ""
    microversion: str | None = None
    headers: dict[str, str] = {}


class Listing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How all resources of the type are listed: for sweeps and resyncs.

    Version prefix and headers are those of the type's ``fetch``.  changed_since: the query parameter that leaves out
    what has not changed; None: there is none.  changed_since_value: what it is given, with ``{time}`` for the time
    (ISO 8601, UTC, without a zone; glance wants ``gte:`` before it).  microversion: where it is not the fetch's.
    ids: the query parameter that, given once for each id (``id=a&id=b``), lists just these, in the form of ``fetch``'s
    answer with the id under ``id``; None: there is none.  With it, due looks share requests.
    id: where the id stands (of a URL the last part).  limit: how many are asked for in a page; None: as the service
    has it.  all_projects: the list has what every project owns, so that what it lacks may be gone.
    """

    path: str
    key: str
    params: dict[str, str] = {}
    changed_since: str | None = None
    changed_since_value: str = "{time}"
    microversion: str | None = None
    ids: str | None = None
    id: str = "id"
    limit: int | None = None
    all_projects: bool = True


class StatusRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How the raw status maps to a condition.

    field: where the raw status stands (dots go into objects); None: the type has none and exists as ``active``.
    conditions: raw status (compared without case) → condition; one that is not listed is ``unknown``.
    pending_fields: while one of these has a value other than null or "", something is under way: not settled
    (``OS-EXT-STS:task_state``).  unsettled: conditions under which the resource is not settled in any case.
    reason_fields: where the service explains an error.
    """

    field: str | None = None
    conditions: dict[str, Condition] = {}
    pending_fields: tuple[str, ...] = ()
    unsettled: tuple[Condition, ...] = (Condition.PENDING,)
    reason_fields: tuple[str, ...] = ()


class Payload(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Notifications of the type carry the resource as the API answers it (:attr:`Event.body`), so that an operator may
    trust them (``[catalog] trust_payload``).

    order: the field of the resource, in the API's answer and in the payload, that rises with each change: a number, or
    a time (ISO 8601).
    """

    order: str


class ResourceType(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One type of resource: how it is fetched and read.

    project_fields, name_fields, updated_fields: the first that the answer has counts.
    attributes: fields kept in the snapshot and compared for deltas (drift); all others are ignored.
    payload: None where no notification has the resource whole.
    """

    fetch: Fetch
    status: StatusRule = StatusRule()
    listing: Listing | None = None
    project_fields: tuple[str, ...] = ("project_id", "tenant_id")
    name_fields: tuple[str, ...] = ("name",)
    updated_fields: tuple[str, ...] = ("updated_at", "updated")
    attributes: tuple[str, ...] = ()
    payload: Payload | None = None


class Related(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Another resource that an event changes: a look is made at it instead (a rule changes its security group)."""

    type: str
    id: tuple[str, ...]


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What one pattern of event types means; the first that matches counts.

    match: glob over the event type (``compute.instance.*``; ``*`` takes dots too).
    each: word → resource type; the event stands once for each, with ``{each}`` in match, id, project, state, body
    and related replaced by the word, and ``type`` by the type.
    families: only in these payload families; empty: any.  publishers: only from these (globs); empty: any.
    type: the resource type, a key of the service's ``types``, or any other name for one that is known but can't
    be fetched; None: about no resource, with the reason in ``why``.
    type_field, type_map: a path whose value tells the type instead (neutron's tags).  type_where: path → type; the
    first path that has a value tells the type instead (swift's objects and containers).
    id, project: alternative paths into the payload, first hit counts; ``payload.`` is left out, ``[*]`` takes each
    item of a list (bulk events).  Versioned objects are unwrapped first by one rule (``x.nova_object.data`` → ``x``).
    ``$context`` as a project: the project of the request's context (``_context_*``), the caller's.
    id_after: where an id holds this text, what follows its last one counts (``/`` for heat's ARNs).
    related: looks go there instead of to the subject.
    state: path of the state that the payload announces, and task: a path that must be null or "" for that state
    to be settled.  states: the payload's word → the API's raw status, where they differ (else the service's).
    announces: the raw status that the event announces whatever its payload says (``DELETED``).
    body: path of the resource as the API answers it after the event (``.``: the payload itself), for types with
    ``payload``; None: it has none.
    look: how urgent, where no settled state is announced (one that is asks for ``now``, unless look is ``none``).
    phase: overrides what the event type's last part says (``none`` for none).
    outcome: a CADF outcome of ``success`` counts as the phase ``end`` (the service sends pairs).
    """

    match: str
    each: dict[str, str] = {}
    type: str | None = None
    type_field: str | None = None
    type_map: dict[str, str] = {}
    type_where: dict[str, str] = {}
    families: tuple[Family, ...] = ()
    publishers: tuple[str, ...] = ()
    id: tuple[str, ...] = ()
    id_after: str | None = None
    project: tuple[str, ...] = ()
    related: tuple[Related, ...] = ()
    state: str | None = None
    task: str | None = None
    states: dict[str, str] = {}
    announces: str | None = None
    body: str | None = None
    look: Urgency = Urgency.MERGE
    phase: Literal["start", "end", "error", "progress", "none"] | None = None
    outcome: bool = False
    why: str | None = None


class Service(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One service: one file.

    service: the project's name (``nova``).  service_type: in the identity catalogue (``compute``), with
    aliases: older names of it.  exchanges and publishers (globs) help to tell services whose event types collide.
    objects: namespaces of its versioned payloads (``nova_object.…``); empty: the service's name.
    signs: path into a payload → globs; a payload with such a value there comes from this service (the audit
    middleware writes in every service's name).
    source: filled in on loading: the file it is from.
    states: the words of its payloads → the API's raw statuses, for every event that has no ``states`` itself.
    """

    service: str
    service_type: str
    aliases: tuple[str, ...] = ()
    exchanges: tuple[str, ...] = ()
    publishers: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    signs: dict[str, tuple[str, ...]] = {}
    states: dict[str, str] = {}
    types: dict[str, ResourceType] = {}
    events: tuple[Event, ...] = ()
    source: str = ""
