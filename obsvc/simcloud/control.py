"""What steers and shows the simulation, under ``/sim/v1``: for demos, tests and benchmarks, without a token.

``stats``, ``calls`` and ``fetches`` (who called what; who was shown which state of which resource),
``notifications`` (what was emitted), ``dials``, ``behind`` (changes that nobody asked for), ``truth`` (what really is),
``replay`` (a recorded life), ``tokens`` (DELETE: none is good any more).
"""
from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import falcon
import msgspec

from obsvc.simcloud import faults
from obsvc.simcloud.cloud import Cloud, read_body, stable_id
from obsvc.simcloud.notify import Actor
from obsvc.simcloud.replay import Replays
from obsvc.simcloud.services.identity import Tokens
from obsvc.simcloud.world import Resource

PAGE = 10_000


def operator() -> Actor:
    """The actor of out-of-band changes."""
    return Actor(stable_id("user", "admin"), "admin", stable_id("project", "admin"), "admin", f"req-{uuid.uuid4()}",
                 ("admin",))


def truth_of(resource: Resource) -> dict[str, Any]:
    """A resource as it truly is.  name: a floating IP's is its address."""
    body = resource.body
    return {
        "type": resource.type, "id": resource.id, "status": resource.status, "exists": not resource.gone,
        "name": body.get("name", body.get("floating_ip_address")), "project_id": resource.project_id,
        "metadata": body.get("metadata") or {}, "properties": body.get("properties"),
        "description": body.get("description"),
        "created": resource.created, "task_state": body.get("OS-EXT-STS:task_state"),
        "revisions": [{"number": revision.number, "time": revision.time, "visible_at": revision.visible_at,
                       "status": revision.status, "task_state": revision.task_state}
                      for revision in resource.revisions],
    }


class Control:
    """behind: resource type → the service that has ``behind_change`` and ``behind_delete`` for it."""

    def __init__(self, cloud: Cloud, tokens: Tokens, behind: Mapping[str, Any]) -> None:
        self.cloud = cloud
        self.tokens = tokens
        self.behind = behind
        self.replays = Replays(cloud)

    def add_routes(self, app: falcon.App[falcon.Request, falcon.Response]) -> None:
        for name in ("stats", "calls", "fetches", "notifications", "dials", "truth", "behind", "tokens", "replay"):
            app.add_route(f"/sim/v1/{name}", self, suffix=name)
        app.add_route("/sim/v1/replay/{replay_id}", self, suffix="one_replay")

    # who called what

    def on_get_stats(self, req: falcon.Request, resp: falcon.Response) -> None:
        notifier = self.cloud.notifier
        resp.media = {**self.cloud.stats.totals(), "time": self.cloud.now,
                      "notifications": {**dataclasses.asdict(notifier.counts), "waiting": notifier.waiting}}

    def on_delete_stats(self, req: falcon.Request, resp: falcon.Response) -> None:
        self.cloud.stats.reset()
        resp.status = falcon.HTTP_204

    def on_get_calls(self, req: falcon.Request, resp: falcon.Response) -> None:
        since, limit = _page(req)
        _answer_list(resp, "calls", self.cloud.stats.calls(since, limit))

    def on_get_fetches(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Who fetched which state of which resource; ``?role=`` (observer)."""
        resp.media = self.cloud.stats.fetches(req.get_param("role", default="observer"))

    def on_get_notifications(self, req: falcon.Request, resp: falcon.Response) -> None:
        since, limit = _page(req)
        _answer_list(resp, "notifications", self.cloud.notifier.log(since, limit))

    # dials

    def on_get_dials(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = msgspec.to_builtins(self.cloud.panel.now)

    def on_put_dials(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = msgspec.to_builtins(self.cloud.panel.turn(read_body(req, faults.plain)))

    def on_delete_tokens(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"revoked": self.tokens.revoke_all()}

    # what really is

    def on_get_truth(self, req: falcon.Request, resp: falcon.Response) -> None:
        """All that lives; ``?deleted=true`` has what is gone too, ``?type=`` and ``?id=`` choose."""
        deleted = req.get_param_as_bool("deleted", default=False)
        kind, resource_id = req.get_param("type"), req.get_param("id")
        with self.cloud.world.lock:
            resp.media = {"time": self.cloud.now, "resources": [
                truth_of(resource) for resource in self.cloud.world.everything()
                if (deleted or not resource.gone) and kind in (None, resource.type)
                and resource_id in (None, resource.id)]}

    # out-of-band changes

    def on_post_behind(self, req: falcon.Request, resp: falcon.Response) -> None:
        """``{"action": "change" | "delete", "id": …, "body": {fields}, "notify": true}``; status, by short name:
        ``{"status": …}`` is a field like any other."""
        asked = read_body(req, faults.plain)
        action, resource_id = asked.get("action"), str(asked.get("id"))
        notify = asked.get("notify", True)
        updates = asked.get("body") or {}
        if action not in ("change", "delete") or not isinstance(updates, dict) or not isinstance(notify, bool):
            raise faults.plain(400, "Expected action 'change' or 'delete', an id, for a change a body (object), and "
                                    "perhaps notify (true or false).")
        with self.cloud.world.lock:
            resource = self.cloud.world.find(resource_id)
            if resource is None or resource.gone or resource.type not in self.behind:
                raise faults.plain(404, f"There is no resource {resource_id}.")
            service = self.behind[resource.type]
            if action == "delete":
                service.behind_delete(resource, operator(), notify=notify)
                # All at once: what the deletion plans for now is run before the answer.
                self.cloud.world.run_due()
            else:
                service.behind_change(resource, updates, operator(), notify=notify)
            resp.media = truth_of(resource)

    # a recorded life

    def on_post_replay(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = self.replays.start(read_body(req, faults.plain))
        resp.status = falcon.HTTP_202

    def on_get_replay(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"replays": self.replays.all()}

    def on_get_one_replay(self, req: falcon.Request, resp: falcon.Response, replay_id: str) -> None:
        resp.media = self.replays.status(replay_id)


def _answer_list(resp: falcon.Response, key: str, entries: Sequence[msgspec.Struct]) -> None:
    resp.content_type = falcon.MEDIA_JSON
    resp.data = msgspec.json.encode({key: entries})


def _page(req: falcon.Request) -> tuple[int, int]:
    return req.get_param_as_int("since") or 0, min(req.get_param_as_int("limit", min_value=1) or PAGE, PAGE)
