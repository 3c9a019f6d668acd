"""Bodies of networks, subnets, ports and security groups, as neutron answers them; and addresses.

Each maker takes the world (its lock held), what was asked, and the common fields; it raises Fault.  Those of routers
and floating IPs are in ``routing``.
"""
from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Mapping
from typing import Any

from obsvc.simcloud.cloud import iso
from obsvc.simcloud.faults import neutron
from obsvc.simcloud.world import Resource, World

refuse = neutron

Asked = Mapping[str, Any]

#: Attributes that can't be changed by PUT.
UNCHANGEABLE = {
    "network.network": frozenset({"id", "project_id", "tenant_id", "status"}),
    "network.subnet": frozenset({"id", "project_id", "tenant_id", "network_id", "cidr", "ip_version"}),
    "network.port": frozenset({"id", "project_id", "tenant_id", "network_id", "status"}),
    "network.security_group": frozenset({"id", "project_id", "tenant_id"}),
    "network.router": frozenset({"id", "project_id", "tenant_id", "status"}),
    "network.floating_ip": frozenset({"id", "project_id", "tenant_id", "status", "floating_network_id",
                                      "floating_ip_address", "router_id"}),
}


def common_fields(world: World, asked: Asked, project_id: str) -> dict[str, Any]:
    """What every resource of neutron has."""
    now = iso(world.clock.time())
    return {"id": str(uuid.uuid4()), "name": str(asked.get("name") or ""), "project_id": project_id,
            "tenant_id": project_id, "description": str(asked.get("description") or ""), "tags": [],
            "created_at": now, "updated_at": now, "revision_number": 1}


def _network(world: World, asked: Asked, common: Asked) -> dict[str, Any]:
    return {"admin_state_up": asked.get("admin_state_up", True), "mtu": asked.get("mtu", 1500), "status": "ACTIVE",
            "subnets": [], "shared": bool(asked.get("shared", False)),
            "router:external": bool(asked.get("router:external", False)),
            "provider:network_type": "vxlan", "provider:physical_network": None, "provider:segmentation_id": 100,
            "port_security_enabled": True, "availability_zone_hints": [], "availability_zones": [],
            "ipv4_address_scope": None, "ipv6_address_scope": None, "vlan_transparent": False, "qinq": False}


def _subnet(world: World, asked: Asked, common: Asked) -> dict[str, Any]:
    network_id = existing(world, "network.network", asked.get("network_id"), "NetworkNotFound", "Network").id
    try:
        net = ipaddress.ip_network(str(asked.get("cidr")))
    except ValueError as error:
        raise refuse(400, "HTTPBadRequest", f"Invalid input for cidr. Reason: '{asked.get('cidr')}' is not a valid IP "
                                            "subnet.") from error
    for other in world.live("network.subnet"):
        if other.body["network_id"] == network_id and net.overlaps(ipaddress.ip_network(other.body["cidr"])):
            raise refuse(400, "InvalidInput", f"Invalid input for operation: Requested subnet with cidr: {net} for "
                                              f"network: {network_id} overlaps with another subnet.")
    gateway = asked.get("gateway_ip", str(net[1]) if net.num_addresses > 2 else None)
    pools = asked.get("allocation_pools") or [{"start": str(net[min(2, net.num_addresses - 1)]), "end": str(net[-2])}]
    return {"network_id": network_id, "ip_version": net.version, "subnetpool_id": None,
            "enable_dhcp": asked.get("enable_dhcp", True), "ipv6_ra_mode": None, "ipv6_address_mode": None,
            "gateway_ip": gateway, "cidr": str(net), "allocation_pools": pools,
            "host_routes": list(asked.get("host_routes") or []),
            "dns_nameservers": list(asked.get("dns_nameservers") or []), "router:external": False,
            "service_types": [], "segment_id": None, "dns_publish_fixed_ip": False}


