"""The value types that every part of obsvc shares, and the hash that places a ref in a partition.

Everything here is frozen, typed, and free of effects: it may be used from any thread and crosses process
borders as JSON by msgspec (struct field names are the wire names).  Nothing in this module imports another
obsvc module.
"""
from __future__ import annotations

import enum
import functools
import zlib
from typing import Any, NewType

import msgspec

#: Fencing token of one partition.  Rises by one with each grant, never falls, never repeats.
Generation = NewType("Generation", int)

#: Index of a hash bucket, ``0 <= PartitionId < P``.
PartitionId = NewType("PartitionId", int)

#: Position of a delta in the changes feed: gap-free, in commit order, from 1.
Version = NewType("Version", int)

#: P, unless the database was made with another.  A power of two keeps ``partition`` a mask in other
#: languages; 1024 keeps shares within 12 % at 50 members (docs/partitioning.md) and a claim of all small.
DEFAULT_PARTITIONS = 1024


class Condition(enum.StrEnum):
    """Where a resource stands, whatever words its service uses for it."""

    PENDING = "pending"  #: something is under way; another state will follow by itself
    ACTIVE = "active"  #: settled and usable (a stopped server is settled too; see the catalogue)
    ERROR = "error"  #: the service says that it failed
    DELETED = "deleted"  #: the service says that it is gone
    UNKNOWN = "unknown"  #: never seen yet, or a status that the catalogue does not know


class Phase(enum.StrEnum):
    """What part of an operation a notification announces; many announce none."""

    START = "start"
    END = "end"
    ERROR = "error"
    PROGRESS = "progress"


class Family(enum.StrEnum):
    """The format of a notification's payload, told from the payload and never from the topic."""

    UNVERSIONED = "unversioned"
    VERSIONED = "versioned"
    CADF = "cadf"


class Urgency(enum.StrEnum):
    """How urgently a notification asks for a look at its resource (the catalogue says it per event)."""

    NOW = "now"  #: a settled state was announced: look at once, even within the coalescing interval
    MERGE = "merge"  #: look at once after quiet, else with the look that ends the coalescing interval
    NONE = "none"  #: nothing of the resource can have changed


class Cause(enum.StrEnum):
    """Why a fetch was made; reports and metrics name it so that fetches can be accounted for."""

    STARTED = "started"  #: its observation was just started
    NOTIFIED = "notified"
    SETTLE = "settle"  #: the look that follows, since the API may be behind its notification
    POLLED = "polled"
    MARKED = "marked"  #: a look mark at the engine: check-now, a sweep, a mark after a takeover
    TAKEOVER = "takeover"  #: the partition changed hands
    RESYNC = "resync"  #: notifications may have been missed
    RETRY = "retry"  #: the fetch before failed
    PAYLOAD = "told"  #: no fetch: a notification's payload was taken for the snapshot (``[catalog] trust_payload``)


class Ref(msgspec.Struct, frozen=True, order=True, array_like=True):
    """The name of one cloud resource: hashable, sortable, ``["RegionOne", "compute.server", "<id>"]`` in JSON.

    region: the region's name as the identity catalogue spells it.
    resource_type: ``<service type>.<resource>`` as openstacksdk spells it, e.g. ``compute.server``.
    resource_id: the service's own id; mostly a UUID, but any text is legal.
    """

    region: str
    resource_type: str
    resource_id: str

    def __str__(self) -> str:
        return f"{self.region}/{self.resource_type}/{self.resource_id}"


def partition(ref: Ref, partitions: int = DEFAULT_PARTITIONS) -> PartitionId:
    """The partition that ``ref`` belongs to: crc32 (ISO 3309) of the id's UTF-8 bytes, modulo ``partitions``.

    Only the id is hashed, so that a notification's owner is known before its region and type are.  The value
    is part of the contract between members: a test pins it.
    """
    return partition_of_id(ref.resource_id, partitions)


