"""Networks, subnets, ports, routers and floating IPs (Networking API v2.0).

The marker stands at the end of the description.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from obsvc.engine_client.jobs import Job
from obsvc.worker.plugins import base
from obsvc.worker.plugins.base import BOOLEAN, INTEGER, LIST, MAP, TEXT, Property


class _Neutron(base.RestPlugin):
    """What they have in common: properties become fields of the same name unless they say otherwise."""

    def body(self, job: Job, properties: Mapping[str, Any]) -> dict[str, Any]:
        fields = {self.field(name): value for name, value in properties.items() if value is not None}
        fields["name"] = base.name_of(job)
        fields["description"] = base.marker_description(job, properties.get("description"))
        return fields

    def changes(self, job: Job, properties: Mapping[str, Any]) -> dict[str, Any]:
        changes = super().changes(job, properties)
        if "description" in changes:
            changes["description"] = base.marker_description(job, changes["description"])
        return changes

    def marked(self, job: Job, listed: Mapping[str, Any]) -> bool:
        return base.in_description(job, listed.get("description"))


_COMMON = {
    "name": Property(TEXT, in_place=True),
    "description": Property(TEXT, in_place=True),
}


class Net(_Neutron):
    type = "OS::Neutron::Net"
    resource_type = "network.network"
    api = base.Api("network", "/networks", "network", "networks")
    properties = {
        **_COMMON,
        "admin_state_up": Property(BOOLEAN, in_place=True),
        "shared": Property(BOOLEAN, in_place=True),
        "port_security_enabled": Property(BOOLEAN, in_place=True),
        "mtu": Property(INTEGER, in_place=True),
        "availability_zone_hints": Property(LIST),
        "dns_domain": Property(TEXT, in_place=True),
    }


class Subnet(_Neutron):
    type = "OS::Neutron::Subnet"
    resource_type = "network.subnet"
    api = base.Api("network", "/subnets", "subnet", "subnets")
    properties = {
        **_COMMON,
        "network": Property(TEXT, field="network_id"),
        "network_id": Property(TEXT),
        "cidr": Property(TEXT),
        "ip_version": Property(INTEGER),
        "gateway_ip": Property(TEXT, in_place=True),
        "enable_dhcp": Property(BOOLEAN, in_place=True),
        "dns_nameservers": Property(LIST, in_place=True),
        "allocation_pools": Property(LIST, in_place=True),
        "host_routes": Property(LIST, in_place=True),
        "ipv6_address_mode": Property(TEXT),
        "ipv6_ra_mode": Property(TEXT),
        "subnetpool": Property(TEXT, field="subnetpool_id"),
        "prefixlen": Property(INTEGER),
    }

    def check(self, properties: Mapping[str, Any]) -> None:
        super().check(properties)
        _check_network(self.type, properties)

    def resolve(self, properties: Mapping[str, Any], clients: base.Clients, region: str) -> dict[str, Any]:
        return _with_network_id(properties, clients, region)

    def body(self, job: Job, properties: Mapping[str, Any]) -> dict[str, Any]:
        fields = {"ip_version": 4, **super().body(job, properties)}
        if fields.get("gateway_ip") == "":
            fields["gateway_ip"] = None  # HOT's way to ask for no gateway
        return fields


class Port(_Neutron):
    type = "OS::Neutron::Port"
    resource_type = "network.port"
    api = base.Api("network", "/ports", "port", "ports")
    properties = {
        **_COMMON,
        "network": Property(TEXT, field="network_id"),
        "network_id": Property(TEXT),
        "fixed_ips": Property(LIST, in_place=True),
        "security_groups": Property(LIST, in_place=True),
        "mac_address": Property(TEXT),
        "admin_state_up": Property(BOOLEAN, in_place=True),
        "allowed_address_pairs": Property(LIST, in_place=True),
        "device_id": Property(TEXT, in_place=True),
        "device_owner": Property(TEXT, in_place=True),
        "port_security_enabled": Property(BOOLEAN, in_place=True),
        "binding:vnic_type": Property(TEXT),
        "value_specs": Property(MAP),
    }

    def check(self, properties: Mapping[str, Any]) -> None:
        super().check(properties)
        _check_network(self.type, properties)

    def resolve(self, properties: Mapping[str, Any], clients: base.Clients, region: str) -> dict[str, Any]:
        resolved = _with_network_id(properties, clients, region)
        if resolved.get("fixed_ips"):
            resolved["fixed_ips"] = [_fixed_ip(self.type, item, clients, region) for item in resolved["fixed_ips"]]
        if resolved.get("security_groups"):
            resolved["security_groups"] = [clients.find_id(region, "security_group", str(group))
                                           for group in resolved["security_groups"]]
        return resolved

    def body(self, job: Job, properties: Mapping[str, Any]) -> dict[str, Any]:
        fields = super().body(job, properties)
        return {**(fields.pop("value_specs", None) or {}), **fields}


class Router(_Neutron):
    """Interfaces are not the router's own: plug them by other means."""

    type = "OS::Neutron::Router"
    resource_type = "network.router"
    api = base.Api("network", "/routers", "router", "routers")
    properties = {
        **_COMMON,
        "admin_state_up": Property(BOOLEAN, in_place=True),
        "external_gateway_info": Property(MAP, in_place=True),
        "distributed": Property(BOOLEAN),
        "ha": Property(BOOLEAN),
        "availability_zone_hints": Property(LIST),
    }

    def check(self, properties: Mapping[str, Any]) -> None:
        super().check(properties)
        gateway = properties.get("external_gateway_info")
        known = {"network", "enable_snat", "external_fixed_ips"}
        if gateway and (not set(gateway) <= known or not gateway.get("network")):
            raise base.ActionFailed(f"property 'external_gateway_info' of {self.type}: expected network (and "
                                    f"enable_snat, external_fixed_ips), got {gateway!r}")

    def resolve(self, properties: Mapping[str, Any], clients: base.Clients, region: str) -> dict[str, Any]:
        resolved = dict(properties)
        if resolved.get("external_gateway_info"):
            gateway = dict(resolved["external_gateway_info"])
            gateway["network_id"] = clients.find_id(region, "network", str(gateway.pop("network")))
            if gateway.get("external_fixed_ips"):
                gateway["external_fixed_ips"] = [_fixed_ip(self.type, item, clients, region, "external_fixed_ips")
                                                 for item in gateway["external_fixed_ips"]]
            resolved["external_gateway_info"] = gateway
        return resolved

    def changes(self, job: Job, properties: Mapping[str, Any]) -> dict[str, Any]:
        # A goal that no longer has a gateway takes it away.
        return {**super().changes(job, properties),
                "external_gateway_info": properties.get("external_gateway_info") or None}