def port_body(world: World, asked: Asked, common: Asked) -> dict[str, Any]:
    network_id = existing(world, "network.network", asked.get("network_id"), "NetworkNotFound", "Network").id
    groups = asked.get("security_groups")
    for group in groups or ():
        existing(world, "network.security_group", group, "SecurityGroupNotFound", "Security group")
    number = uuid.UUID(common["id"]).int
    mac = "fa:16:3e:" + ":".join(f"{number >> shift & 0xff:02x}" for shift in (0, 8, 16))
    return {"network_id": network_id, "mac_address": asked.get("mac_address") or mac,
            "admin_state_up": asked.get("admin_state_up", True),
            "status": "ACTIVE" if asked.get("device_id") else "DOWN",
            "device_id": str(asked.get("device_id") or ""), "device_owner": str(asked.get("device_owner") or ""),
            "fixed_ips": addresses_left(world, network_id, asked.get("fixed_ips")),
            "security_groups": list(groups or []), "binding:vnic_type": "normal", "binding:profile": {},
            "binding:host_id": "", "binding:vif_type": "unbound", "binding:vif_details": {},
            "allowed_address_pairs": list(asked.get("allowed_address_pairs") or []), "extra_dhcp_opts": [],
            "port_security_enabled": True}


def _security_group(world: World, asked: Asked, common: Asked) -> dict[str, Any]:
    rules = [{
        "id": str(uuid.uuid4()), "project_id": common["project_id"], "tenant_id": common["project_id"],
        "security_group_id": common["id"], "ethertype": ethertype, "direction": "egress", "protocol": None,
        "port_range_min": None, "port_range_max": None, "remote_ip_prefix": None, "remote_group_id": None,
        "remote_address_group_id": None, "normalized_cidr": None, "description": None, "tags": [],
        "created_at": common["created_at"], "updated_at": common["created_at"], "revision_number": 0,
    } for ethertype in ("IPv4", "IPv6")]
    return {"stateful": asked.get("stateful", True), "shared": False, "security_group_rules": rules}


#: Of what has no rules beyond its body.
MAKERS = {"network.network": _network, "network.subnet": _subnet, "network.port": port_body,
          "network.security_group": _security_group}


def existing(world: World, resource_type: str, resource_id: Any, kind: str, word: str) -> Resource:
    """The resource, which is there; Fault 404 otherwise."""
    resource = None if resource_id is None else world.get(resource_type, str(resource_id))
    if resource is None:
        raise refuse(404, kind, f"{word} {resource_id} could not be found.")
    return resource


def addresses_left(world: World, network_id: str, asked: Any, *,
                   but: Resource | None = None) -> list[dict[str, str]]:
    """The ``fixed_ips`` of a port: those asked for, else one free address of the network's first subnet.

    but: the port itself, whose present addresses are its own to keep.
    """
    subnets = [subnet.body for subnet in world.live("network.subnet") if subnet.body["network_id"] == network_id]
    taken = {fixed["ip_address"] for held in world.live("network.port")
             if held.body["network_id"] == network_id and held is not but for fixed in held.body["fixed_ips"]}
    if not asked:
        asked = [{"subnet_id": subnet["id"]} for subnet in subnets[:1]]
    chosen = []
    for wanted in asked:
        subnet = _subnet_for(wanted, subnets, network_id)
        address = wanted.get("ip_address") or _free(subnet, taken)
        if wanted.get("ip_address") in taken:
            raise refuse(409, "IpAddressAlreadyAllocated",
                         f"IP address {address} already allocated in subnet {subnet['id']}")
        taken.add(address)
        chosen.append({"subnet_id": subnet["id"], "ip_address": address})
    return chosen


def _subnet_for(asked: Asked, subnets: list[Asked], network_id: str) -> Asked:
    for subnet in subnets:
        if asked.get("subnet_id") == subnet["id"]:
            return subnet
        if not asked.get("subnet_id") and asked.get("ip_address") and (
                ipaddress.ip_address(asked["ip_address"]) in ipaddress.ip_network(subnet["cidr"])):
            return subnet
    raise refuse(400, "InvalidInput",
                 f"Invalid input for operation: no subnet of network {network_id} fits {dict(asked)}.")


def _free(subnet: Asked, taken: set[str]) -> str:
    for pool in subnet["allocation_pools"]:
        first, last = (ipaddress.ip_address(pool[end]) for end in ("start", "end"))
        for number in range(int(first), int(last) + 1):
            address = str(ipaddress.ip_address(number))
            if address not in taken and address != subnet["gateway_ip"]:
                return address
    raise refuse(409, "IpAddressGenerationFailure", f"No more IP addresses available on network "
                                                    f"{subnet['network_id']}.")
