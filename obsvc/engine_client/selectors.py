"""Messages about selectors: the standing request to observe all of a type, of one project or of all.

Every member holds all selectors; what one of them selects is observed as soon as a member finds it: the owner of its
partition by a notification, or a sweep.  What is gone, or turns out to be another project's, is observed no more.
"""
from __future__ import annotations

import msgspec

from obsvc.model import Ref


class Selector(msgspec.Struct, frozen=True, omit_defaults=True):
    """All resources of a type in a region that belong to ``project_id``, as the *snapshot* names it; None: all."""

    selector_id: str
    region: str
    resource_type: str
    started_at: float
    project_id: str | None = None


class SelectorStart(msgspec.Struct, frozen=True, omit_defaults=True):
    """The same again is the same selector.  service: whose sweep lists the type, to be made soon; None: no sweep."""

    region: str
    resource_type: str
    project_id: str | None = None
    service: str | None = None


class SelectorStop(msgspec.Struct, frozen=True, omit_defaults=True):
    """``project_id`` set: only one of that project; another's is not found."""

    selector_id: str
    project_id: str | None = None


class SelectorsRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """known: the version that the caller has; with ``wait`` > 0 wait up to that many seconds for another."""

    known: int | None = None
    wait: float = 0.0


class SelectorsReply(msgspec.Struct, frozen=True):
    """All of them, as of a version that rises with each start and stop."""

    version: int
    selectors: tuple[Selector, ...]


class DiscoverRequest(msgspec.Struct, frozen=True):
    """Refs that a member has heard of and that selectors may select; at most 1000."""

    refs: tuple[Ref, ...]


class DiscoverReply(msgspec.Struct, frozen=True):
    """started: how many of them are observed from now on.  Those that were already get a look mark."""

    started: int
