"""``/v1/resources``: list, and of each ``/{type}/{id}``: actual state, look now, owner."""
from __future__ import annotations

from typing import Any

import falcon

from obsvc.api.caller import Caller
from obsvc.api.context import Api
from obsvc.api.partitions import describe
from obsvc.api.render import answer, answer_once, plain
from obsvc.api.schemas.queries import RegionQuery, ResourceQuery, ResourcesQuery
from obsvc.api.streaming import waiting
from obsvc.api.trail import trail
from obsvc.engine_client.observations import Resource, ResourceRequest, ResourcesRequest
from obsvc.engine_client.reports import MarkRequest
from obsvc.exceptions import NotFound
from obsvc.model import Condition, partition_of_id


class Resources:
    def __init__(self, api: Api) -> None:
        self._api = api

    def on_get(self, req: falcon.Request, resp: falcon.Response, caller: Caller, query: ResourcesQuery) -> None:
        """A page of the resources that the engine knows.  A client that then follows the changes from the first page's
        version misses none.

        Before its first look a resource has no project, and only admin and service see it here.
        """
        page = self._api.engine.list_resources(ResourcesRequest(
            resource_type=query.resource_type, resource_id=query.resource_id,
            region=query.region, condition=query.condition,
            project_id=query.project_id if caller.privileged else caller.scope,
            stack_id=query.stack_id, label=query.label, labelled_by=caller.scope,
            since=query.since,
            marker=query.marker, limit=query.limit,
        ))
        shown = [described(resource) for resource in page.resources if self._api.shows(caller, resource)]
        answer(resp, {"resources": shown, "version": page.version, "marker": page.marker})


class ResourceByRef:
    def __init__(self, api: Api) -> None:
        self._api = api

    def on_get(
        self, req: falcon.Request, resp: falcon.Response, resource_type: str, resource_id: str, caller: Caller,
        query: ResourceQuery,
    ) -> None:
        """The engine's copy; with ``wait`` waits for a version above ``since``, or for the condition ``until``.

        With ``trail`` also what its owner did about it lately and will do, where the caller may see its snapshot.
        """
        wait, until, since = self._api.bounded_wait(query.wait), query.until, query.since
        resource = self._api.resource(caller, resource_type, resource_id, query.region)
        if wait > 0:
            if until is None and since is None:
                since = resource.version
            wanted = ResourceRequest(resource.ref, since=since, until=until)
            waited = self._api.shown(caller, waiting.wait(
                self._api.feed, resource.ref, lambda: self._api.reader.read(resource.ref), wanted.answered_by, wait,
                clock=self._api.clock))
            if waited is None:
                raise NotFound(f"{resource_type} {resource_id} is not observed")
            resource = waited
        if query.trail:
            shown = self._api.shows(caller, resource)  # before the first look it has no project
            answer(resp, {**described(resource), "trail": trail(self._api, resource) if shown else None})
        else:
            answer_once(req, resp, described(resource))

    def on_post_check(
        self, req: falcon.Request, resp: falcon.Response, resource_type: str, resource_id: str, caller: Caller,
        query: RegionQuery,
    ) -> None:
        """Mark it, so that its owner looks now; answers with the mark's number and the version before the look."""
        resource = self._api.resource(caller, resource_type, resource_id, query.region)
        (mark,) = self._api.engine.mark(MarkRequest((resource.ref,), "check")).marks
        if mark is None:
            raise NotFound(f"{resource_type} {resource_id} is not observed any more")
        answer(resp, {"mark": mark, "version": resource.version}, status=falcon.HTTP_202)

    def on_get_owner(
        self, req: falcon.Request, resp: falcon.Response, resource_type: str, resource_id: str, query: RegionQuery,
    ) -> None:
        """Who owns it and why; no observation is needed for an answer."""
        number = partition_of_id(resource_id, self._api.partitions())  # the same in every region
        answer(resp, {"resource_type": resource_type, "resource_id": resource_id, **describe(self._api, [number])[0]})


def described(resource: Resource) -> dict[str, Any]:
    """As the API shows it: with its condition, ``unknown`` before the first look."""
    condition = resource.snapshot.condition if resource.snapshot is not None else Condition.UNKNOWN
    return {**plain(resource), "condition": condition}
