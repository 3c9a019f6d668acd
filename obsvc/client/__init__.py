"""The client library of obsvc's public API.

    from obsvc.client import Client
    client = Client("http://127.0.0.1:9193")
    observation = client.start_observation("compute.server", server_id, goal="active", timeout=600)
    waited = client.wait_observation(observation.observation_id, timeout=600)

Any thread may call.  Every method raises an :class:`~obsvc.exceptions.ObsvcError` of the class that the API's error
names; Unavailable when the API can't be reached.  Waits longer than one long poll are made of several.
"""
from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

from obsvc import api_types as types
from obsvc.client.transport import PAGE, Transport, typed_list
from obsvc.client.watching import Source, Watch
from obsvc.exceptions import NotFound, ObsvcError, Unavailable
from obsvc.process.batches import batched

T = TypeVar("T")

#: Seconds of one long poll.
POLL = 30.0

#: Observations that one request starts or stops.
BULK = 1000

#: Seconds that a wait goes on without an answer, and between two tries.
PATIENCE, PAUSE = 60.0, 0.5


class Client(Transport):
    """One API.  url: its base.  auth: see ``obsvc.client.auth``.  cafile: CA bundle for https, None for the system's.
    threads: connections that are kept."""

    # observations

    def start_observation(
        self, resource_type: str, resource_id: str, *, region: str | None = None, goal: str | None = None,
        timeout: float | None = None, labels: Mapping[str, str] | None = None,
    ) -> types.Observation:
        """Observe one resource.  goal: a condition to wait for.  timeout: seconds until its deadline."""
        body = {"resource_type": resource_type, "resource_id": resource_id, "region": region, "goal": goal,
                "timeout": timeout, "labels": dict(labels or {})}
        return self.call("POST", "/v1/observations", types.Observation, body=body)

    def start_stack_observations(self, stack: str, *, goal: str | None = None) -> tuple[types.Observation, ...]:
        """Observe every resource that the stack has now."""
        answer = self.call("POST", "/v1/observations", dict[str, Any], body={"stack": stack, "goal": goal})
        return tuple(typed_list(answer["observations"], types.Observation))

    def start_observations(self, items: Iterable[Mapping[str, Any]]) -> tuple[types.Started, ...]:
        """Observe many, each as ``start_observation`` takes it; one result for each, in order: it, or its error."""
        results: list[types.Started] = []
        for batch in batched(items, BULK):
            answer = self.call("POST", "/v1/observations/start", dict[str, Any], body={"observations": batch})
            results += typed_list(answer["results"], types.Started)
        return tuple(results)

    def stop_observations(self, observation_ids: Iterable[str]) -> tuple[types.Stopped, ...]:
        """Stop many; one result for each, in order."""
        results: list[types.Stopped] = []
        for batch in batched(observation_ids, BULK):
            answer = self.call("POST", "/v1/observations/stop", dict[str, Any], body={"observation_ids": batch})
            results += typed_list(answer["results"], types.Stopped)
        return tuple(results)

    def stop_observation(self, observation_id: str) -> None:
        self.call_without_answer("DELETE", f"/v1/observations/{_part(observation_id)}")

    def observation(self, observation_id: str) -> types.Observation:
        return self.call("GET", f"/v1/observations/{_part(observation_id)}", types.Observation)

    def observations(self, **filters: str | None) -> Iterator[types.Observation]:
        """All, page by page; filters: resource_type, resource_id, region, stack_id, project_id, label (KEY=VALUE),
        condition, member."""
        return self.pages("/v1/observations", "observations", types.Observation, filters)

    def wait_observation(
        self, observation_id: str, *, timeout: float | None = None, since: int | None = None
    ) -> types.Waited:
        """Wait for the goal (or that it can't be met any more), without a goal for the next change.

        timeout: seconds in all; None: as long as it takes.  since: the version known; by default the present one.
        """
        state = {"since": since}

        def once(wait: float) -> types.Waited:
            waited = self.call("GET", f"/v1/observations/{_part(observation_id)}/wait", types.Waited,
                                params={"timeout": wait, **state}, wait=wait)
            if state["since"] is None and waited.resource is not None:
                state["since"] = waited.resource.version
            return waited

        return _until(once, lambda waited: not waited.timed_out, timeout)

    # selectors

    def start_selector(
        self, resource_type: str, *, region: str | None = None, project_id: str | None = None
    ) -> types.Selector:
        """Observe all resources of a type in the project, also those created later; ``listing`` and ``watch`` then have
        them.

        project_id: for admin and service; None: of all projects."""
        body = {"resource_type": resource_type, "region": region, "project_id": project_id}
        return self.call("POST", "/v1/selectors", types.Selector, body=body)

    def selectors(self, **filters: str | None) -> Iterator[types.Selector]:
        """All, page by page; filters: resource_type, region, project_id."""
        return self.pages("/v1/selectors", "selectors", types.Selector, filters)

    def stop_selector(self, selector_id: str) -> None:
        self.call_without_answer("DELETE", f"/v1/selectors/{_part(selector_id)}")

    # resources

    def resource(
        self, resource_type: str, resource_id: str, *, region: str | None = None, wait: float = 0.0,
        since: int | None = None, until: str | None = None,
    ) -> types.Resource:
        """The engine's copy of one observed resource; ``wait``: at most one long poll."""
        params = {"region": region, "wait": wait or None, "since": since, "until": until}
        return self.call("GET", _ref_path(resource_type, resource_id), types.Resource, params=params, wait=wait)

    def explain(self, resource_type: str, resource_id: str, *, region: str | None = None) -> types.Resource:
        """The resource with its trail: who owns it, what was notified, looked at and reported, what is due and why."""
        params = {"region": region, "trail": "true"}
        return self.call("GET", _ref_path(resource_type, resource_id), types.Resource, params=params)

    def listing(self, *, since: int | None = None, **filters: str | None) -> types.Listing:
        """What the engine has seen, as it is now.  since: only what has changed after that version.

        filters: resource_type, resource_id, region, condition, stack_id, project_id, label (KEY=VALUE).
        """
        resources: list[types.Resource] = []
        version, marker = None, None
        while version is None or marker is not None:
            answer = self.call("GET", "/v1/resources", dict[str, Any],
                                params={**filters, "since": since, "marker": marker, "limit": PAGE})
            resources += typed_list(answer["resources"], types.Resource)
            version, marker = answer["version"] if version is None else version, answer["marker"]
        return types.Listing(tuple(resources), version)

    def check(self, resource_type: str, resource_id: str, *, region: str | None = None) -> dict[str, Any]:
        """Have its owner look at it now; returns the mark's number and the version before that look."""
        path = _ref_path(resource_type, resource_id) + "/check"
        return self.call("POST", path, dict[str, Any], params={"region": region})

    def owner(self, resource_type: str, resource_id: str) -> types.Owner:
        """Which observer owns it, and why."""
        return self.call("GET", _ref_path(resource_type, resource_id) + "/owner", types.Owner)

    def changes(
        self, since: int = 0, *, wait: float = 0.0, limit: int = PAGE, **filters: str | None
    ) -> types.Changes:
        """Deltas after ``since``; pass ``next`` on.  FeedTruncated when ``since`` is older than what is kept.

        filters: as of ``watch``.
        """
        params = {"since": since, "wait": wait or None, "limit": limit, **filters}
        return self.call("GET", "/v1/changes", types.Changes, params=params, wait=wait)

    def watch(
        self, since: int | None = None, *, heartbeat: float = 5.0, patience: float | None = None, **filters: str | None
    ) -> Watch:
        """``for change in client.watch(since=version)``: each change once, across disconnects and restarts.

        since: the version after which to begin; None: from now on.  heartbeat: seconds; a stream that is silent for
        three of them is dropped and opened again.  patience: seconds without a stream until Unavailable is raised;
        None: never.  filters: resource_type, resource_id, region, stack_id, project_id, label (KEY=VALUE: of what is
        observed with it as the change is read).
        """
        def connect(after: int | None) -> Source:
            return self.stream("/v1/watch", {**filters, "since": after, "heartbeat": heartbeat}, silence=3 * heartbeat)

        return Watch(connect, lambda after: self.listing(since=after, **filters), since, patience=patience)

    def wait(
        self, resource_type: str, resource_id: str, *, until: str = "active", region: str | None = None,
        timeout: float | None = None,
    ) -> types.Waited:
        """Wait until a resource is ``until``, or can't be any more, or ``timeout`` seconds are over.

        Starts an observation with that goal, and stops it in the end unless there was one before.  Once it is started,
        an API that can't be reached is asked again for PATIENCE seconds.
        """
        end = math.inf if timeout is None else time.monotonic() + timeout
        there = any(
            observation.goal == until and observation.stack_id is None and region in (None, observation.region)
            for observation in self.observations(resource_type=resource_type, resource_id=resource_id))
        started, heard_at = None, time.monotonic()
        try:
            while True:
                left = max(0.1, end - time.monotonic())
                try:
                    started = started or self.start_observation(
                        resource_type, resource_id, region=region, goal=until,
                        timeout=left if math.isfinite(left) else None)
                    waited = self.wait_observation(started.observation_id, timeout=min(left, POLL))
                    heard_at = time.monotonic()
                    if not waited.timed_out or heard_at >= end:
                        return waited
                except NotFound:  # another wait for the same observation has ended, and stopped it
                    if started is None or time.monotonic() >= end:
                        raise
                    started = None
                except Unavailable:
                    if started is None or time.monotonic() - heard_at > PATIENCE or time.monotonic() >= end:
                        raise
                    time.sleep(PAUSE)
        finally:
            if started is not None and not there:
                with contextlib.suppress(ObsvcError):
                    self.stop_observation(started.observation_id)

    # stacks

    def create_stack(
        self, name: str, template: str, *, parameters: Mapping[str, Any] | None = None, region: str | None = None,
        timeout: float | None = None, on_drift: str = "report", disable_rollback: bool = True,
    ) -> types.Stack:
        """template: HOT text.  timeout: seconds for the whole creation.  disable_rollback: what failed stays."""
        body = {"name": name, "template": template, "parameters": dict(parameters or {}), "region": region,
                "timeout": timeout, "on_drift": on_drift, "disable_rollback": disable_rollback}
        return self.call("POST", "/v1/stacks", types.Stack, body=body)

    def update_stack(
        self, stack: str, template: str, *, parameters: Mapping[str, Any] | None = None, timeout: float | None = None,
        disable_rollback: bool = True,
    ) -> types.Stack:
        """Replace a stack's goal as a whole, whatever it is doing.  The other parameters: as for a creation."""
        body = {"template": template, "parameters": dict(parameters or {}), "timeout": timeout,
                "disable_rollback": disable_rollback}
        return self.call("PUT", f"/v1/stacks/{_part(stack)}", types.Stack, body=body)

    def preview_stack(
        self, stack: str, template: str, *, parameters: Mapping[str, Any] | None = None
    ) -> tuple[types.PlannedNode, ...]:
        """What an update to this goal would do to each node; nothing is started."""
        body = {"template": template, "parameters": dict(parameters or {})}
        answer = self.call("POST", f"/v1/stacks/{_part(stack)}/preview", dict[str, Any], body=body)
        return tuple(typed_list(answer["nodes"], types.PlannedNode))

    def rollback_stack(self, stack: str) -> types.Stack:
        """Back to the last goal that was reached; Conflict where it is there."""
        return self.call("POST", f"/v1/stacks/{_part(stack)}/rollback", types.Stack)

    def cancel_stack(self, stack: str, *, rollback: bool = True) -> types.Stack:
        """Stop what is in progress, and go back unless ``rollback=False``; Conflict where there is nothing to stop."""
        return self.call("POST", f"/v1/stacks/{_part(stack)}/cancel", types.Stack, body={"rollback": rollback})

    def resume_stack(self, stack: str) -> types.Stack:
        """Continue with what has failed; Conflict where nothing has."""
        return self.call("POST", f"/v1/stacks/{_part(stack)}/resume", types.Stack)

    def stacks(self) -> Iterator[types.Stack]:
        return self.pages("/v1/stacks", "stacks", types.Stack, {})

    def stack(self, stack: str) -> types.Stack:
        """By id or name."""
        return self.call("GET", f"/v1/stacks/{_part(stack)}", types.Stack)

    def wait_stack(self, stack: str, *, timeout: float | None = None) -> types.Stack:
        """Wait until the stack is no longer in progress, or ``timeout`` seconds are over."""
        def once(wait: float) -> types.Stack:
            return self.call("GET", f"/v1/stacks/{_part(stack)}", types.Stack, params={"wait": wait}, wait=wait)

        return _until(once, lambda latest: not latest.in_progress, timeout)

    def delete_stack(self, stack: str) -> types.Stack:
        return self.call("DELETE", f"/v1/stacks/{_part(stack)}", types.Stack)

    def stack_nodes(self, stack: str) -> tuple[types.Node, ...]:
        answer = self.call("GET", f"/v1/stacks/{_part(stack)}/resources", dict[str, Any])
        return tuple(typed_list(answer["resources"], types.Node))

    def stack_events(
        self, stack: str, *, after: int = 0, wait: float = 0.0, limit: int = PAGE
    ) -> tuple[types.StackEvent, ...]:
        """Events after the one with id ``after``; ``wait``: at most one long poll for the first."""
        params = {"after": after, "wait": wait or None, "limit": limit}
        answer = self.call("GET", f"/v1/stacks/{_part(stack)}/events", dict[str, Any], params=params, wait=wait)
        return tuple(typed_list(answer["events"], types.StackEvent))

    # the cluster

    def members(self) -> tuple[types.Member, ...]:
        return tuple(typed_list(self.call("GET", "/v1/members", dict[str, Any])["members"], types.Member))

    def drain_member(self, name: str, *, drained: bool = True) -> dict[str, Any]:
        """Have a member hand over what it owns and take nothing, until ``drained=False``; NotFound without one."""
        return self.call("PUT" if drained else "DELETE", f"/v1/members/{_part(name)}/drain", dict[str, Any])

    def status(self) -> types.Status:
        """The state of the cluster: one sentence, what needs attention, and numbers."""
        return self.call("GET", "/v1/status", types.Status)

    def duties(self) -> tuple[types.Duty, ...]:
        """The work that one member does for all of them, with its leader and its runs."""
        return tuple(typed_list(self.call("GET", "/v1/duties", dict[str, Any])["duties"], types.Duty))

    def partitions(self, *, owner: str | None = None, differs: bool | None = None) -> tuple[types.Partition, ...]:
        """owner: granted to or proposed for that member.  differs: whether proposal and grant differ."""
        params = {"owner": owner, "differs": None if differs is None else str(differs).lower()}
        answer = self.call("GET", "/v1/partitions", dict[str, Any], params=params)
        return tuple(typed_list(answer["partitions"], types.Partition))

    def partition(self, number: int) -> types.Partition:
        return self.call("GET", f"/v1/partitions/{number}", types.Partition)

    def dead_letters(self, *, limit: int = 100, before: int | None = None) -> list[dict[str, Any]]:
        """Messages that could not be read, newest first; without their bodies."""
        answer = self.call("GET", "/v1/dead-letters", dict[str, Any], params={"limit": limit, "before": before})
        return typed_list(answer["letters"], dict[str, Any])

    def dead_letter(self, letter_id: int) -> dict[str, Any]:
        """One of them with its redacted body, where that was kept."""
        return self.call("GET", f"/v1/dead-letters/{letter_id}", dict[str, Any])

    def replay_dead_letter(self, letter_id: int) -> dict[str, Any]:
        """Decode it again and look at what it names; Conflict, with the reason, where it still can't be read."""
        return self.call("POST", f"/v1/dead-letters/{letter_id}/replay", dict[str, Any])


def _until(once: Callable[[float], T], enough: Callable[[T], bool], timeout: float | None) -> T:
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        left = POLL if end is None else min(POLL, max(0.0, end - time.monotonic()))
        answer = once(left)
        if enough(answer) or (end is not None and time.monotonic() >= end):
            return answer


def _part(text: str) -> str:
    return quote(text, safe="")


def _ref_path(resource_type: str, resource_id: str) -> str:
    return f"/v1/resources/{_part(resource_type)}/{_part(resource_id)}"


__all__: Sequence[str] = ["Client", "Watch", "types"]
