"""``Sim::Resource``: the plain resource of the simulated cloud, service type ``sim``, under ``/sim/v1/resources``.

It takes any properties.  One whose name begins with ``!`` can't be changed in place: 409 names it.  It is
``BUILDING`` until its build time is over, then ``ACTIVE`` (or ``ERROR``), and ``DELETING`` until it is gone.
"""
from __future__ import annotations

import uuid
from typing import Any

import falcon

from obsvc.simcloud import faults
from obsvc.simcloud.cloud import iso, next_links, page, read_json, visible
from obsvc.simcloud.notify import Actor
from obsvc.simcloud.services.service import DELETE_PART, Service
from obsvc.simcloud.world import Resource

TYPE = "sim.resource"
#: Part of a build's time that a change takes.
UPDATE_PART = 0.4
#: Seconds between two looks whether a held resource is still held.
HELD_AGAIN = 0.05


class Plain(Service):
    """The resources of the ``sim`` service."""

    merged = ("metadata", "properties")

    def add_routes(self, app: falcon.App[falcon.Request, falcon.Response]) -> None:
        app.add_route("/sim", self, suffix="versions")
        app.add_route("/sim/v1", self, suffix="version")
        app.add_route("/sim/v1/resources", self, suffix="resources")
        app.add_route("/sim/v1/resources/{id}", self, suffix="resource")

    def on_get_versions(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"versions": [self._version(req)]}

    def on_get_version(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"version": self._version(req)}

    def _version(self, req: falcon.Request) -> dict[str, Any]:
        return {"id": "v1.0", "status": "CURRENT", "links": [{"rel": "self", "href": f"{req.prefix}/sim/v1/"}]}

    def _tell(self, resource: Resource, event: str, actor: Actor, *, priority: str = "INFO") -> None:
        payload = {"resource": dict(resource.body)}
        self.cloud.notify("sim", "sim.api-1", f"sim.resource.{event}", payload, actor=actor, priority=priority,
                          resource_id=resource.id)

    def _found(self, resource_id: str, actor: Actor) -> tuple[Resource, Any]:
        found = self.cloud.world.shown(TYPE, resource_id)
        if found is None or not visible(found[0], actor):
            raise faults.plain(404, f"Resource {resource_id} could not be found.")
        return found

    # requests

    def on_get_resources(self, req: falcon.Request, resp: falcon.Response) -> None:
        wanted = {key: req.get_param(key) for key in ("name", "status", "project_id") if req.get_param(key)}
        since = req.get_param("changes-since") or ""
        found = [body for resource, body in self.cloud.world.listed(TYPE)
                 if visible(resource, req.context.actor) and body["updated_at"] >= since
                 and all(body[key] == value for key, value in wanted.items())]
        listed = page(found, req)
        resp.media = {"resources": listed, **next_links(req, "resources")}

    def on_post_resources(self, req: falcon.Request, resp: falcon.Response) -> None:
        asked = read_json(req, "resource", faults.plain)
        actor: Actor = req.context.actor
        properties, metadata = asked.get("properties") or {}, asked.get("metadata") or {}
        if not isinstance(properties, dict) or not isinstance(metadata, dict):
            raise faults.plain(400, "Invalid input: 'properties' and 'metadata' have to be objects.")
        now = iso(self.cloud.now, micro=True)
        body = {"id": str(uuid.uuid4()), "name": str(asked.get("name") or ""), "status": "BUILDING",
                "status_reason": None, "project_id": actor.project_id, "properties": properties,
                "metadata": metadata, "created_at": now, "updated_at": now}
        world = self.cloud.world
        with world.lock:
            resource = world.add(TYPE, body, project_id=actor.project_id)
            self._begin(resource, actor, "create")
        resp.status = falcon.HTTP_202
        resp.media = {"resource": body}

    def _begin(self, resource: Resource, actor: Actor, event: str, *, part: float = 1.0) -> None:
        """Emit its start, and schedule its end after this part of a build's time."""
        world = self.cloud.world
        course = (resource, world.begin(resource))
        self._tell(resource, f"{event}.start", actor)
        fails = event != "delete" and world.draw_failure(resource.body["name"])

        def end() -> None:
            if resource.body["name"] in world.panel.now.held_names:
                world.after(HELD_AGAIN, end, course=course)
            elif event == "delete":
                self.behind_delete(resource, actor)
            else:
                self._built(resource, actor, fails=fails, event=event)

        world.after(world.draw_build_time(TYPE) * part, end, course=course)

    def _built(self, resource: Resource, actor: Actor, *, fails: bool, event: str) -> None:
        if fails:
            self._set(resource, status="ERROR", status_reason=f"The dials made this {event} fail.")
            self._tell(resource, f"{event}.error", actor, priority="ERROR")
        else:
            self._set(resource, status="ACTIVE", status_reason=None)
            self._tell(resource, f"{event}.end", actor)

    def on_get_resource(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        resp.media = {"resource": self._found(id, req.context.actor)[1]}

    def on_put_resource(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        self.on_patch_resource(req, resp, id)

    def on_patch_resource(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        asked = read_json(req, "resource", faults.plain)
        actor: Actor = req.context.actor
        world = self.cloud.world
        with world.lock:
            resource, _ = self._found(id, actor)
            if resource.gone or resource.status == "DELETING":
                raise faults.plain(409, f"Resource {id} is being deleted and can't be changed.")
            old = resource.body["properties"]
            new = asked.get("properties", old)
            if not isinstance(new, dict) or not isinstance(asked.get("metadata", {}), dict):
                raise faults.plain(400, "Invalid input: 'properties' and 'metadata' have to be objects.")
            fixed = sorted(key for key in {*old, *new} if key.startswith("!") and old.get(key) != new.get(key))
            if fixed:
                raise faults.plain(409, f"Property {', '.join(fixed)} of resource {id} can't be changed in place: "
                                        "replace the resource.", properties=fixed)
            updates = {key: asked[key] for key in ("name", "metadata") if key in asked}
            self._set(resource, **updates, properties=new, status="UPDATING")
            self._begin(resource, actor, "update", part=UPDATE_PART)
            resp.media = {"resource": resource.body}
        resp.status = falcon.HTTP_202

    def on_delete_resource(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        actor: Actor = req.context.actor
        world = self.cloud.world
        resp.status = falcon.HTTP_204
        with world.lock:
            resource, _ = self._found(id, actor)
            if resource.gone or resource.status == "DELETING":
                return
            self._set(resource, status="DELETING")
            self._begin(resource, actor, "delete", part=DELETE_PART)
