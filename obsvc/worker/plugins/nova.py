"""Servers (Compute API v2.1); the marker travels as metadata."""
from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from obsvc.engine_client.jobs import Job
from obsvc.worker.plugins import base
from obsvc.worker.plugins.base import BOOLEAN, LIST, MAP, TEXT, Property

#: Nova's ``name`` filter is a regular expression of its database: only names that mean themselves are sent.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]+")


class Server(base.RestPlugin):
    type = "OS::Nova::Server"
    resource_type = "compute.server"
    api = base.Api("compute", "/servers", "server", "servers", listing="/servers/detail")
    properties = {
        "name": Property(TEXT, in_place=True),
        "flavor": Property((str, int), required=True),
        "image": Property(TEXT),
        "networks": Property(LIST),
        "block_device_mapping": Property(LIST),
        "block_device_mapping_v2": Property(LIST),
        "metadata": Property(MAP, in_place=True),
        "key_name": Property(TEXT),
        "user_data": Property(TEXT),
        "user_data_format": Property(TEXT),
        "availability_zone": Property(TEXT),
        "security_groups": Property(LIST),
        "config_drive": Property(BOOLEAN),
        "scheduler_hints": Property(MAP),
    }

    def check(self, properties: Mapping[str, Any]) -> None:
        super().check(properties)
        volumes = properties.get("block_device_mapping") or properties.get("block_device_mapping_v2")
        if not properties.get("image") and not volumes:
            raise base.ActionFailed(f"{self.type} needs the property 'image' (or 'block_device_mapping')")
        if properties.get("user_data_format") not in (None, "RAW"):
            raise base.ActionFailed(f"property 'user_data_format' of {self.type}: expected RAW, "
                                    f"got {properties['user_data_format']!r}")
        for item in properties.get("networks") or ():
            self._check_network(item)

    def _check_network(self, item: Any) -> None:
        known = {"port", "network", "uuid", "fixed_ip"}
        if not isinstance(item, Mapping) or not set(item) <= known or not ({"port", "network", "uuid"} & set(item)):
            raise base.ActionFailed(f"property 'networks' of {self.type}: expected items with port or network "
                                    f"(and fixed_ip), got {item!r}")

    def resolve(self, properties: Mapping[str, Any], clients: base.Clients, region: str) -> dict[str, Any]:
        resolved = dict(properties)
        resolved["flavor"] = clients.find_id(region, "flavor", str(resolved["flavor"]))
        if resolved.get("image"):
            resolved["image"] = clients.find_id(region, "image", resolved["image"])
        networks = []
        for item in resolved.get("networks") or ():
            network = item.get("network") or item.get("uuid")
            networks.append({**item, "network": clients.find_id(region, "network", str(network))} if network else item)
        return {**resolved, "networks": networks}

    def body(self, job: Job, properties: Mapping[str, Any]) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "name": base.name_of(job),
            "flavorRef": properties["flavor"],
            "metadata": self._metadata(job, properties),
        }
        if properties.get("image"):
            fields["imageRef"] = properties["image"]
        if properties.get("networks"):
            fields["networks"] = [_network(item) for item in properties["networks"]]
        devices = [_device_v1(item) for item in properties.get("block_device_mapping") or ()]
        devices += [_device_v2(item) for item in properties.get("block_device_mapping_v2") or ()]
        if devices:
            fields["block_device_mapping_v2"] = devices
        if properties.get("user_data"):
            fields["user_data"] = base64.b64encode(properties["user_data"].encode()).decode()
        if properties.get("security_groups"):
            fields["security_groups"] = [{"name": str(group)} for group in properties["security_groups"]]
        for name in ("key_name", "availability_zone", "config_drive"):
            if properties.get(name) is not None:
                fields[name] = properties[name]
        return fields

    def changes(self, job: Job, properties: Mapping[str, Any]) -> dict[str, Any]:
        return {"name": base.name_of(job)}

    def request(self, job: Job, properties: Mapping[str, Any]) -> dict[str, Any]:
        hints = properties.get("scheduler_hints")
        return {**super().request(job, properties), **({"os:scheduler_hints": hints} if hints else {})}

    def handle_update(self, job: Job, clients: base.Clients) -> base.Created:
        """Name by PUT; metadata by its own call, which merges."""
        updated = super().handle_update(job, clients)
        if job.properties.get("metadata") is not None:
            clients.call(updated.ref.region, "compute", "POST", f"/servers/{updated.ref.resource_id}/metadata",
                         json={"metadata": self._metadata(job, job.properties)})
        return updated

    def marked(self, job: Job, listed: Mapping[str, Any]) -> bool:
        going = (listed.get("status") in ("DELETED", "SOFT_DELETED")
                 or listed.get("OS-EXT-STS:task_state") == "deleting")
        return base.in_metadata(job, listed.get("metadata")) and not going

    def filter(self, job: Job) -> dict[str, Any]:
        name = base.name_of(job)
        return {"name": name} if _PLAIN_NAME.fullmatch(name) else {}

    @staticmethod
    def _metadata(job: Job, properties: Mapping[str, Any]) -> dict[str, str]:
        own = {str(key): str(value) for key, value in (properties.get("metadata") or {}).items()}
        return {**own, **base.marker_metadata(job)}


def _network(item: Mapping[str, Any]) -> dict[str, Any]:
    if item.get("port"):
        return {"port": item["port"]}
    return {"uuid": item["network"], **({"fixed_ip": item["fixed_ip"]} if item.get("fixed_ip") else {})}


def _device_v1(item: Any) -> dict[str, Any]:
    if not isinstance(item, Mapping) or not item.get("volume_id"):
        raise base.ActionFailed(f"property 'block_device_mapping': expected items with volume_id, got {item!r}")
    device = {"uuid": item["volume_id"], "source_type": "volume", "destination_type": "volume",
              "delete_on_termination": bool(item.get("delete_on_termination", False))}
    if item.get("device_name"):
        device["device_name"] = item["device_name"]
    # The first disk boots: HOT's older form has no boot_index and names the device instead.
    first = str(item.get("device_name")).removeprefix("/dev/") in ("vda", "sda", "hda")
    return {**device, "boot_index": 0 if first else -1}


def _device_v2(item: Any) -> dict[str, Any]:
    sources = {"volume_id": "volume", "image": "image", "snapshot_id": "snapshot"}
    source = next((key for key in sources if isinstance(item, Mapping) and item.get(key)), None)
    if source is None:
        raise base.ActionFailed(f"property 'block_device_mapping_v2': expected items with one of {', '.join(sources)}, "
                                f"got {item!r}")
    rest = {key: value for key, value in item.items() if key not in sources and value is not None}
    return {"uuid": item[source], "source_type": sources[source], "destination_type": "volume", "boot_index": -1,
            **rest}
