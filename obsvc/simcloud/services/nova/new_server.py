"""A server that is asked for: what nova checks before it takes the request, and the body that it begins with."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from obsvc.simcloud import faults
from obsvc.simcloud.cloud import iso
from obsvc.simcloud.notify import Actor
from obsvc.simcloud.services.nova.flavors import FLAVORS, Flavor
from obsvc.simcloud.services.nova.life import POWER, STATE, TASK
from obsvc.simcloud.world import World


@dataclass(frozen=True)
class Wanted:
    """A checked request.  image: as it stands in the body; empty where the server boots from a volume."""

    name: str
    flavor: Flavor
    image: dict[str, Any] | str
    networks: list[Mapping[str, Any]]
    volumes: list[dict[str, Any]]
    metadata: dict[str, str]
    key_name: str | None
    description: str | None
    tags: list[str]

    @property
    def image_id(self) -> str:
        return self.image["id"] if isinstance(self.image, dict) else ""


def checked(asked: Mapping[str, Any], world: World) -> Wanted:
    """The request, checked as nova does; raises Fault (400)."""
    name, flavor = asked.get("name"), FLAVORS.get(str(asked.get("flavorRef")))
    if not isinstance(name, str) or not name:
        raise faults.nova(400, "Invalid input for field/attribute server. 'name' is a required property")
    if flavor is None:
        raise faults.nova(400, f"Flavor {asked.get('flavorRef')} could not be found.")
    return Wanted(
        name, flavor, _image(asked, world), _networks(asked, world), _volumes(asked),
        metadata={str(key): str(value) for key, value in (asked.get("metadata") or {}).items()},
        key_name=asked.get("key_name"), description=asked.get("description"), tags=list(asked.get("tags") or []))


def body(wanted: Wanted, server_id: str, actor: Actor, base: str, now: float) -> dict[str, Any]:
    """What the API shows of it at first.  base: scheme, host and port of the links."""
    created = iso(now)
    return {
        "accessIPv4": "", "accessIPv6": "", "addresses": {}, "created": created, "flavor": wanted.flavor.embedded(),
        "hostId": "", "id": server_id, "image": wanted.image, "links": [
            {"rel": "self", "href": f"{base}/compute/v2.1/servers/{server_id}"},
            {"rel": "bookmark", "href": f"{base}/compute/servers/{server_id}"}],
        "metadata": wanted.metadata,
        "name": wanted.name, "status": "BUILD", "tenant_id": actor.project_id, "user_id": actor.user_id,
        "updated": created, "OS-DCF:diskConfig": "MANUAL", "progress": 0, "OS-EXT-AZ:availability_zone": "",
        "config_drive": "", "key_name": wanted.key_name, "OS-SRV-USG:launched_at": None,
        "OS-SRV-USG:terminated_at": None, "OS-EXT-SRV-ATTR:host": None, "OS-EXT-SRV-ATTR:instance_name": "",
        "OS-EXT-SRV-ATTR:hypervisor_hostname": None, "OS-EXT-SRV-ATTR:hostname": wanted.name.lower()[:63],
        "OS-EXT-SRV-ATTR:kernel_id": "", "OS-EXT-SRV-ATTR:launch_index": 0, "OS-EXT-SRV-ATTR:ramdisk_id": "",
        "OS-EXT-SRV-ATTR:reservation_id": f"r-{server_id[:8]}", "OS-EXT-SRV-ATTR:root_device_name": None,
        "OS-EXT-SRV-ATTR:user_data": None, TASK: "scheduling", STATE: "building", POWER: 0,
        "os-extended-volumes:volumes_attached": wanted.volumes, "locked": False, "host_status": "",
        "description": wanted.description, "tags": wanted.tags,
        "trusted_image_certificates": None, "server_groups": [], "locked_reason": None,
    }


def _image(asked: Mapping[str, Any], world: World) -> dict[str, Any] | str:
    reference = asked.get("imageRef")
    if not reference:
        if not asked.get("block_device_mapping_v2"):
            raise faults.nova(400, "Invalid input: neither an image nor a block device was given to boot from.")
        return ""
    image = world.get("image.image", str(reference))
    if image is None:
        raise faults.nova(400, f"Invalid imageRef provided: image {reference} could not be found.")
    if image.status != "active":
        raise faults.nova(400, f"Image {reference} is not active.")
    return {"id": image.id, "links": [{"rel": "bookmark", "href": f"/compute/images/{image.id}"}]}


def _networks(asked: Mapping[str, Any], world: World) -> list[Mapping[str, Any]]:
    networks = asked.get("networks")
    if networks in (None, "auto", "none"):
        return []
    for network in networks:
        kind = "network.port" if network.get("port") else "network.network"
        reference = network.get("port") or network.get("uuid")
        if world.get(kind, str(reference)) is None:
            raise faults.nova(400, f"{kind.removeprefix('network.').capitalize()} {reference} could not be found.")
    return list(networks)


def _volumes(asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    devices = asked.get("block_device_mapping_v2") or []
    return [{"id": device["uuid"], "delete_on_termination": bool(device.get("delete_on_termination"))}
            for device in devices if device.get("source_type") == "volume" and device.get("uuid")]