@functools.lru_cache(maxsize=8192)  # one notification asks several times, and several come for one resource
def partition_of_id(resource_id: str, partitions: int = DEFAULT_PARTITIONS) -> PartitionId:
    """As :func:`partition`, for a resource id alone."""
    return PartitionId(zlib.crc32(resource_id.encode("utf-8", "surrogatepass")) % partitions)


class MemberId(msgspec.Struct, frozen=True, order=True):
    """One observer process: ``name`` is stable over restarts, ``incarnation`` is random per start."""

    name: str
    incarnation: str

    def __str__(self) -> str:
        return f"{self.name}@{self.incarnation}"

    def encode(self) -> bytes:
        """The id under which this member joins its tooz group."""
        return str(self).encode()

    @classmethod
    def decode(cls, raw: bytes | str) -> MemberId:
        """Read back what :meth:`encode` made; a value without ``@`` becomes a member with no incarnation."""
        text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
        name, _, incarnation = text.rpartition("@")
        return cls(name, incarnation) if name else cls(incarnation, "")


class Snapshot(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one fetch saw of one ref.

    exists: False when the service answered that there is no such resource (and that was confirmed).
    condition: the raw status mapped to one scale by the catalogue.
    status: the service's own word (``ACTIVE``, ``in-use`` …), None where the type has none.
    settled: the service has nothing under way on it (e.g. a nova task state of None).
    project_id: the owner as the *API* names it; the only one that tenancy may rely on.
    attributes: the fields that the catalogue names for the type, by their API names.
    status_reason: the service's own explanation of an error, where it gives one.
    updated_at: the service's own time of last change (ISO 8601 text), as it came.
    fetched_at: when the request was sent, seconds since the epoch by the member's clock.
    request_id: the cloud's ``x-openstack-request-id`` of the answer.
    """

    exists: bool
    condition: Condition
    status: str | None = None
    settled: bool = True
    project_id: str | None = None
    name: str | None = None
    attributes: dict[str, Any] = {}
    status_reason: str | None = None
    updated_at: str | None = None
    fetched_at: float = 0.0
    request_id: str | None = None


class PayloadState(msgspec.Struct, frozen=True):
    """What the payload of a notification says of a resource, where the type's payloads are trusted.

    snapshot: as a fetch would have made it.  order: rises with each change of the resource.  lacks: None, else why the
    payload does not do for a snapshot: the names that it lacks, or what is wrong with it.
    """

    snapshot: Snapshot | None = None
    order: float | None = None
    lacks: str | None = None


class Notification(msgspec.Struct, frozen=True):
    """One decoded notification: what decides, not the payload.

    refs is empty where the message is about no resource that can be looked at; ``why_none`` then says why.
    A look at ``refs`` settles it.  ``state`` is the state that the payload announces, in the service's own
    words and only where the catalogue says that the event announces a settled one.  ``under_way``: it announces no
    more than that something is under way (a beginning, a task, a state that another will follow).
    resource_type and resource_ids name the subject, also where refs does not (a type that can't be fetched) or
    names another (a security group for its rule); listed: the payload had a list of them (bulk requests).
    ``timestamp`` is the envelope's text as it came: payload times order nothing.  ``request_id`` is that of
    the service's request (or periodic task) that sent it.  ``payload_state`` is there only where the type's payloads
    are trusted, and the event has one.
    """

    event_type: str
    service: str | None
    family: Family
    refs: tuple[Ref, ...] = ()
    resource_type: str | None = None
    project_id: str | None = None
    phase: Phase | None = None
    look: Urgency = Urgency.MERGE
    timestamp: str | None = None
    message_id: str | None = None
    request_id: str | None = None
    publisher_id: str | None = None
    state: str | None = None
    guessed: bool = False
    why_none: str | None = None
    resource_ids: tuple[str, ...] = ()
    listed: bool = False
    under_way: bool = False
    payload_state: PayloadState | None = None
