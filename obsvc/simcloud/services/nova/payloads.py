"""Payloads of nova's notifications, of both families, made from a server as it is now.  Pure.

The shapes are those of nova 34: unversioned ``nova/notifications/base.py`` ``info_from_instance``; versioned
``nova/notifications/objects/{instance,flavor,request_spec,scheduler}.py``.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from obsvc.simcloud.cloud import iso
from obsvc.simcloud.notify import Actor
from obsvc.simcloud.services.nova.flavors import Flavor
from obsvc.simcloud.world import Resource

#: power state as a word → as the API's number.
POWER = {"pending": 0, "running": 1, "paused": 3, "shutdown": 4, "crashed": 6, "suspended": 7}

_VERSIONS = {"InstanceUpdatePayload": "2.1", "InstanceCreatePayload": "1.13", "InstanceActionPayload": "1.9",
             "InstanceExistsPayload": "2.1", "InstanceActionResizePrepPayload": "1.4", "FlavorPayload": "1.4",
             "RequestSpecPayload": "1.1", "ImageMetaPropsPayload": "1.20", "ExceptionPayload": "1.1"}
#: Unversioned events that tell the server's addresses.
_WITH_ADDRESSES = frozenset(f"compute.instance.{event}" for event in (
    "create.end", "resize.start", "resize.end", "finish_resize.start", "finish_resize.end", "resize.confirm.end"))
_NO_HOST = "No valid host was found. "


def wrapped(name: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """A versioned object on the wire."""
    return {"nova_object.name": name, "nova_object.namespace": "nova",
            "nova_object.version": _VERSIONS.get(name, "1.0"), "nova_object.data": dict(data)}


def unversioned(kind: str, server: Resource, step: Mapping[str, Any], actor: Actor, now: float) -> dict[str, Any]:
    """Payload of the unversioned message of a step; step: a row of the sequence table with states filled in."""
    if kind in ("select", "task_error"):
        spec = {"request_spec": _request_spec(server, actor, now)}
        if kind == "select":
            return spec
        return {**spec, "instance_properties": spec["request_spec"]["instance_properties"],
                "instance_id": server.id, "state": "error", "method": "build_instances", "reason": _NO_HOST}
    body, hidden, flavor = server.body, server.hidden, server.hidden["flavor"]
    state, task = step["state"], step["task"]
    payload = {
        "tenant_id": server.project_id, "user_id": body["user_id"], "instance_id": server.id,
        "display_name": body["name"], "reservation_id": body["OS-EXT-SRV-ATTR:reservation_id"],
        "hostname": body["OS-EXT-SRV-ATTR:hostname"], "instance_type": flavor.name,
        "instance_type_id": flavor.number, "instance_flavor_id": flavor.id, "architecture": None,
        "memory_mb": flavor.ram, "disk_gb": flavor.disk, "vcpus": flavor.vcpus, "root_gb": flavor.disk,
        "ephemeral_gb": 0, "host": body["OS-EXT-SRV-ATTR:host"], "node": body["OS-EXT-SRV-ATTR:host"],
        "availability_zone": "nova", "cell_name": "",
        "created_at": iso(server.created, zone="+00:00").replace("T", " "),
        "terminated_at": _micro(hidden.get("terminated_at")), "deleted_at": _micro(hidden.get("deleted_at")),
        "launched_at": _micro(hidden.get("launched_at")),
        "image_ref_url": f"http://127.0.0.1/image/images/{hidden['image_id']}", "os_type": None, "kernel_id": "",
        "ramdisk_id": "", "state": state, "state_description": task or "", "progress": "", "access_ip_v4": None,
        "access_ip_v6": None,
        "image_meta": {"min_ram": "0", "min_disk": "1", "disk_format": "qcow2", "container_format": "bare",
                       "base_image_ref": hidden["image_id"]},
        "metadata": body["metadata"],
    }
    if kind in ("update", "exists"):
        payload |= {"audit_period_beginning": _hour(now), "audit_period_ending": iso(now, micro=True)}
    if kind == "update":
        payload |= {"old_state": step["was"][0], "old_task_state": step["was"][1], "new_task_state": task}
    if step["event"] in _WITH_ADDRESSES:
        payload["fixed_ips"] = hidden.get("fixed_ips", [])
    if step["event"] == "compute.instance.resize.prep.end":
        new = hidden.get("new_flavor") or flavor
        payload |= {"new_instance_type": new.name, "new_instance_type_id": new.number}
    if kind == "create":
        payload["image_name"] = hidden["image_name"]
        if state == "active":
            del payload["image_name"]
            payload["message"] = "Success"
    return payload


def versioned(kind: str, server: Resource, step: Mapping[str, Any], actor: Actor, now: float) -> dict[str, Any]:
    """Payload of the versioned message of the same step."""
    if kind == "select":
        return _versioned_request_spec(server)
    if kind == "task_error":
        reason = wrapped("ExceptionPayload", {
            "module_name": "nova.conductor.manager", "function_name": "schedule_and_build_instances",
            "exception": "NoValidHost_Remote", "exception_message": _NO_HOST, "traceback": "Traceback: simulated\n"})
        return wrapped("ComputeTaskPayload", {
            "instance_uuid": server.id, "request_spec": _versioned_request_spec(server), "state": "error",
            "reason": reason})
    data = _instance(server, step, actor)
    if kind == "update":
        state_update = {"old_state": step["was"][0], "state": step["state"], "old_task_state": step["was"][1],
                        "new_task_state": step["task"]}
        data = {"state_update": wrapped("InstanceStateUpdatePayload", state_update), "audit_period": _audit(now),
                "old_display_name": server.hidden.get("old_name"), "tags": [], **data}
        return wrapped("InstanceUpdatePayload", data)
    if kind == "exists":
        return wrapped("InstanceExistsPayload", {"audit_period": _audit(now), **data})
    if kind == "create":
        data = {"keypairs": [], "tags": [], "trusted_image_certificates": None, "fault": None,
                "instance_name": server.body["OS-EXT-SRV-ATTR:instance_name"], **data}
        return wrapped("InstanceCreatePayload", data)
    if kind == "resize_prep":
        new = server.hidden.get("new_flavor") or server.hidden["flavor"]
        return wrapped("InstanceActionResizePrepPayload", {"new_flavor": _flavor(new), "fault": None, **data})
    return wrapped("InstanceActionPayload", {"fault": None, **data})


def _instance(server: Resource, step: Mapping[str, Any], actor: Actor) -> dict[str, Any]:
    body, hidden = server.body, server.hidden
    host = body["OS-EXT-SRV-ATTR:host"]
    return {
        "request_id": actor.request_id, "uuid": server.id, "user_id": body["user_id"],
        "tenant_id": server.project_id, "reservation_id": body["OS-EXT-SRV-ATTR:reservation_id"],
        "display_name": body["name"], "display_description": body["description"],
        "host_name": body["OS-EXT-SRV-ATTR:hostname"], "host": host, "node": host, "os_type": None,
        "architecture": None, "availability_zone": "nova", "flavor": _flavor(hidden["flavor"]),
        "image_uuid": hidden["image_id"], "key_name": body["key_name"], "kernel_id": "", "ramdisk_id": "",
        "created_at": body["created"], "launched_at": _whole(hidden.get("launched_at")),
        "terminated_at": _whole(hidden.get("terminated_at")), "deleted_at": _whole(hidden.get("deleted_at")),
        # The time before the save that caused this message, as in nova: it orders nothing.
        "updated_at": hidden.get("updated_before"),
        "state": step["state"], "power_state": step["power"], "task_state": step["task"], "progress": 0,
        "ip_addresses": hidden.get("ip_addresses", []), "block_devices": [], "metadata": body["metadata"],
        "locked": body["locked"], "auto_disk_config": "MANUAL", "action_initiator_user": actor.user_id,
        "action_initiator_project": actor.project_id, "locked_reason": None, "shares": None,
    }


def _flavor(flavor: Flavor) -> dict[str, Any]:
    return wrapped("FlavorPayload", {
        "flavorid": flavor.id, "memory_mb": flavor.ram, "vcpus": flavor.vcpus, "root_gb": flavor.disk,
        "ephemeral_gb": 0, "name": flavor.name, "swap": 0, "rxtx_factor": 1.0, "vcpu_weight": 0, "disabled": False,
        "is_public": True, "extra_specs": {}, "projects": None, "description": None})


def _image(server: Resource) -> dict[str, Any]:
    return {"id": server.hidden["image_id"], "name": server.hidden["image_name"], "status": "active",
            "checksum": "0" * 32, "owner": server.project_id, "size": 196616, "container_format": "bare",
            "disk_format": "qcow2", "created_at": iso(server.created), "updated_at": iso(server.created),
            "min_ram": 0, "min_disk": 0}


def _request_spec(server: Resource, actor: Actor, now: float) -> dict[str, Any]:
    """The scheduler's unversioned payload.  It carries the request context with a token in it, as nova's does."""
    flavor = server.hidden["flavor"]
    context = {
        "user_id": actor.user_id, "project_id": actor.project_id, "auth_token": "gAAAA-simulated-secret",
        "user_name": actor.user_name, "project_name": actor.project_name, "roles": list(actor.roles),
        "request_id": actor.request_id, "timestamp": iso(now, micro=True), "remote_address": "127.0.0.1",
        "domain_id": None, "user_domain_id": "default", "project_domain_id": "default", "read_only": False,
        "show_deleted": False, "service_catalog": [], "global_request_id": None, "_read_deleted": "no",
    }
    return {
        "num_instances": 1, "image": {**_image(server), "properties": {}},
        "instance_properties": {
            "numa_topology": None,
            "pci_requests": {"_changed_fields": ["requests"], "_context": context, "VERSION": "1.1",
                             "_obj_requests": []},
            "project_id": server.project_id, "user_id": actor.user_id, "availability_zone": None,
            "uuid": server.id, "root_gb": flavor.disk, "ephemeral_gb": 0, "memory_mb": flavor.ram,
            "vcpus": flavor.vcpus},
        "instance_type": {
            "id": flavor.number, "name": flavor.name, "memory_mb": flavor.ram, "vcpus": flavor.vcpus,
            "root_gb": flavor.disk, "ephemeral_gb": 0, "flavorid": flavor.id, "swap": 0, "rxtx_factor": 1.0,
            "vcpu_weight": 0, "disabled": False, "is_public": True, "extra_specs": {}, "description": None,
            "updated_at": None, "deleted_at": None, "deleted": False},
    }


def _versioned_request_spec(server: Resource) -> dict[str, Any]:
    image = {**_image(server), "visibility": None, "protected": None, "virtual_size": None, "tags": None,
             "direct_url": None, "properties": wrapped("ImageMetaPropsPayload", {})}
    requests = {"instance_uuid": server.id, "requests": []}
    return wrapped("RequestSpecPayload", {
        "instance_uuid": server.id, "project_id": server.project_id, "user_id": server.body["user_id"],
        "availability_zone": None, "flavor": _flavor(server.hidden["flavor"]), "force_hosts": None,
        "force_nodes": None, "ignore_hosts": None, "instance_group": None, "image": wrapped("ImageMetaPayload", image),
        "numa_topology": None, "pci_requests": wrapped("InstancePCIRequestsPayload", requests),
        "num_instances": 1, "requested_destination": None, "retry": None, "scheduler_hints": {},
        "security_groups": ["default"]})


def _audit(now: float) -> dict[str, Any]:
    return wrapped("AuditPeriodPayload", {"audit_period_beginning": _hour(now)[:19] + "Z",
                                          "audit_period_ending": iso(now)})


def _hour(now: float) -> str:
    return iso(now - now % 3600, micro=True)


def _micro(seconds: float | None) -> str:
    return "" if seconds is None else iso(seconds, micro=True)


def _whole(seconds: float | None) -> str | None:
    return None if seconds is None else iso(seconds)
