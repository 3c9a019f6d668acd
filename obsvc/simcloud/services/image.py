"""The Image API of the simulated cloud: images, in glance's shapes.

There is no image data: an image becomes active by itself.
"""
from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

import falcon

from obsvc.simcloud import faults
from obsvc.simcloud.cloud import Cloud, iso, next_query, page, read_body, stable_id
from obsvc.simcloud.notify import Actor
from obsvc.simcloud.world import Resource

TYPE = "image.image"
#: The image that is there from the start.
FIRST_NAME = "cirros"


class Images:
    """Images: ``queued`` for a part of their build time, then ``saving``, then ``active``."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        body = self._body({"name": FIRST_NAME, "visibility": "public"}, stable_id("project", "admin"),
                          str(uuid.UUID(stable_id("image", FIRST_NAME))))
        first = cloud.world.add(TYPE, {**body, "status": "active", "size": 196616, "checksum": "0" * 32},
                                project_id=stable_id("project", "admin"))
        self.first_id = first.id

    def add_routes(self, app: falcon.App[falcon.Request, falcon.Response]) -> None:
        app.add_route("/image", self, suffix="versions")
        app.add_route("/image/versions", self, suffix="versions")
        app.add_route("/image/v2", self, suffix="version")
        app.add_route("/image/v2/images", self, suffix="images")
        app.add_route("/image/v2/images/{id}", self, suffix="image")

    def name_of(self, image_id: str) -> str:
        image = self.cloud.world.get(TYPE, image_id)
        return "" if image is None else str(image.body["name"])

    def on_get_versions(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.status = falcon.HTTP_300
        self.on_get_version(req, resp)

    def on_get_version(self, req: falcon.Request, resp: falcon.Response) -> None:
        link = [{"rel": "self", "href": f"{req.prefix}/image/v2/"}]
        resp.media = {"versions": [{"id": "v2.17", "status": "CURRENT", "links": link}]}

    def _body(self, asked: Mapping[str, Any], owner: str, image_id: str) -> dict[str, Any]:
        now = iso(self.cloud.now)
        own = {key: value for key, value in asked.items() if key not in ("id", "owner", "status", "size", "checksum")}
        return {"name": None, "visibility": "shared", "disk_format": "qcow2", "container_format": "bare",
                "min_disk": 0, "min_ram": 0, "protected": False, "tags": [], "os_hidden": False, **own,
                "id": image_id, "status": "queued", "owner": owner, "size": None, "virtual_size": None,
                "checksum": None, "os_hash_algo": None, "os_hash_value": None, "created_at": now, "updated_at": now,
                "self": f"/v2/images/{image_id}", "file": f"/v2/images/{image_id}/file", "schema": "/v2/schemas/image"}

    def _tell(self, image: Resource, event: str) -> None:
        body = image.body
        known = ("id", "name", "status", "created_at", "updated_at", "min_disk", "min_ram", "protected", "checksum",
                 "owner", "disk_format", "container_format", "size", "virtual_size", "visibility", "tags")
        deleted = event == "delete"
        payload = {**{key: body[key] for key in known}, "is_public": body["visibility"] == "public",
                   "properties": {key: value for key, value in body.items() if key.startswith(("os_", "marker"))},
                   "deleted": deleted, "deleted_at": iso(self.cloud.now) if deleted else None}
        if deleted:
            payload["status"] = "deleted"
        self.cloud.notify("glance", "image.api-1", f"image.{event}", payload, actor=None, resource_id=image.id)

    def _found(self, image_id: str, actor: Actor) -> tuple[Resource, Mapping[str, Any]]:
        found = self.cloud.world.shown(TYPE, image_id)
        if found is None or not self._visible(*found, actor):
            raise faults.glance(404, f"Failed to find image {image_id}")
        return found

    @staticmethod
    def _visible(image: Resource, body: Mapping[str, Any], actor: Actor) -> bool:
        return ("admin" in actor.roles or image.project_id == actor.project_id
                or body["visibility"] in ("public", "community"))

    def on_get_images(self, req: falcon.Request, resp: falcon.Response) -> None:
        since = req.get_param("updated_at", default="").removeprefix("gte:")[:19]
        found = [body for image, body in self.cloud.world.listed(TYPE)
                 if self._visible(image, body, req.context.actor) and body["updated_at"] >= since
                 and all(str(body.get(key)) == req.get_param(key)
                         for key in ("name", "status", "visibility", "owner")
                         if req.get_param(key) and (key, req.get_param(key)) != ("visibility", "all"))]
        listed = page(found, req)
        query = next_query(req)
        resp.media = {"images": listed, "first": "/v2/images", "schema": "/v2/schemas/images",
                      **({} if query is None else {"next": f"/v2/images?{query}"})}

    def on_post_images(self, req: falcon.Request, resp: falcon.Response) -> None:
        asked = read_body(req, faults.glance)
        actor: Actor = req.context.actor
        body = self._body(asked, actor.project_id, str(uuid.uuid4()))
        world = self.cloud.world
        with world.lock:
            image = world.add(TYPE, body, project_id=actor.project_id)
            course = (image, world.begin(image))
            self._tell(image, "create")
            seconds = world.draw_build_time(TYPE)
            fails = world.draw_failure(body["name"])
            world.after(seconds * 0.3, lambda: self._saving(image), course=course)
            world.after(seconds, lambda: self._built(image, fails=fails), course=course)
        resp.status = falcon.HTTP_201
        resp.set_header("Location", f"{req.prefix}/image/v2/images/{body['id']}")
        resp.media = body

    def _set(self, image: Resource, **updates: Any) -> None:
        self.cloud.world.change(image, {**updates, "updated_at": iso(self.cloud.now)})

    def _saving(self, image: Resource) -> None:
        self._set(image, status="saving")
        self._tell(image, "update")
        self._tell(image, "prepare")

    def _built(self, image: Resource, *, fails: bool) -> None:
        if fails:
            self._set(image, status="killed")
            self._tell(image, "update")
            return
        self._set(image, status="active", size=196616, checksum="0" * 32, virtual_size=196616)
        for event in ("upload", "activate", "update"):
            self._tell(image, event)

    def on_get_image(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        resp.media = self._found(id, req.context.actor)[1]

    def on_patch_image(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        """A JSON patch (``application/openstack-images-v2.1-json-patch``) of top-level fields."""
        try:
            patch = json.loads(req.bounded_stream.read())
            changes = {operation["path"].lstrip("/"): operation.get("value") for operation in patch}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise faults.glance(400, "The body has to be a list of JSON patch operations.") from error
        with self.cloud.world.lock:
            image, _ = self._found(id, req.context.actor)
            self._set(image, **changes)
            self._tell(image, "update")
            resp.media = image.body

    def on_delete_image(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        with self.cloud.world.lock:
            image, body = self._found(id, req.context.actor)
            if body["protected"]:
                raise faults.glance(403, f"Image {id} is protected and cannot be deleted.")
            self.behind_delete(image, req.context.actor)
        resp.status = falcon.HTTP_204

    # out-of-band changes

    def behind_delete(self, image: Resource, actor: Actor, *, notify: bool = True) -> None:
        self.cloud.world.remove(image)
        if notify:
            self._tell(image, "delete")

    def behind_change(self, image: Resource, updates: dict[str, Any], actor: Actor, *, notify: bool = True) -> None:
        self.cloud.world.begin(image)
        self._set(image, **updates)
        if notify:
            self._tell(image, "update")
