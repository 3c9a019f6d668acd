"""``/v1/resources/{type}/{id}``: actual state, look now, owner; and ``/v1/changes``."""
from __future__ import annotations

import falcon

from obsvc.api.context import Api
from obsvc.api.render import answer, plain
from obsvc.api.requests import Query
from obsvc.api.resources.cluster import describe
from obsvc.engine_client.observations import ChangesRequest, Resource, ResourceRequest
from obsvc.engine_client.reports import MarkRequest
from obsvc.exceptions import NotFound
from obsvc.model import Condition, partition_of_id


class ResourceByRef:
    def __init__(self, api: Api) -> None:
        self._api = api

    def on_get(self, req: falcon.Request, resp: falcon.Response, resource_type: str, resource_id: str) -> None:
        """The engine's copy; with ``wait`` waits for a version above ``since``, or for the condition ``until``."""
        caller = self._api.allow(req, "resource:read")
        query = Query(req, "region", "wait", "since", "until")
        wait = query.seconds("wait", 0.0, self._api.max_wait)
        resource = self._api.resource(caller, resource_type, resource_id, query.text("region"))
        if wait > 0:
            until = query.choice("until", Condition)
            since = query.whole("since", resource.version) if until is None else None
            found = self._api.shown(caller, self._api.engine.read_resource(
                ResourceRequest(resource.ref, wait, since, until)))
            if found is None:
                raise NotFound(f"{resource_type} {resource_id} is not observed")
            resource = found
        answer(resp, {**plain(resource), "condition": condition(resource)})

    def on_post_check(self, req: falcon.Request, resp: falcon.Response, resource_type: str, resource_id: str) -> None:
        """Mark it, so that its owner looks now; answers the mark's number and the version before the look."""
        caller = self._api.allow(req, "resource:check")
        resource = self._api.resource(caller, resource_type, resource_id, Query(req, "region").text("region"))
        (mark,) = self._api.engine.mark(MarkRequest((resource.ref,), "check")).marks
        if mark is None:
            raise NotFound(f"{resource_type} {resource_id} is not observed any more")
        answer(resp, {"mark": mark, "version": resource.version}, status=falcon.HTTP_202)

    def on_get_owner(self, req: falcon.Request, resp: falcon.Response, resource_type: str, resource_id: str) -> None:
        """Who owns it and why; no observation is needed for an answer."""
        self._api.allow(req, "resource:owner")
        Query(req, "region").text("region")  # the same owner in every region
        number = partition_of_id(resource_id, self._api.partitions())
        answer(resp, {"resource_type": resource_type, "resource_id": resource_id, **describe(self._api, [number])[0]})


def condition(resource: Resource) -> Condition:
    """Its condition; ``unknown`` before the first look."""
    return resource.snapshot.condition if resource.snapshot is not None else Condition.UNKNOWN


class Changes:
    def __init__(self, api: Api) -> None:
        self._api = api

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Deltas after ``since``, oldest first; pass ``next`` as the next ``since``."""
        caller = self._api.allow(req, "changes:read")
        query = Query(req, "since", "wait", "limit", "resource_type", "resource_id", "stack_id", "project_id")
        page = self._api.engine.changes(ChangesRequest(
            since=query.whole("since", 0), wait=query.seconds("wait", 0.0, self._api.max_wait),
            limit=query.limit(500), resource_type=query.text("resource_type"), resource_id=query.text("resource_id"),
            stack_id=query.text("stack_id"),
            project_id=query.text("project_id") if caller.privileged else caller.scope,
        ))
        deltas = [delta for delta in page.deltas if caller.sees(delta.project_id)]
        answer(resp, {"changes": deltas, "next": page.next})
