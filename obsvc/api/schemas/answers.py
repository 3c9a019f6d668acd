"""The shapes of answers that ``obsvc.api_types`` has no type for: pages, and what the client gives as plain objects.

They are what the OpenAPI document is written from; the answers themselves are made by ``obsvc.api.render``.
"""
from __future__ import annotations

import msgspec

from obsvc import api_types as types
from obsvc.web import openapi


class Link(msgspec.Struct, frozen=True):
    rel: str
    href: str


class Version(msgspec.Struct, frozen=True):
    id: str
    status: str
    links: list[Link]


class Versions(msgspec.Struct, frozen=True):
    name: str
    version: str
    contract_version: int
    versions: list[Version]


class Observations(msgspec.Struct, frozen=True):
    """marker: pass it as ``marker`` for the next page; null where this one is empty."""

    observations: list[types.Observation]
    marker: str | None = None


class Started(msgspec.Struct, frozen=True):
    """One of them: its observation, or why there is none."""

    observation: types.Observation | None
    error: openapi.ErrorBody | None


class StartedMany(msgspec.Struct, frozen=True):
    """One for each that was asked for, in the same order."""

    results: list[Started]


class Stopped(msgspec.Struct, frozen=True):
    """One of them; error: why it was not stopped, null where it was."""

    observation_id: str
    error: openapi.ErrorBody | None


class StoppedMany(msgspec.Struct, frozen=True):
    """One for each that was asked for, in the same order."""

    results: list[Stopped]


class Selectors(msgspec.Struct, frozen=True):
    """marker: pass it as ``marker`` for the next page; null where this one is empty."""

    selectors: list[types.Selector]
    marker: str | None = None


class Resources(msgspec.Struct, frozen=True):
    """version: of the changes feed, from which to follow.  marker: for the next page; null: this was the last."""

    resources: list[types.Resource]
    version: int
    marker: str | None = None


class Check(msgspec.Struct, frozen=True):
    """mark: the number of the look mark.  version: that of the resource before the look."""

    mark: int
    version: int


class Stacks(msgspec.Struct, frozen=True):
    stacks: list[types.Stack]
    marker: str | None


class StackPlan(msgspec.Struct, frozen=True):
    """The goal's nodes in an order in which they could be made, then what would be left over."""

    nodes: list[types.PlannedNode]


class Nodes(msgspec.Struct, frozen=True):
    resources: list[types.Node]


class Events(msgspec.Struct, frozen=True):
    events: list[types.StackEvent]


class Members(msgspec.Struct, frozen=True):
    """note: why nothing is known of the ring, null where it is."""

    members: list[types.Member]
    engine_time: float
    note: str | None


class Drained(msgspec.Struct, frozen=True):
    """drained_at: since when; null where it is not drained."""

    name: str
    drained_at: float | None


class Partitions(msgspec.Struct, frozen=True):
    partitions: list[types.Partition]
    count: int


class Duties(msgspec.Struct, frozen=True):
    duties: list[types.Duty]
    engine_time: float


class DeadLetter(msgspec.Struct, frozen=True):
    """A message that could not be read.  body: its redacted text; a list is without."""

    letter_id: int
    bus: str
    reason: str
    detail: str
    size: int
    member: str
    received_at: float
    body: str = ""


class DeadLetters(msgspec.Struct, frozen=True):
    letters: list[DeadLetter]


class Marked(msgspec.Struct, frozen=True):
    """A ref that a message named.  mark: null where it is not observed."""

    region: str
    resource_type: str
    resource_id: str
    mark: int | None


class Replayed(msgspec.Struct, frozen=True):
    letter_id: int
    event_type: str
    replayed_at: float
    refs: list[Marked]
    marked: int
    why_none: str | None
