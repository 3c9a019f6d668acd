"""The client library of obsvc's public API.

    from obsvc.client import Client
    client = Client("http://127.0.0.1:9193")
    observation = client.start_observation("compute.server", server_id, goal="active", timeout=600)
    waited = client.wait_observation(observation.observation_id, timeout=600)

Any thread may call.  Every method raises an :class:`~obsvc.exceptions.ObsvcError` of the class that the API's error
names; Unavailable when the API can't be reached.  Waits longer than one long poll are made of several.
"""
from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec
import urllib3

import obsvc
from obsvc.client import types
from obsvc.client.auth import Auth, Fixed
from obsvc.exceptions import ConfigError, ObsvcError, Unavailable, UndecodableMessage, by_code

T = TypeVar("T")

#: Seconds of one long poll.
POLL = 30.0
#: Seconds to wait for an answer, beside the wait of a long poll.
TIMEOUT = 15.0
#: Rows of one page.
PAGE = 500


class Client:
    """One API; connections are kept.  url: its base.  auth: see ``obsvc.client.auth``."""

    def __init__(self, url: str, *, auth: Auth | None = None, cafile: str | None = None, threads: int = 4) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"--api-url: expected http://… or https://…, got {url!r}")
        self._url = url.rstrip("/")
        self._auth = auth or Fixed()
        self._pool = urllib3.PoolManager(maxsize=threads, ca_certs=cafile, retries=False)

    # observations

    def start_observation(
        self, resource_type: str, resource_id: str, *, region: str | None = None, goal: str | None = None,
        timeout: float | None = None, labels: Mapping[str, str] | None = None,
    ) -> types.Observation:
        """Observe one resource.  goal: a condition to wait for.  timeout: seconds until its deadline."""
        body = {"resource_type": resource_type, "resource_id": resource_id, "region": region, "goal": goal,
                "timeout": timeout, "labels": dict(labels or {})}
        return self._call("POST", "/v1/observations", types.Observation, body=body)

    def start_stack_observations(self, stack: str, *, goal: str | None = None) -> tuple[types.Observation, ...]:
        """Observe every resource that the stack has now."""
        answer = self._call("POST", "/v1/observations", dict, body={"stack": stack, "goal": goal})
        return _as(answer["observations"], tuple[types.Observation, ...])

    def stop_observation(self, observation_id: str) -> None:
        self._call("DELETE", f"/v1/observations/{_part(observation_id)}", None)

    def observation(self, observation_id: str) -> types.Observation:
        return self._call("GET", f"/v1/observations/{_part(observation_id)}", types.Observation)

    def observations(self, **filters: str | None) -> Iterator[types.Observation]:
        """All, page by page; filters: resource_type, resource_id, region, stack_id, project_id."""
        return self._pages("/v1/observations", "observations", types.Observation, filters)

    def wait_observation(
        self, observation_id: str, *, timeout: float | None = None, since: int | None = None
    ) -> types.Waited:
        """Wait for the goal (or that it can't be met any more), without a goal for the next change.

        timeout: seconds in all; None: as long as it takes.  since: the version known; by default the present one.
        """
        state = {"since": since}

        def once(wait: float) -> types.Waited:
            waited = self._call("GET", f"/v1/observations/{_part(observation_id)}/wait", types.Waited,
                                params={"timeout": wait, **state}, wait=wait)
            if state["since"] is None and waited.resource is not None:
                state["since"] = waited.resource.version
            return waited

        return _until(once, lambda waited: not waited.timed_out, timeout)

    # resources

    def resource(
        self, resource_type: str, resource_id: str, *, region: str | None = None, wait: float = 0.0,
        since: int | None = None, until: str | None = None,
    ) -> types.Resource:
        """The engine's copy of one observed resource; ``wait``: at most one long poll."""
        params = {"region": region, "wait": wait or None, "since": since, "until": until}
        return self._call("GET", _ref_path(resource_type, resource_id), types.Resource, params=params, wait=wait)

    def check(self, resource_type: str, resource_id: str, *, region: str | None = None) -> dict[str, Any]:
        """Have its owner look at it now; answers the mark's number and the version before that look."""
        return self._call("POST", _ref_path(resource_type, resource_id) + "/check", dict, params={"region": region})

    def owner(self, resource_type: str, resource_id: str) -> types.Owner:
        """Which observer owns it, and why."""
        return self._call("GET", _ref_path(resource_type, resource_id) + "/owner", types.Owner)

    def changes(
        self, since: int = 0, *, wait: float = 0.0, limit: int = PAGE, **filters: str | None
    ) -> types.Changes:
        """Deltas after ``since``; pass ``next`` on.  FeedTruncated when ``since`` is older than what is kept."""
        params = {"since": since, "wait": wait or None, "limit": limit, **filters}
        return self._call("GET", "/v1/changes", types.Changes, params=params, wait=wait)

    # stacks

    def create_stack(
        self, name: str, template: str, *, parameters: Mapping[str, Any] | None = None, region: str | None = None,
        timeout: float | None = None, on_drift: str = "report", disable_rollback: bool = True,
    ) -> types.Stack:
        """template: HOT text.  timeout: seconds for the whole creation.  disable_rollback: what failed stays."""
        body = {"name": name, "template": template, "parameters": dict(parameters or {}), "region": region,
                "timeout": timeout, "on_drift": on_drift, "disable_rollback": disable_rollback}
        return self._call("POST", "/v1/stacks", types.Stack, body=body)

    def update_stack(
        self, stack: str, template: str, *, parameters: Mapping[str, Any] | None = None, timeout: float | None = None,
        disable_rollback: bool = True,
    ) -> types.Stack:
        """Give a stack another goal, the whole of it, whatever it is doing.  The rest: as in a create."""
        body = {"template": template, "parameters": dict(parameters or {}), "timeout": timeout,
                "disable_rollback": disable_rollback}
        return self._call("PUT", f"/v1/stacks/{_part(stack)}", types.Stack, body=body)

    def preview_stack(
        self, stack: str, template: str, *, parameters: Mapping[str, Any] | None = None
    ) -> tuple[types.PlannedNode, ...]:
        """What an update to this goal would do to each node; nothing is begun."""
        body = {"template": template, "parameters": dict(parameters or {})}
        answer = self._call("POST", f"/v1/stacks/{_part(stack)}/preview", dict, body=body)
        return _as(answer["nodes"], tuple[types.PlannedNode, ...])

    def rollback_stack(self, stack: str) -> types.Stack:
        """Back to the last goal that was reached; Conflict where it is there."""
        return self._call("POST", f"/v1/stacks/{_part(stack)}/rollback", types.Stack)

    def cancel_stack(self, stack: str, *, rollback: bool = True) -> types.Stack:
        """Stop what is in progress, and go back unless ``rollback=False``; Conflict where there is nothing to stop."""
        return self._call("POST", f"/v1/stacks/{_part(stack)}/cancel", types.Stack, body={"rollback": rollback})

    def resume_stack(self, stack: str) -> types.Stack:
        """Go on with what has failed; Conflict where nothing has."""
        return self._call("POST", f"/v1/stacks/{_part(stack)}/resume", types.Stack)

    def stacks(self) -> Iterator[types.Stack]:
        return self._pages("/v1/stacks", "stacks", types.Stack, {})

    def stack(self, stack: str) -> types.Stack:
        """By id or name."""
        return self._call("GET", f"/v1/stacks/{_part(stack)}", types.Stack)

    def wait_stack(self, stack: str, *, timeout: float | None = None) -> types.Stack:
        """Wait until the stack is no longer in progress, or ``timeout`` seconds are over."""
        def once(wait: float) -> types.Stack:
            return self._call("GET", f"/v1/stacks/{_part(stack)}", types.Stack, params={"wait": wait}, wait=wait)

        return _until(once, lambda found: not found.in_progress, timeout)

    def delete_stack(self, stack: str) -> types.Stack:
        return self._call("DELETE", f"/v1/stacks/{_part(stack)}", types.Stack)

    def stack_nodes(self, stack: str) -> tuple[types.Node, ...]:
        answer = self._call("GET", f"/v1/stacks/{_part(stack)}/resources", dict)
        return _as(answer["resources"], tuple[types.Node, ...])

    def stack_events(
        self, stack: str, *, after: int = 0, wait: float = 0.0, limit: int = PAGE
    ) -> tuple[types.StackEvent, ...]:
        """Events after the one with id ``after``; ``wait``: at most one long poll for the first."""
        params = {"after": after, "wait": wait or None, "limit": limit}
        answer = self._call("GET", f"/v1/stacks/{_part(stack)}/events", dict, params=params, wait=wait)
        return _as(answer["events"], tuple[types.StackEvent, ...])

    # the cluster

    def members(self) -> tuple[types.Member, ...]:
        return _as(self._call("GET", "/v1/members", dict)["members"], tuple[types.Member, ...])

    def drain_member(self, name: str, *, drained: bool = True) -> dict[str, Any]:
        """Have a member hand over what it owns and take nothing, until ``drained=False``; NotFound without one."""
        return self._call("PUT" if drained else "DELETE", f"/v1/members/{_part(name)}/drain", dict)

    def duties(self) -> tuple[types.Duty, ...]:
        """What one member does for all of them, with its leader and its runs."""
        return _as(self._call("GET", "/v1/duties", dict)["duties"], tuple[types.Duty, ...])

    def partitions(self, *, owner: str | None = None, differs: bool | None = None) -> tuple[types.Partition, ...]:
        """owner: granted to or proposed for that member.  differs: whether proposal and grant differ."""
        params = {"owner": owner, "differs": None if differs is None else str(differs).lower()}
        return _as(self._call("GET", "/v1/partitions", dict, params=params)["partitions"], tuple[types.Partition, ...])

    def partition(self, number: int) -> types.Partition:
        return self._call("GET", f"/v1/partitions/{number}", types.Partition)

    def dead_letters(self, *, limit: int = 100, before: int | None = None) -> list[dict[str, Any]]:
        """Messages that could not be read, newest first; without their bodies."""
        return self._call("GET", "/v1/dead-letters", dict, params={"limit": limit, "before": before})["letters"]

    def dead_letter(self, letter_id: int) -> dict[str, Any]:
        """One of them with its redacted body, where that was kept."""
        return self._call("GET", f"/v1/dead-letters/{letter_id}", dict)

    def replay_dead_letter(self, letter_id: int) -> dict[str, Any]:
        """Read it again and have what it names looked at; Conflict, with the reason, where it still can't be read."""
        return self._call("POST", f"/v1/dead-letters/{letter_id}/replay", dict)

    # how

    def _pages(self, path: str, key: str, kind: type[T], filters: Mapping[str, Any]) -> Iterator[T]:
        marker: str | None = None
        while True:
            answer = self._call("GET", path, dict, params={**filters, "marker": marker, "limit": PAGE})
            yield from _as(answer[key], tuple[kind, ...])  # type: ignore[valid-type]
            marker = answer["marker"]
            if marker is None:
                return

    def _call(
        self, method: str, path: str, kind: Any, *, body: Any = None, params: Mapping[str, Any] | None = None,
        wait: float = 0.0,
    ) -> Any:
        query = urlencode({key: value for key, value in (params or {}).items() if value is not None})
        url = f"{self._url}{path}?{query}" if query else f"{self._url}{path}"
        response = self._send(method, url, body, wait)
        if response.status == 401 and self._auth.renew():
            response = self._send(method, url, body, wait)
        if response.status >= 400:
            raise _error(response)
        if kind is None:
            return None
        try:
            return msgspec.json.decode(response.data, type=kind)
        except msgspec.MsgspecError as error:
            raise ObsvcError(f"expected an answer of the obsvc API from {url}, got another ({error}): check the URL"
                             ) from error

    def _send(self, method: str, url: str, body: Any, wait: float) -> urllib3.BaseHTTPResponse:
        headers = {"User-Agent": f"obsvc/{obsvc.__version__} (client)", "Accept": "application/json",
                   **self._auth.headers()}
        data = None
        if body is not None:
            data = msgspec.json.encode(body)
            headers["Content-Type"] = "application/json"
        try:
            return self._pool.request(method, url, body=data, headers=headers, timeout=TIMEOUT + wait)
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(f"the obsvc API at {self._url} can't be reached ({_brief(error)}): start `obsvc api`, or "
                              "correct --api-url or OBSVC_API_URL") from error


def _until(once: Callable[[float], T], enough: Callable[[T], bool], timeout: float | None) -> T:
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        left = POLL if end is None else min(POLL, max(0.0, end - time.monotonic()))
        found = once(left)
        if enough(found) or (end is not None and time.monotonic() >= end):
            return found


def _error(response: urllib3.BaseHTTPResponse) -> ObsvcError:
    try:
        body = msgspec.json.decode(response.data)["error"]
        code, message = str(body["code"]), str(body["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        code = "unavailable" if response.status in (502, 503, 504) else "internal"
        message = f"the API answered {response.status}: {response.data[:200].decode('utf-8', 'replace')}"
    known = by_code(code)
    if known in (ConfigError, UndecodableMessage):  # what the API's own configuration is short of is not ours
        known = ObsvcError
    return known(message, code=code)


def _as(value: Any, kind: Any) -> Any:
    return msgspec.convert(value, kind)


def _brief(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return " ".join(str(reason).split())


def _part(text: str) -> str:
    return quote(text, safe="")


def _ref_path(resource_type: str, resource_id: str) -> str:
    return f"/v1/resources/{_part(resource_type)}/{_part(resource_id)}"


__all__: Sequence[str] = ["Client", "types"]
