"""``/v1/stacks``: goals, their nodes and events."""
from __future__ import annotations

import falcon

from obsvc.api.context import Api
from obsvc.api.render import answer
from obsvc.api.schemas.requests import (
    Query,
    StackBody,
    StackCancelBody,
    StackGoalBody,
    check_timeout,
    read_as,
    read_json,
    template_text,
)
from obsvc.engine_client.stacks import (
    StackCancel,
    StackCreate,
    StackEventsRequest,
    StackRequest,
    StacksRequest,
    StackUpdate,
)


class Stacks:
    def __init__(self, api: Api) -> None:
        self._api = api

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = self._api.allow(req, "stack:create")
        Query(req)
        body = read_as(read_json(req), StackBody)
        stack = self._api.engine.create_stack(StackCreate(
            name=body.name, template=template_text(body.template), parameters=body.parameters,
            project_id=caller.project_id, region=body.region or self._api.region,
            timeout=check_timeout(body.timeout), on_drift=body.on_drift, disable_rollback=body.disable_rollback,
        ))
        resp.location = f"/v1/stacks/{stack.stack_id}"
        answer(resp, stack, status=falcon.HTTP_201)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = self._api.allow(req, "stack:read")
        query = Query(req, "project_id", "marker", "limit")
        project_id = query.text("project_id") if caller.privileged else caller.scope
        page = self._api.engine.list_stacks(StacksRequest(project_id, query.text("marker"), query.limit()))
        answer(resp, {"stacks": page.stacks, "marker": page.stacks[-1].stack_id if page.stacks else None})


class StackByName:
    """``{stack}`` is an id or a name."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def on_get(self, req: falcon.Request, resp: falcon.Response, stack: str) -> None:
        """With ``wait``: once it is no longer in progress, or the time is over."""
        caller = self._api.allow(req, "stack:read")
        wait = Query(req, "wait").seconds("wait", 0.0, self._api.max_wait)
        answer(resp, self._api.engine.read_stack(StackRequest(stack, caller.scope, wait)))

    def on_put(self, req: falcon.Request, resp: falcon.Response, stack: str) -> None:
        """Another goal, the whole of it, at any moment; 409 once the stack is deleted."""
        caller = self._api.allow(req, "stack:update")
        Query(req)
        body = read_as(read_json(req), StackGoalBody)
        answer(resp, self._api.engine.update_stack(StackUpdate(
            stack, template_text(body.template), body.parameters, caller.scope, check_timeout(body.timeout),
            body.disable_rollback,
        )), status=falcon.HTTP_202)

    def on_post_preview(self, req: falcon.Request, resp: falcon.Response, stack: str) -> None:
        """What an update to this goal would do, node by node; nothing is begun."""
        caller = self._api.allow(req, "stack:preview")
        Query(req)
        body = read_as(read_json(req), StackGoalBody)
        answer(resp, self._api.engine.preview_stack(StackUpdate(
            stack, template_text(body.template), body.parameters, caller.scope)))

    def on_post_rollback(self, req: falcon.Request, resp: falcon.Response, stack: str) -> None:
        """To the last goal that was reached; 409 where the stack is at it."""
        caller = self._api.allow(req, "stack:update")
        Query(req)
        answer(resp, self._api.engine.rollback_stack(StackRequest(stack, caller.scope)), status=falcon.HTTP_202)

    def on_post_cancel(self, req: falcon.Request, resp: falcon.Response, stack: str) -> None:
        """Stop what is in progress; 409 where nothing is, or the stack is being deleted."""
        caller = self._api.allow(req, "stack:update")
        Query(req)
        body = read_as(read_json(req), StackCancelBody)
        answer(resp, self._api.engine.cancel_stack(StackCancel(stack, caller.scope, body.rollback)),
               status=falcon.HTTP_202)

    def on_post_resume(self, req: falcon.Request, resp: falcon.Response, stack: str) -> None:
        """Go on with what has failed; 409 where nothing has."""
        caller = self._api.allow(req, "stack:update")
        Query(req)
        answer(resp, self._api.engine.resume_stack(StackRequest(stack, caller.scope)), status=falcon.HTTP_202)

    def on_delete(self, req: falcon.Request, resp: falcon.Response, stack: str) -> None:
        caller = self._api.allow(req, "stack:delete")
        Query(req)
        answer(resp, self._api.engine.delete_stack(StackRequest(stack, caller.scope)), status=falcon.HTTP_202)

    def on_get_resources(self, req: falcon.Request, resp: falcon.Response, stack: str) -> None:
        caller = self._api.allow(req, "stack:read")
        Query(req)
        answer(resp, {"resources": self._api.engine.stack_nodes(StackRequest(stack, caller.scope)).nodes})

    def on_get_events(self, req: falcon.Request, resp: falcon.Response, stack: str) -> None:
        """Events after ``after``, oldest first; ``wait`` for the first one."""
        caller = self._api.allow(req, "stack:read")
        query = Query(req, "after", "wait", "limit")
        page = self._api.engine.stack_events(StackEventsRequest(
            stack, caller.scope, query.integer("after", 0), query.seconds("wait", 0.0, self._api.max_wait),
            query.limit(500)))
        answer(resp, {"events": page.events})
