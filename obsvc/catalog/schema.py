"""What a resource type is, as data: the shape of the files in ``obsvc/catalog/data``.

One YAML file describes one service.  msgspec checks it: an unknown key, a missing one or a wrong type is refused
with the place.  A file in an operator's folder adds a service or replaces one of the same ``service`` name.
"""
from __future__ import annotations

import msgspec

from obsvc.model import Condition, Look


class Fetch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """``GET <endpoint><path>`` answers the resource under ``key`` (None: the answer is the resource itself).

    path: with ``{id}`` for the id, url-quoted.  min_version: the API version prefix that the path needs behind
    the catalogue's endpoint when that has none (``/v2.0`` for neutron, ``/v3`` for keystone), else empty.
    microversion: sent as OpenStack-API-Version; None: none is sent.
    """

    path: str
    key: str | None = None
    version_prefix: str = ""
    microversion: str | None = None


class Listing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How all resources of the type are listed: for sweeps and resyncs.  changed_since: the query parameter."""

    path: str
    key: str
    params: dict[str, str] = {}
    changed_since: str | None = None


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


class ResourceType(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One type of resource: how it is fetched and read.

    project_fields, name_fields, updated_fields: the first that the answer has counts.
    attributes: fields kept in the snapshot and compared for deltas (drift); all others are ignored.
    """

    fetch: Fetch
    status: StatusRule = StatusRule()
    listing: Listing | None = None
    project_fields: tuple[str, ...] = ("project_id", "tenant_id")
    name_fields: tuple[str, ...] = ("name",)
    updated_fields: tuple[str, ...] = ("updated_at", "updated")
    attributes: tuple[str, ...] = ()


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What one pattern of event types means; the first that matches counts.

    match: glob over the event type (``compute.instance.*``; ``*`` takes dots too).
    families: only in these payload families; empty: any.
    type: the resource type, a key of the service's ``types``, or any other name for one that is known but can't
    be fetched; None: about no resource, with the reason in ``why``.
    id, project: alternative paths into the payload, first hit counts; ``payload.`` is left out, ``[*]`` takes each
    item of a list (bulk events).  Versioned objects are unwrapped first by one rule (``x.nova_object.data`` → ``x``).
    state: path of the state that the payload announces, and task: a path that must be null or "" for that state
    to be settled.  look: how urgent; phase: overrides what the event type's last part says (``none`` for none).
    """

    match: str
    type: str | None = None
    families: tuple[str, ...] = ()
    id: tuple[str, ...] = ()
    project: tuple[str, ...] = ()
    state: str | None = None
    task: str | None = None
    look: Look = Look.MERGE
    phase: str | None = None
    why: str | None = None


class Service(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One service: one file.

    service: the project's name (``nova``).  service_type: in the identity catalogue (``compute``), with
    aliases: older names of it.  exchanges and publishers (globs) help to tell services whose event types collide.
    """

    service: str
    service_type: str
    aliases: tuple[str, ...] = ()
    exchanges: tuple[str, ...] = ()
    publishers: tuple[str, ...] = ()
    types: dict[str, ResourceType] = {}
    events: tuple[Event, ...] = ()
