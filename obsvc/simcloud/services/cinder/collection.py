"""The common part of volumes and snapshots of the Block Storage API; paths exist with the project and without."""
from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, ClassVar

import falcon

from obsvc.simcloud import faults
from obsvc.simcloud.cloud import next_links, page, visible
from obsvc.simcloud.notify import Actor
from obsvc.simcloud.services.service import DELETE_PART, Service
from obsvc.simcloud.world import Resource

VOLUME, SNAPSHOT = "block_storage.volume", "block_storage.snapshot"
#: Where cinder's volume service says it runs, with the pool; notifications of snapshots have no pool.
HOST = "volume-1@sim#sim"


class Collection(Service):
    """One type: ``creating`` until built, then ``available`` or ``error``; ``deleting`` until gone."""

    type: ClassVar[str]
    #: Name in bodies, and in the plural in paths.
    key: ClassVar[str]
    #: Fields that a list can be narrowed by.
    filters: ClassVar[tuple[str, ...]]
    #: Fields of an entry of the short list.
    brief: ClassVar[tuple[str, ...]]

    def add_routes(self, app: falcon.App[falcon.Request, falcon.Response]) -> None:
        for prefix in ("/volume/v3", "/volume/v3/{project}"):
            app.add_route(f"{prefix}/{self.key}s", self, suffix="all")
            app.add_route(f"{prefix}/{self.key}s/detail", self, suffix="detail")
            app.add_route(f"{prefix}/{self.key}s/{{id}}", self, suffix="one")

    # read

    def _found(self, resource_id: str, actor: Actor) -> tuple[Resource, Mapping[str, Any]]:
        found = self.cloud.world.shown(self.type, resource_id)
        if found is None or not visible(found[0], actor):
            raise faults.nova(404, f"{self.key.capitalize()} {resource_id} could not be found.")
        return found

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, id: str, project: str | None = None) -> None:
        resp.media = {self.key: self._found(id, req.context.actor)[1]}

    def _listed(self, req: falcon.Request) -> list[Mapping[str, Any]]:
        actor: Actor = req.context.actor
        everyone = "admin" in actor.roles and (req.get_param("all_tenants") or "0").lower() not in ("0", "false")
        since = req.get_param("updated_at", default="").removeprefix("gte:")[:19]
        found = [body for resource, body in self.cloud.world.listed(self.type)
                 if (everyone or resource.project_id == actor.project_id)
                 and all(req.get_param(name, default=body[name]) == body[name] for name in self.filters)
                 and (body["updated_at"] or body["created_at"]) >= since]
        return page(found, req)

    def on_get_detail(self, req: falcon.Request, resp: falcon.Response, project: str | None = None) -> None:
        listed = self._listed(req)
        resp.media = {f"{self.key}s": listed, **next_links(req, f"{self.key}s")}

    def on_get_all(self, req: falcon.Request, resp: falcon.Response, project: str | None = None) -> None:
        resp.media = {f"{self.key}s": [{key: body[key] for key in self.brief} for body in self._listed(req)]}

    # change

    def _create(self, body: Mapping[str, Any], actor: Actor) -> Resource:
        """Make one and schedule its build; call with the world's lock held."""
        world = self.cloud.world
        resource = world.add(self.type, body, project_id=actor.project_id)
        course = (resource, world.begin(resource))
        seconds = world.draw_build_time(self.type)
        fails = world.draw_failure(body["name"])
        # Cinder's volume service begins after the scheduler is done: a tenth of the whole.
        world.after(seconds * 0.1, lambda: self._tell(resource, "create.start", actor), course=course)
        world.after(seconds, lambda: self._built(resource, actor, fails=fails), course=course)
        return resource

    def _built(self, resource: Resource, actor: Actor, *, fails: bool) -> None:
        self._set(resource, status="error" if fails else "available")
        if not fails:
            self._tell(resource, "create.end", actor)

    @abc.abstractmethod
    def _check_delete(self, resource: Resource) -> None:
        """Raise Fault (400) where the resource can't be deleted as it is."""

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, id: str, project: str | None = None) -> None:
        actor: Actor = req.context.actor
        world = self.cloud.world
        resp.status = falcon.HTTP_202
        with world.lock:
            resource, _ = self._found(id, actor)
            if resource.gone or resource.status == "deleting":
                return
            self._check_delete(resource)
            self._set(resource, status="deleting")
            course = (resource, world.begin(resource))
            seconds = world.draw_build_time(self.type) * DELETE_PART
            world.after(seconds * 0.1, lambda: self._tell(resource, "delete.start", actor), course=course)
            world.after(seconds, lambda: self.behind_delete(resource, actor), course=course)
