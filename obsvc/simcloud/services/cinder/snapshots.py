"""The snapshots of the Block Storage API of the simulated cloud, in cinder's shapes."""
from __future__ import annotations

import uuid
from typing import Any

import falcon

from obsvc.simcloud import faults
from obsvc.simcloud.cloud import iso, read_json
from obsvc.simcloud.notify import Actor
from obsvc.simcloud.services.cinder.collection import HOST, SNAPSHOT, VOLUME, Collection
from obsvc.simcloud.world import Resource

#: Minor version from which on a volume in use needs no ``force`` (cinder's API microversion history).
_UNFORCED = 66


class Snapshots(Collection):
    """Snapshots of volumes.  One that fails to build is ``error`` without a notification, as cinder's are."""

    type = SNAPSHOT
    key = "snapshot"
    filters = ("name", "status", "volume_id")
    brief = ("id", "name", "description", "volume_id", "status", "size", "created_at", "updated_at", "metadata")

    def _tell(self, snapshot: Resource, event: str, actor: Actor, *, priority: str = "INFO") -> None:
        """Cinder's payload (``cinder/volume/volume_utils.py`` ``_usage_from_snapshot``)."""
        body = snapshot.body
        metadata = body["metadata"]
        payload = {
            "tenant_id": snapshot.project_id, "user_id": body["user_id"], "availability_zone": "nova",
            "volume_id": body["volume_id"], "volume_size": body["size"], "snapshot_id": snapshot.id,
            "display_name": body["name"], "created_at": iso(snapshot.created, zone="+00:00"),
            "status": body["status"], "deleted": "", "metadata": str(dict(metadata)) if metadata else "",
        }
        # The API's host emits changes made through the API, the volume's host everything else.
        host = "api-1" if event.startswith("update.") else HOST.partition("#")[0]
        self.cloud.notify("openstack", f"snapshot.{host}", f"snapshot.{event}", payload, actor=actor,
                          priority=priority, resource_id=snapshot.id)

    def on_post_all(self, req: falcon.Request, resp: falcon.Response, project: str | None = None) -> None:
        asked = read_json(req, "snapshot")
        actor: Actor = req.context.actor
        world = self.cloud.world
        with world.lock:
            source = world.get(VOLUME, str(asked.get("volume_id")))
            if source is None:
                raise faults.nova(404, f"Volume {asked.get('volume_id')} could not be found.")
            if source.status != "available" and not (source.status == "in-use" and _may_be_in_use(req, asked)):
                raise faults.nova(400, f"Invalid volume: Volume {source.id} status must be available, but current "
                                       f"status is: {source.status}.")
            body = {
                "id": str(uuid.uuid4()), "name": asked.get("name") or "", "description": asked.get("description"),
                "volume_id": source.id, "status": "creating", "size": source.body["size"],
                "metadata": asked.get("metadata") or {}, "created_at": iso(self.cloud.now, micro=True),
                "updated_at": None, "user_id": actor.user_id, "group_snapshot_id": None, "consumes_quota": True,
                "os-extended-snapshot-attributes:progress": "0%",
                "os-extended-snapshot-attributes:project_id": actor.project_id,
            }
            self._create(body, actor)
        resp.status = falcon.HTTP_202
        resp.media = {"snapshot": body}

    def _built(self, snapshot: Resource, actor: Actor, *, fails: bool) -> None:
        if not fails:
            self.cloud.world.change(snapshot, {"os-extended-snapshot-attributes:progress": "100%"})
        super()._built(snapshot, actor, fails=fails)

    def on_put_one(self, req: falcon.Request, resp: falcon.Response, id: str, project: str | None = None) -> None:
        asked = read_json(req, "snapshot")
        with self.cloud.world.lock:
            snapshot, _ = self._found(id, req.context.actor)
            self._set(snapshot, **{key: asked[key] for key in ("name", "description") if key in asked})
            self._tell(snapshot, "update.end", req.context.actor)
            resp.media = {"snapshot": snapshot.body}

    def _check_delete(self, snapshot: Resource) -> None:
        if snapshot.status not in ("available", "error", "creating"):
            raise faults.nova(400, "Invalid snapshot: Snapshot status must be available or error, and must not be "
                                   "part of a group.")


def _may_be_in_use(req: falcon.Request, asked: dict[str, Any]) -> bool:
    version = (req.get_header("OpenStack-API-Version") or "").removeprefix("volume").strip()
    minor = version.removeprefix("3.")
    return bool(asked.get("force")) or version == "latest" or minor.isdigit() and int(minor) >= _UNFORCED
