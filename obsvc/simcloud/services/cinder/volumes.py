"""The Block Storage API of the simulated cloud: its versions and volumes, in cinder's shapes."""
from __future__ import annotations

import uuid
from typing import Any

import falcon

from obsvc.simcloud import faults
from obsvc.simcloud.cloud import iso, read_json
from obsvc.simcloud.notify import Actor
from obsvc.simcloud.services.cinder.collection import HOST, SNAPSHOT, VOLUME, Collection
from obsvc.simcloud.world import Resource


class Volumes(Collection):
    """Volumes, and what nova asks of them (:meth:`attach`, :meth:`detach`)."""

    type = VOLUME
    key = "volume"
    filters = ("name", "status")
    brief = ("id", "name", "links")

    def add_routes(self, app: falcon.App[falcon.Request, falcon.Response]) -> None:
        app.add_route("/volume", self, suffix="versions")
        app.add_route("/volume/v3", self, suffix="version")
        super().add_routes(app)

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
        body = volume.body
        payload = {
            "tenant_id": volume.project_id, "host": HOST, "user_id": body["user_id"],
            "availability_zone": "nova", "volume_id": volume.id, "volume_type": body["volume_type"],
            "display_name": body["name"], "launched_at": body["updated_at"] or "",
            "created_at": iso(volume.created, zone="+00:00"), "status": body["status"], "size": body["size"],
            "snapshot_id": body["snapshot_id"], "replication_status": None, "replication_extended_status": None,
            "replication_driver_data": None, "volume_attachment": [],
            "metadata": [{"key": key, "value": value} for key, value in body["metadata"].items()],
        }
        self.cloud.notify("openstack", f"volume.{HOST}", f"volume.{event}", payload, actor=actor,
                          priority=priority, resource_id=volume.id)

    def on_post_all(self, req: falcon.Request, resp: falcon.Response, project: str | None = None) -> None:
        asked = read_json(req, "volume")
        actor: Actor = req.context.actor
        snapshot = self._snapshot(asked.get("snapshot_id"))
        size = str(asked.get("size") or (snapshot.body["size"] if snapshot else None))
        if not size.isdigit() or int(size) < 1:
            raise faults.nova(400, f"Invalid input received: Volume size '{size}' must be an integer and greater "
                                   "than 0")
        volume_id = str(uuid.uuid4())
        body = {
            "id": volume_id, "name": asked.get("name") or "", "description": asked.get("description"),
            "status": "creating", "size": int(size), "availability_zone": asked.get("availability_zone") or "nova",
            "volume_type": asked.get("volume_type") or "__DEFAULT__", "created_at": iso(self.cloud.now, micro=True),
            "updated_at": None, "attachments": [], "metadata": asked.get("metadata") or {}, "bootable": "false",
            "encrypted": False, "multiattach": False, "source_volid": None,
            "snapshot_id": snapshot.id if snapshot else None,
            "consistencygroup_id": None, "replication_status": None, "user_id": actor.user_id,
            "migration_status": None, "shared_targets": False, "service_uuid": None, "cluster_name": None,
            "provider_id": None, "group_id": None, "volume_type_id": "3f1f6c5e-0c31-4d53-8f2a-0d3e6c3b5f10",
            "consumes_quota": True, "os-vol-host-attr:host": HOST,
            "os-vol-tenant-attr:tenant_id": actor.project_id, "os-vol-mig-status-attr:migstat": None,
            "os-vol-mig-status-attr:name_id": None,
            "links": [{"rel": "self", "href": f"{req.prefix}/volume/v3/volumes/{volume_id}"},
                      {"rel": "bookmark", "href": f"{req.prefix}/volume/volumes/{volume_id}"}],
        }
        with self.cloud.world.lock:
            self._create(body, actor)
        resp.status = falcon.HTTP_202
        resp.media = {"volume": body}

    def _snapshot(self, snapshot_id: str | None) -> Resource | None:
        """The snapshot that a new volume is to be made from.  Raises Fault (404, 400)."""
        if not snapshot_id:
            return None
        snapshot = self.cloud.world.get(SNAPSHOT, str(snapshot_id))
        if snapshot is None:
            raise faults.nova(404, f"Snapshot {snapshot_id} could not be found.")
        if snapshot.status != "available":
            raise faults.nova(400, "Invalid snapshot: Originating snapshot status must be one of 'available' values")
        return snapshot

    def _built(self, volume: Resource, actor: Actor, *, fails: bool) -> None:
        super()._built(volume, actor, fails=fails)
        if fails:
            self._tell(volume, "create.error", actor, priority="ERROR")

    def on_put_one(self, req: falcon.Request, resp: falcon.Response, id: str, project: str | None = None) -> None:
        asked = read_json(req, "volume")
        with self.cloud.world.lock:
            volume, _ = self._found(id, req.context.actor)
            self._tell(volume, "update.start", req.context.actor)
            self._set(volume, **{key: asked[key] for key in ("name", "description", "metadata") if key in asked})
            self._tell(volume, "update.end", req.context.actor)
            resp.media = {"volume": volume.body}

    def _check_delete(self, volume: Resource) -> None:
        snapshots = self.cloud.world.live(SNAPSHOT)
        if volume.status not in ("available", "error", "creating") \
                or any(snapshot.body["volume_id"] == volume.id for snapshot in snapshots):
            raise faults.nova(400, "Invalid volume: Volume status must be available or error or error_restoring "
                                   "or error_extending or error_managing and must not be migrating, attached, "
                                   "belong to a group, have snapshots, awaiting a transfer, or be disassociated "
                                   "from snapshots after volume transfer.")

    # for nova

    def attach(self, server: Resource, actor: Actor) -> None:
        """The server's volumes are in use from now on; one that is not there, or not available, is left alone."""
        for attached in server.body["os-extended-volumes:volumes_attached"]:
            volume = self.cloud.world.get(VOLUME, attached["id"])
            if volume is not None and volume.status == "available":
                attachment = {"id": volume.id, "attachment_id": str(uuid.uuid4()), "volume_id": volume.id,
                              "server_id": server.id, "host_name": server.body["OS-EXT-SRV-ATTR:host"],
                              "device": "/dev/vda", "attached_at": iso(self.cloud.now, micro=True)}
                self._tell(volume, "attach.start", actor)
                self._set(volume, status="in-use", attachments=[attachment])
                self._tell(volume, "attach.end", actor)

    def detach(self, server: Resource, actor: Actor, *, notify: bool = True) -> None:
        """A server gives back its volumes."""
        for volume in self.cloud.world.live(VOLUME):
            if any(attachment["server_id"] == server.id for attachment in volume.body["attachments"]):
                if notify:
                    self._tell(volume, "detach.start", actor)
                self._set(volume, status="available", attachments=[])
                if notify:
                    self._tell(volume, "detach.end", actor)
