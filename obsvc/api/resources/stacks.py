"""``/v1/stacks``: goals, their nodes and events."""
from __future__ import annotations

import falcon

from obsvc.api.caller import Caller
from obsvc.api.context import Api
from obsvc.api.render import answer
from obsvc.api.schemas.bodies import (
    StackBody,
    StackCancelBody,
    StackGoalBody,
    check_timeout,
    template_text,
)
from obsvc.api.schemas.queries import StackEventsQuery, StackQuery, StacksQuery
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

    def on_post(self, req: falcon.Request, resp: falcon.Response, caller: Caller, body: StackBody) -> None:
        stack = self._api.engine.create_stack(StackCreate(
            name=body.name, template=template_text(body.template), parameters=body.parameters,
            project_id=caller.project_id, region=body.region or self._api.region,
            timeout=check_timeout(body.timeout), on_drift=body.on_drift, disable_rollback=body.disable_rollback,
        ))
        resp.location = f"/v1/stacks/{stack.stack_id}"
        answer(resp, stack, status=falcon.HTTP_201)

    def on_get(self, req: falcon.Request, resp: falcon.Response, caller: Caller, query: StacksQuery) -> None:
        project_id = query.project_id if caller.privileged else caller.scope
        page = self._api.engine.list_stacks(StacksRequest(project_id, query.marker, query.limit))
        answer(resp, {"stacks": page.stacks, "marker": page.stacks[-1].stack_id if page.stacks else None})


class StackByName:
    """``{stack}`` is an id or a name."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def on_get(self, req: falcon.Request, resp: falcon.Response, stack: str, caller: Caller, query: StackQuery) -> None:
        """With ``wait``: once it is no longer in progress, or the time is over."""
        answer(resp, self._api.engine.read_stack(
            StackRequest(stack, caller.scope, self._api.bounded_wait(query.wait))))

    def on_put(
        self, req: falcon.Request, resp: falcon.Response, stack: str, caller: Caller, body: StackGoalBody,
    ) -> None:
        """Replace the goal as a whole, at any time; 409 once the stack is deleted."""
        answer(resp, self._api.engine.update_stack(StackUpdate(
            stack, template_text(body.template), body.parameters, caller.scope, check_timeout(body.timeout),
            body.disable_rollback,
        )), status=falcon.HTTP_202)

    def on_post_preview(
        self, req: falcon.Request, resp: falcon.Response, stack: str, caller: Caller, body: StackGoalBody,
    ) -> None:
        """What an update to this goal would do, node by node; nothing is started."""
        answer(resp, self._api.engine.preview_stack(StackUpdate(
            stack, template_text(body.template), body.parameters, caller.scope)))

    def on_post_rollback(self, req: falcon.Request, resp: falcon.Response, stack: str, caller: Caller) -> None:
        """Return to the last goal that was reached; 409 where the stack is there already."""
        answer(resp, self._api.engine.rollback_stack(StackRequest(stack, caller.scope)), status=falcon.HTTP_202)

    def on_post_cancel(
        self, req: falcon.Request, resp: falcon.Response, stack: str, caller: Caller, body: StackCancelBody,
    ) -> None:
        """Stop what is in progress; 409 where nothing is, or the stack is being deleted."""
        answer(resp, self._api.engine.cancel_stack(StackCancel(stack, caller.scope, body.rollback)),
               status=falcon.HTTP_202)

    def on_post_resume(self, req: falcon.Request, resp: falcon.Response, stack: str, caller: Caller) -> None:
        """Continue with what has failed; 409 where nothing has."""
        answer(resp, self._api.engine.resume_stack(StackRequest(stack, caller.scope)), status=falcon.HTTP_202)

    def on_delete(self, req: falcon.Request, resp: falcon.Response, stack: str, caller: Caller) -> None:
        answer(resp, self._api.engine.delete_stack(StackRequest(stack, caller.scope)), status=falcon.HTTP_202)

    def on_get_resources(self, req: falcon.Request, resp: falcon.Response, stack: str, caller: Caller) -> None:
        answer(resp, {"resources": self._api.engine.stack_nodes(StackRequest(stack, caller.scope)).nodes})

    def on_get_events(
        self, req: falcon.Request, resp: falcon.Response, stack: str, caller: Caller, query: StackEventsQuery,
    ) -> None:
        """Events after ``after``, oldest first; ``wait`` for the first one."""
        page = self._api.engine.stack_events(StackEventsRequest(
            stack, caller.scope, query.after, self._api.bounded_wait(query.wait), query.limit))
        answer(resp, {"events": page.events})
