"""``/v1/observations``: start, stop, read and wait."""
from __future__ import annotations

from typing import Any

import falcon

from obsvc.api.caller import Caller
from obsvc.api.context import Api
from obsvc.api.render import answer, answer_once, plain
from obsvc.api.schemas.bodies import (
    START_MOST,
    StartBody,
    StartEachBody,
    StartManyBody,
    StartStackBody,
    StopManyBody,
    check_timeout,
    read_as,
)
from obsvc.api.schemas.queries import ObservationsQuery, ObservationWaitQuery
from obsvc.api.streaming import waiting
from obsvc.engine_client.observations import (
    Observation,
    ObservationsRequest,
    ObservationStatus,
    Resource,
    StartItem,
    StartRequest,
    StopRequest,
)
from obsvc.engine_client.stacks import StackRequest
from obsvc.exceptions import Conflict, Forbidden, InvalidInput, NotFound, ObsvcError
from obsvc.model import Condition, Ref
from obsvc.web.errors import error_body


class Observations:
    def __init__(self, api: Api) -> None:
        self._api = api

    def on_post(self, req: falcon.Request, resp: falcon.Response, caller: Caller, body: object) -> None:
        """One observation (answered by it), a list or ``{"observations": […]}``, or ``{"stack": …}``."""
        keys = set(body) if isinstance(body, dict) else set()
        single = isinstance(body, dict) and not keys & {"stack", "observations"}
        if "stack" in keys:
            items = self._stack_items(caller, read_as(body, StartStackBody))
        else:
            bodies = [read_as(body, StartBody)] if single else (
                read_as(body, StartManyBody).observations if keys else read_as(body, list[StartBody]))
            items = [self._item(caller, item) for item in bodies]
            for ref in self._api.foreign(caller, (item.ref for item in items)):
                raise missing(ref)
        if not 1 <= len(items) <= START_MOST:
            raise InvalidInput(f"expected 1 to {START_MOST} resources to observe, got {len(items)}")
        started = self._api.engine.start(StartRequest(tuple(items))).observations
        answer(resp, started[0] if single else {"observations": started}, status=falcon.HTTP_201)

    def on_post_start(self, req: falcon.Request, resp: falcon.Response, caller: Caller, body: StartEachBody) -> None:
        """Observes each one that can be observed; the others are answered with their error.

        The same resource and goal again is the same observation, its deadline and labels renewed.
        """
        results: list[StartItem | ObsvcError] = []
        for item in body.observations:
            try:
                results.append(self._item(caller, item))
            except InvalidInput as error:
                results.append(error)
        foreign = self._api.foreign(caller, (item.ref for item in results if isinstance(item, StartItem)))
        results = [missing(result.ref) if isinstance(result, StartItem) and result.ref in foreign else result
                   for result in results]
        items = tuple(result for result in results if isinstance(result, StartItem))
        started = iter(self._api.engine.start(StartRequest(items)).observations if items else ())
        answer(resp, {"results": [
            {"observation": next(started), "error": None} if isinstance(result, StartItem)
            else {"observation": None, **error_body(result)} for result in results]})

    def on_post_stop(self, req: falcon.Request, resp: falcon.Response, caller: Caller, body: StopManyBody) -> None:
        """Stops each one that exists; the others are answered with their error."""
        ids = body.observation_ids
        reply = self._api.engine.stop(StopRequest(tuple(dict.fromkeys(ids)), caller.scope, partly=True))
        stopped, of_stacks = set(reply.stopped), set(reply.of_stacks)

        def result(observation_id: str) -> dict[str, Any]:
            if observation_id in stopped:
                return {"observation_id": observation_id, "error": None}
            return {"observation_id": observation_id, **error_body(
                Conflict(f"observation {observation_id} belongs to a stack: it ends with the stack, delete that")
                if observation_id in of_stacks else NotFound(f"no observation {observation_id}: list those there are"))}

        answer(resp, {"results": [result(observation_id) for observation_id in ids]})

    def _item(self, caller: Caller, body: StartBody) -> StartItem:
        ref = Ref(body.region or self._api.region, self._api.check_type(body.resource_type), body.resource_id)
        return StartItem(ref, body.goal, check_timeout(body.timeout), body.labels, caller.project_id)

    def _stack_items(self, caller: Caller, body: StartStackBody) -> list[StartItem]:
        nodes = self._api.engine.stack_nodes(StackRequest(body.stack, caller.scope)).nodes
        refs = [Ref(node.region or self._api.region, node.resource_type, node.resource_id)
                for node in nodes if node.resource_type and node.resource_id]
        foreign = self._api.foreign(caller, refs)
        return [StartItem(ref, body.goal, check_timeout(body.timeout), body.labels, caller.project_id)
                for ref in refs if ref not in foreign]

    def on_get(self, req: falcon.Request, resp: falcon.Response, caller: Caller, query: ObservationsQuery) -> None:
        """A page, by observation id; ``marker``: the last id of the page before."""
        if query.member is not None and not caller.privileged:
            raise Forbidden("expected no 'member' of a caller who may not see the cluster: leave it out")
        page = self._api.engine.list_observations(ObservationsRequest(
            resource_type=query.resource_type, resource_id=query.resource_id,
            region=query.region, stack_id=query.stack_id, marker=query.marker,
            label=query.label, condition=query.condition,
            member=query.member,
            project_id=query.project_id if caller.privileged else caller.scope, limit=query.limit,
        )).observations
        foreign = self._api.foreign(caller, (observation.ref for observation in page))
        shown = [observation for observation in page
                 if caller.sees(observation.project_id) and observation.ref not in foreign]
        answer(resp, {"observations": shown, "marker": page[-1].observation_id if page else None})


