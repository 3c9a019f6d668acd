"""Volumes and their snapshots (Block Storage API v3); the marker travels as metadata."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from obsvc.engine_client.jobs import Job
from obsvc.worker.plugins import base
from obsvc.worker.plugins.base import BOOLEAN, INTEGER, MAP, TEXT, Property


class _Cinder(base.RestPlugin):
    """What the two have in common: a name always, and metadata of which the marker is a part."""

    def body(self, job: Job, properties: Mapping[str, Any]) -> dict[str, Any]:
        fields = {self.field(name): value for name, value in properties.items() if value is not None}
        return {**fields, "name": base.name_of(job), "metadata": self._metadata(job, properties)}

    def changes(self, job: Job, properties: Mapping[str, Any]) -> dict[str, Any]:
        changes = super().changes(job, properties)
        if "metadata" in changes:
            changes["metadata"] = self._metadata(job, properties)
        return changes

    def marked(self, job: Job, listed: Mapping[str, Any]) -> bool:
        return base.in_metadata(job, listed.get("metadata")) and listed.get("status") != "deleting"

    @staticmethod
    def _metadata(job: Job, properties: Mapping[str, Any]) -> dict[str, str]:
        own = {str(key): str(value) for key, value in (properties.get("metadata") or {}).items()}
        return {**own, **base.marker_metadata(job)}


class Volume(_Cinder):
    type = "OS::Cinder::Volume"
    resource_type = "block_storage.volume"
    api = base.Api("block-storage", "/volumes", "volume", "volumes", listing="/volumes/detail")
    properties = {
        "name": Property(TEXT, in_place=True),
        "description": Property(TEXT, in_place=True),
        "size": Property(INTEGER),
        "volume_type": Property(TEXT),
        "availability_zone": Property(TEXT),
        "image": Property(TEXT, field="imageRef"),
        "snapshot_id": Property(TEXT),
        "source_volid": Property(TEXT),
        "metadata": Property(MAP, in_place=True),
    }

    def check(self, properties: Mapping[str, Any]) -> None:
        super().check(properties)
        if not any(properties.get(name) for name in ("size", "snapshot_id", "source_volid")):
            raise base.ActionFailed(f"{self.type} needs the property 'size' (or 'snapshot_id' or 'source_volid')")

    def resolve(self, properties: Mapping[str, Any], clients: base.Clients, region: str) -> dict[str, Any]:
        resolved = dict(properties)
        if resolved.get("image"):
            resolved["image"] = clients.find_id(region, "image", resolved["image"])
        return resolved


class Snapshot(_Cinder):
    """A type of obsvc's own: heat makes snapshots only as a part of other things."""

    type = "OS::Cinder::Snapshot"
    resource_type = "block_storage.snapshot"
    api = base.Api("block-storage", "/snapshots", "snapshot", "snapshots", listing="/snapshots/detail")
    properties = {
        "name": Property(TEXT, in_place=True),
        "description": Property(TEXT, in_place=True),
        "volume_id": Property(TEXT, required=True),
        "force": Property(BOOLEAN),
        "metadata": Property(MAP),
    }
