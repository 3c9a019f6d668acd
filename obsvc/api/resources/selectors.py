"""``/v1/selectors``: observe all of a type in a project."""
from __future__ import annotations

import falcon

from obsvc.api.caller import Caller
from obsvc.api.context import Api
from obsvc.api.render import answer, answer_once
from obsvc.api.schemas.bodies import SelectorBody
from obsvc.api.schemas.queries import SelectorsQuery
from obsvc.engine_client.selectors import Selector, SelectorsRequest, SelectorStart, SelectorStop
from obsvc.exceptions import Forbidden, NotFound


class Selectors:
    def __init__(self, api: Api) -> None:
        self._api = api

    def on_post(self, req: falcon.Request, resp: falcon.Response, caller: Caller, body: SelectorBody) -> None:
        """Observe every resource of a type in the project, also those created later, each until it is gone.

        List them with `GET /v1/resources`, follow them with `GET /v1/watch`.  The same request again returns the same
        selector.  Admin and service name a project, or none for all projects.
        """
        project = body.project_id if caller.privileged else caller.scope
        if body.project_id not in (None, project):
            raise Forbidden("expected the caller's own project, or none, got another: leave it out")
        kind = self._api.check_type(body.resource_type)
        answer(resp, self._api.engine.start_selector(SelectorStart(
            body.region or self._api.region, kind, project, self._service(kind))), status=falcon.HTTP_201)

    def on_get(self, req: falcon.Request, resp: falcon.Response, caller: Caller, query: SelectorsQuery) -> None:
        """A page of those that the caller may see, by selector id; ``marker``: the last id of the page before."""
        page = [
            selector for selector in self._shown(caller)
            if selector.selector_id > (query.marker or "")
            and query.resource_type in (None, selector.resource_type)
            and query.region in (None, selector.region)
            and query.project_id in (None, selector.project_id)
        ][:query.limit]
        answer(resp, {"selectors": page, "marker": page[-1].selector_id if page else None})

    def _service(self, resource_type: str) -> str | None:
        """The service whose sweep lists the type."""
        catalog = self._api.catalog
        known = catalog is not None and resource_type in catalog.types
        return catalog.service_of(resource_type).service if catalog is not None and known else None

    def _shown(self, caller: Caller) -> list[Selector]:
        selectors = self._api.engine.selectors(SelectorsRequest()).selectors
        return sorted((selector for selector in selectors if caller.sees(selector.project_id)),
                      key=lambda selector: selector.selector_id)

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, selector_id: str, caller: Caller) -> None:
        for selector in self._shown(caller):
            if selector.selector_id == selector_id:
                return answer_once(req, resp, selector)
        raise NotFound(f"no selector {selector_id}: list those there are")

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, selector_id: str, caller: Caller) -> None:
        """Resources that no other selector and no observation asks for are no longer observed."""
        self._api.engine.stop_selector(SelectorStop(selector_id, caller.scope))
        resp.status = falcon.HTTP_204