def missing(ref: Ref) -> NotFound:
    """The answer about a foreign ref: the same as about a missing one."""
    return NotFound(f"no {ref.resource_type} {ref.resource_id}")


class ObservationById:
    def __init__(self, api: Api) -> None:
        self._api = api

    def on_get(self, req: falcon.Request, resp: falcon.Response, observation_id: str, caller: Caller) -> None:
        answer_once(req, resp, self._api.observation(caller, observation_id))

    def on_delete(self, req: falcon.Request, resp: falcon.Response, observation_id: str, caller: Caller) -> None:
        reply = self._api.engine.stop(StopRequest((observation_id,), caller.scope))
        if not reply.stopped:
            raise NotFound(f"no observation {observation_id}: list those there are")
        resp.status = falcon.HTTP_204


class ObservationWait:
    """Wait until the goal is met, can't be met any more, or the time is over; without a goal, for the next change."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def on_get(self, req: falcon.Request, resp: falcon.Response, observation_id: str, caller: Caller,
               query: ObservationWaitQuery) -> None:
        timeout = self._api.bounded_wait(query.timeout)
        answer(resp, self._wait(caller, observation_id, timeout, query.since))

    def _wait(self, caller: Caller, observation_id: str, timeout: float, since: int | None) -> dict[str, Any]:
        observation = self._api.observation(caller, observation_id)
        since = self._api.reader.read(observation.ref).version if since is None else since

        def read() -> tuple[Observation, Resource]:
            return self._api.observation(caller, observation_id), self._api.reader.read(observation.ref)

        observation, resource = waiting.wait(
            self._api.feed, observation.ref, read, lambda pair: over(*pair, since), timeout, clock=self._api.clock)
        shown = plain(resource) if self._api.shows(caller, resource) else None
        return {"observation": observation, "resource": shown, "timed_out": not over(observation, resource, since)}


def over(observation: Observation, resource: Resource, since: int) -> bool:
    """Whether the wait is over."""
    if observation.goal is None:
        return resource.version > since
    if observation.status in (ObservationStatus.MET, ObservationStatus.EXPIRED):
        return True
    snapshot = resource.snapshot if resource.mark is None else None  # with a mark, a newer look is on its way
    if snapshot is None or not snapshot.settled or snapshot.condition not in (Condition.ERROR, Condition.DELETED):
        return False
    return snapshot.condition is not observation.goal
