"""The trail of one ref: who owns it and why, and what its owner says it did and will do.

The caller of this module has checked that the resource may be shown, by its snapshot, as for everything else of it.
"""
from __future__ import annotations

from typing import Any

from obsvc.api.context import Api
from obsvc.api.partitions import describe
from obsvc.api.render import plain
from obsvc.engine_client.observations import Resource
from obsvc.engine_client.trails import TrailRequest

#: Seconds that the owner has to answer: it receives the request with its long poll, within tenths of a second.
PATIENCE = 3.0


def trail(api: Api, resource: Resource) -> dict[str, Any]:
    """As ``obsvc.api_types.Trail``; NotFound where the ref is observed no more."""
    ownership = _owned(api, resource)
    if ownership["owner"] is None:
        return {**ownership,
                "why": "nobody owns its partition: nothing is looked at until somebody does; see the members"}
    reply = api.engine.trail(TrailRequest(resource.ref, wait=PATIENCE))
    ownership = _owned(api, resource)  # it may have moved meanwhile
    if reply.trail is None:
        return {**ownership, "why": f"its owner {ownership['owner'] and ownership['owner']['name']} did not say within "
                                f"{PATIENCE:g} s: it is away, reads its lists, or does not know trails yet"}
    return {**ownership, **plain(reply.trail), "told_by": plain(reply.member)}


def _owned(api: Api, resource: Resource) -> dict[str, Any]:
    """Who owns it; what the owner says is left empty."""
    owned = describe(api, [resource.partition])[0]
    ownership = {name: owned[name] for name in ("partition", "intended", "owner", "generation", "since")}
    return {**ownership, "ownership": owned["why"], "told_by": None, "told_at": None, "next_at": None,
            "next_cause": None, "events": []}
