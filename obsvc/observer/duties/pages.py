"""How the answers of lists are read, and what leads to the next page.  Pure; any thread.

Every service pages in its own way; all of them answer with a link to the next page, whose path is the list's own.  So
only the link's *query* is taken: its host may be one that we can't reach (a public endpoint, a proxy's name).
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import parse_qsl, urlsplit

from obsvc.catalog.schema import Listing, ResourceType
from obsvc.catalog.snapshots import snapshot
from obsvc.engine_client.duties import BATCH_MAX, SweepItem
from obsvc.model import Condition

#: Longest page of services that don't say their page size: one that is as long, and without a link, may be cut off.
PAGE_MAX = 1000


def first_query(listing: Listing, since: str | None) -> dict[str, str]:
    """The query of a listing's first page.  since: time (ISO 8601, UTC, without a zone) for what changed alone."""
    query = dict(listing.params)
    if listing.limit is not None:
        query["limit"] = str(listing.limit)
    if since is not None and listing.changed_since is not None:
        query[listing.changed_since] = listing.changed_since_value.replace("{time}", since)
    return query


def next_query(before: Mapping[str, str], body: object, key: str) -> dict[str, str] | None:
    """The query of the page after the one that answered ``body``; None where it was the last.

    What the link leaves out stays as it was.  Links: ``<key>_links`` with rel next (nova, neutron, cinder, manila,
    octavia, trove), ``links`` as an object or as a list with rel next (keystone, designate, heat), ``next`` (glance,
    ironic, magnum, barbican).
    """
    if not isinstance(body, Mapping):
        return None
    for link in (_next_of(body.get(f"{key}_links")), _next_of(body.get("links")), body.get("next")):
        if isinstance(link, str) and link:
            return {**before, **dict(parse_qsl(urlsplit(link).query, keep_blank_values=True))}
    return None


def _next_of(links: object) -> object:
    if isinstance(links, Mapping):
        return links.get("next")
    if isinstance(links, list):
        return next((link.get("href") for link in links if isinstance(link, Mapping) and link.get("rel") == "next"),
                    None)
    return None


def cut_off(body: object, count: int, listing: Listing) -> bool:
    """Whether a page without a link to the next, of ``count`` resources, may not be the last."""
    return (isinstance(body, Mapping) and bool(body.get("truncated"))) or count >= (listing.limit or PAGE_MAX)


def items(resource_type: ResourceType, bodies: Iterable[object], listed_at: float) -> Iterator[SweepItem]:
    """What a page has of each resource.  listed_at: seconds since the epoch; see SweepItem.

    Raises ValueError where a resource has no id: such a list is not understood, and proves nothing.
    """
    assert resource_type.listing is not None
    for body in bodies:
        identity = body.get(resource_type.listing.id) if isinstance(body, dict) else None
        if not isinstance(body, dict) or not isinstance(identity, str | int) or not str(identity):
            raise ValueError(f"expected resources with {resource_type.listing.id!r}, got one without")
        seen = snapshot(resource_type, body)
        gone = not seen.exists or seen.condition is Condition.DELETED
        resource_id = str(identity).rstrip("/").rpartition("/")[2] if "://" in str(identity) else str(identity)
        yield SweepItem(resource_id, seen.status, seen.updated_at, gone, listed_at, seen.project_id)


def batches(
    listed: Iterable[SweepItem], *, size: int = BATCH_MAX
) -> Iterator[tuple[tuple[SweepItem, ...], str | None, str | None]]:
    """``(items, after, upto)``, sorted by id; the ranges join without a gap, and there is at least one batch."""
    ordered = sorted({item.resource_id: item for item in listed}.values(), key=lambda item: item.resource_id)
    after: str | None = None
    for start in range(0, max(1, len(ordered)), size):
        batch = tuple(ordered[start:start + size])
        upto = batch[-1].resource_id if start + size < len(ordered) else None
        yield batch, after, upto
        after = upto
