"""The trail of one ref: who owns it and why, and what its owner says that it did and will do.

Its caller has seen to it that the resource is shown to who asks: by its snapshot, as everything of it.
"""
from __future__ import annotations

from typing import Any

from obsvc.api.context import Api
from obsvc.api.partitions import describe
from obsvc.api.render import plain
from obsvc.engine_client.observations import Resource
from obsvc.engine_client.trails import TrailRequest

#: Seconds that the owner has to tell it: it hears of the ask with its long poll, within tenths of a second.
PATIENCE = 3.0


def trail(api: Api, resource: Resource) -> dict[str, Any]:
    """As ``obsvc.api_types.Trail``; NotFound where the ref is observed no more."""
    found = _owned(api, resource)
    if found["owner"] is None:
        return {**found, "why": "nobody owns its partition: nothing is looked at until somebody does; see the members"}
    reply = api.engine.trail(TrailRequest(resource.ref, wait=PATIENCE))
    found = _owned(api, resource)  # it may have moved meanwhile
    if reply.trail is None:
        return {**found, "why": f"its owner {found['owner'] and found['owner']['name']} did not say within "
                                f"{PATIENCE:g} s: it is away, reads its lists, or does not know trails yet"}
    return {**found, **plain(reply.trail), "told_by": plain(reply.member)}


def _owned(api: Api, resource: Resource) -> dict[str, Any]:
    """Who owns it; nothing told yet."""
    owned = describe(api, [resource.partition])[0]
    found = {name: owned[name] for name in ("partition", "intended", "owner", "generation", "since")}
    return {**found, "ownership": owned["why"], "told_by": None, "told_at": None, "next_at": None, "next_cause": None,
            "events": []}
