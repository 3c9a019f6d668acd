"""The Block Storage API of the simulated cloud: volumes, in cinder's paths (with the project or without) and shapes."""
from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import falcon

from obsvc.simcloud import faults
from obsvc.simcloud.cloud import Cloud, iso, page, read_json, visible
from obsvc.simcloud.notify import Actor
from obsvc.simcloud.world import Resource

TYPE = "block_storage.volume"
#: Part of a build's time that a deletion takes.
DELETE_PART = 0.3


class Volumes:
    """Volumes: ``creating`` until built, then ``available`` or ``error``; ``deleting`` until gone."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    def add_routes(self, app: falcon.App) -> None:
        app.add_route("/volume", self, suffix="versions")
        app.add_route("/volume/v3", self, suffix="version")
        for prefix in ("/volume/v3", "/volume/v3/{project}"):
            app.add_route(f"{prefix}/volumes", self, suffix="volumes")
            app.add_route(f"{prefix}/volumes/detail", self, suffix="detail")
            app.add_route(f"{prefix}/volumes/{{id}}", self, suffix="volume")

    def _version(self, req: falcon.Request) -> dict[str, Any]:
        return {"id": "v3.0", "status": "CURRENT", "version": "3.71", "min_version": "3.0",
                "updated": "2023-08-31T00:00:00Z",
                "links": [{"rel": "self", "href": f"{req.prefix}/volume/v3/"}]}

    def on_get_versions(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.status = falcon.HTTP_300
        resp.media = {"versions": [self._version(req)]}

    def on_get_version(self, req: falcon.Request, resp: falcon.Response, project: str | None = None) -> None:
        resp.media = {"versions": [self._version(req)]}

    def _tell(self, volume: Resource, event: str, actor: Actor, *, priority: str = "INFO") -> None:
        """Cinder's payload (``cinder/volume/volume_utils.py`` ``_usage_from_volume``)."""
        body = volume.last_body
        payload = {
            "tenant_id": volume.project_id, "host": "volume-1@sim#sim", "user_id": body["user_id"],
            "availability_zone": "nova", "volume_id": volume.id, "volume_type": body["volume_type"],
            "display_name": body["name"], "launched_at": body["updated_at"] or "",
            "created_at": iso(volume.created, zone="+00:00"), "status": body["status"], "snapshot_id": None,
            "size": body["size"], "replication_status": None, "replication_extended_status": None,
            "replication_driver_data": None, "volume_attachment": [],
            "metadata": [{"key": key, "value": value} for key, value in body["metadata"].items()],
        }
        self.cloud.notify("openstack", "volume.volume-1@sim#sim", f"volume.{event}", payload, actor=actor,
                          priority=priority, resource_id=volume.id)

    def _found(self, volume_id: str, actor: Actor) -> tuple[Resource, Mapping[str, Any]]:
        found = self.cloud.world.shown(TYPE, volume_id)
        if found is None or not visible(found[0], actor):
            raise faults.nova(404, f"Volume {volume_id} could not be found.")
        return found

    def on_get_volume(self, req: falcon.Request, resp: falcon.Response, id: str, project: str | None = None) -> None:
        resp.media = {"volume": self._found(id, req.context.actor)[1]}

    def _listed(self, req: falcon.Request) -> list[Mapping[str, Any]]:
        actor: Actor = req.context.actor
        everyone = "admin" in actor.roles and (req.get_param("all_tenants") or "0").lower() not in ("0", "false")
        since = req.get_param("updated_at", default="").removeprefix("gte:")[:19]
        found = [body for volume, body in self.cloud.world.listed(TYPE)
                 if (everyone or volume.project_id == actor.project_id)
                 and req.get_param("name", default=body["name"]) == body["name"]
                 and req.get_param("status", default=body["status"]) == body["status"]
                 and (body["updated_at"] or body["created_at"]) >= since]
        return page(found, req)

    def on_get_detail(self, req: falcon.Request, resp: falcon.Response, project: str | None = None) -> None:
        resp.media = {"volumes": self._listed(req)}

    def on_get_volumes(self, req: falcon.Request, resp: falcon.Response, project: str | None = None) -> None:
        resp.media = {"volumes": [{key: body[key] for key in ("id", "name", "links")} for body in self._listed(req)]}

    def on_post_volumes(self, req: falcon.Request, resp: falcon.Response, project: str | None = None) -> None:
        asked = read_json(req, "volume")
        actor: Actor = req.context.actor
        size = asked.get("size")
        if not str(size).isdigit() or int(size) < 1:
            raise faults.nova(400, f"Invalid input received: Volume size '{size}' must be an integer and greater "
                                   "than 0")
        volume_id = str(uuid.uuid4())
        body = {
            "id": volume_id, "name": asked.get("name") or "", "description": asked.get("description"),
            "status": "creating", "size": int(size), "availability_zone": asked.get("availability_zone") or "nova",
            "volume_type": asked.get("volume_type") or "__DEFAULT__", "created_at": iso(self.cloud.now, micro=True),
            "updated_at": None, "attachments": [], "metadata": asked.get("metadata") or {}, "bootable": "false",
            "encrypted": False, "multiattach": False, "snapshot_id": None, "source_volid": None,
            "consistencygroup_id": None, "replication_status": None, "user_id": actor.user_id,
            "migration_status": None, "shared_targets": False, "service_uuid": None, "cluster_name": None,
            "provider_id": None, "group_id": None, "volume_type_id": "3f1f6c5e-0c31-4d53-8f2a-0d3e6c3b5f10",
            "consumes_quota": True, "os-vol-host-attr:host": "volume-1@sim#sim",
            "os-vol-tenant-attr:tenant_id": actor.project_id, "os-vol-mig-status-attr:migstat": None,
            "os-vol-mig-status-attr:name_id": None,
            "links": [{"rel": "self", "href": f"{req.prefix}/volume/v3/volumes/{volume_id}"},
                      {"rel": "bookmark", "href": f"{req.prefix}/volume/volumes/{volume_id}"}],
        }
        world = self.cloud.world
        with world.lock:
            volume = world.add(TYPE, body, project_id=actor.project_id)
            course = (volume, world.begin(volume))
            seconds = world.draw_build_time(TYPE)
            fails = world.draw_failure(body["name"])
            # Cinder's volume service begins after the scheduler is done: a tenth of the whole.
            world.after(seconds * 0.1, lambda: self._tell(volume, "create.start", actor), course=course)
            world.after(seconds, lambda: self._built(volume, actor, fails=fails), course=course)
        resp.status = falcon.HTTP_202
        resp.media = {"volume": body}

    def _set(self, volume: Resource, **updates: Any) -> None:
        self.cloud.world.change(volume, {**updates, "updated_at": iso(self.cloud.now, micro=True)})

    def _built(self, volume: Resource, actor: Actor, *, fails: bool) -> None:
        self._set(volume, status="error" if fails else "available")
        if fails:
            self._tell(volume, "create.error", actor, priority="ERROR")
        else:
            self._tell(volume, "create.end", actor)

    def on_put_volume(self, req: falcon.Request, resp: falcon.Response, id: str, project: str | None = None) -> None:
        asked = read_json(req, "volume")
        with self.cloud.world.lock:
            volume, _ = self._found(id, req.context.actor)
            self._tell(volume, "update.start", req.context.actor)
            self._set(volume, **{key: asked[key] for key in ("name", "description", "metadata") if key in asked})
            self._tell(volume, "update.end", req.context.actor)
            resp.media = {"volume": volume.last_body}

    def on_delete_volume(self, req: falcon.Request, resp: falcon.Response, id: str,
                         project: str | None = None) -> None:
        actor: Actor = req.context.actor
        world = self.cloud.world
        resp.status = falcon.HTTP_202
        with world.lock:
            volume, _ = self._found(id, actor)
            if volume.gone or volume.status == "deleting":
                return
            if volume.status not in ("available", "error", "creating"):
                raise faults.nova(400, "Invalid volume: Volume status must be available or error or error_restoring "
                                       "or error_extending or error_managing and must not be migrating, attached, "
                                       "belong to a group, have snapshots, awaiting a transfer, or be disassociated "
                                       "from snapshots after volume transfer.")
            self._set(volume, status="deleting")
            course = (volume, world.begin(volume))
            seconds = world.draw_build_time(TYPE) * DELETE_PART
            world.after(seconds * 0.1, lambda: self._tell(volume, "delete.start", actor), course=course)
            world.after(seconds, lambda: self.behind_delete(volume, actor), course=course)

    # for nova

    def attach(self, server: Resource, actor: Actor) -> None:
        """The server's volumes are in use from now on; one that is not there, or not available, is left alone."""
        for each in server.last_body["os-extended-volumes:volumes_attached"]:
            volume = self.cloud.world.get(TYPE, each["id"])
            if volume is not None and volume.status == "available":
                attachment = {"id": volume.id, "attachment_id": str(uuid.uuid4()), "volume_id": volume.id,
                              "server_id": server.id, "host_name": server.last_body["OS-EXT-SRV-ATTR:host"],
                              "device": "/dev/vda", "attached_at": iso(self.cloud.now, micro=True)}
                self._tell(volume, "attach.start", actor)
                self._set(volume, status="in-use", attachments=[attachment])
                self._tell(volume, "attach.end", actor)

    def detach(self, server: Resource, actor: Actor, *, notify: bool = True) -> None:
        """A server gives back its volumes."""
        for volume in self.cloud.world.live(TYPE):
            if any(each["server_id"] == server.id for each in volume.body["attachments"]):
                if notify:
                    self._tell(volume, "detach.start", actor)
                self._set(volume, status="available", attachments=[])
                if notify:
                    self._tell(volume, "detach.end", actor)

    # behind everybody's back

    def behind_delete(self, volume: Resource, actor: Actor, *, notify: bool = True) -> None:
        self.cloud.world.remove(volume)
        if notify:
            self._tell(volume, "delete.end", actor)

    def behind_change(self, volume: Resource, updates: dict[str, Any], actor: Actor, *, notify: bool = True) -> None:
        self.cloud.world.begin(volume)
        if "metadata" in updates:
            updates = {**updates, "metadata": {**volume.body["metadata"], **updates["metadata"]}}
        self._set(volume, **updates)
        if notify:
            self._tell(volume, "update.end", actor)