class FloatingIP(_Neutron):
    type = "OS::Neutron::FloatingIP"
    resource_type = "network.floating_ip"
    api = base.Api("network", "/floatingips", "floatingip", "floatingips")
    properties = {
        "description": Property(TEXT, in_place=True),
        "floating_network": Property(TEXT, required=True, field="floating_network_id"),
        "floating_subnet": Property(TEXT, field="subnet_id"),
        "floating_ip_address": Property(TEXT),
        "port_id": Property(TEXT, in_place=True),
        "fixed_ip_address": Property(TEXT, in_place=True),
    }

    def resolve(self, properties: Mapping[str, Any], clients: base.Clients, region: str) -> dict[str, Any]:
        kinds = {"floating_network": "network", "floating_subnet": "subnet"}
        return {name: clients.find_id(region, kinds[name], value) if name in kinds and value else value
                for name, value in properties.items()}

    def body(self, job: Job, properties: Mapping[str, Any]) -> dict[str, Any]:
        fields = super().body(job, properties)
        del fields["name"]  # floating IPs have none
        return fields

    def changes(self, job: Job, properties: Mapping[str, Any]) -> dict[str, Any]:
        # A goal that no longer has a port sets the address free.
        return {**super().changes(job, properties), "port_id": properties.get("port_id")}

    def filter(self, job: Job) -> dict[str, Any]:
        return {}


def _check_network(type_: str, properties: Mapping[str, Any]) -> None:
    if not (properties.get("network") or properties.get("network_id")):
        raise base.ActionFailed(f"{type_} needs the property 'network'")


def _with_network_id(properties: Mapping[str, Any], clients: base.Clients, region: str) -> dict[str, Any]:
    resolved = dict(properties)
    network = resolved.pop("network", None) or resolved.pop("network_id", None)
    return {**resolved, "network_id": clients.find_id(region, "network", str(network))}


def _fixed_ip(type_: str, item: Any, clients: base.Clients, region: str,
              name: str = "fixed_ips") -> dict[str, Any]:
    if not isinstance(item, Mapping) or not set(item) <= {"subnet", "subnet_id", "ip_address"}:
        raise base.ActionFailed(f"property {name!r} of {type_}: expected items of subnet and ip_address, "
                                f"got {item!r}")
    subnet = item.get("subnet") or item.get("subnet_id")
    fields = {"ip_address": item["ip_address"]} if item.get("ip_address") else {}
    return {"subnet_id": clients.find_id(region, "subnet", str(subnet)), **fields} if subnet else fields
