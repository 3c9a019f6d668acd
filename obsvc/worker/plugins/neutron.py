"""Networks, subnets, ports, routers and floating IPs (Networking API v2.0).

The marker stands at the end of the description.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from obsvc.engine_client.jobs import Job
from obsvc.worker.plugins import base
from obsvc.worker.plugins.base import LIST, MAP, NUMBER, TEXT, TRUTH, Property


class _Neutron(base.RestPlugin):
    """What they have in common: properties become fields of the same name unless they say otherwise."""

    def body(self, job: Job, properties: Mapping[str, Any]) -> dict[str, Any]:
        fields = {self._field(name): value for name, value in properties.items() if value is not None}
        fields["name"] = base.name_of(job)
        fields["description"] = base.marker_description(job, properties.get("description"))
        return fields

    def changes(self, job: Job, properties: Mapping[str, Any]) -> dict[str, Any]:
        changes = super().changes(job, properties)
        if "description" in changes:
            changes["description"] = base.marker_description(job, changes["description"])
        return changes

    def marked(self, job: Job, found: Mapping[str, Any]) -> bool:
        return base.in_description(job, found.get("description"))

    def _field(self, name: str) -> str:
        return self.properties[name].field or name


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
        "admin_state_up": Property(TRUTH, in_place=True),
        "shared": Property(TRUTH, in_place=True),
        "port_security_enabled": Property(TRUTH, in_place=True),
        "mtu": Property(NUMBER, in_place=True),
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
        "ip_version": Property(NUMBER),
        "gateway_ip": Property(TEXT, in_place=True),
        "enable_dhcp": Property(TRUTH, in_place=True),
        "dns_nameservers": Property(LIST, in_place=True),
        "allocation_pools": Property(LIST, in_place=True),
        "host_routes": Property(LIST, in_place=True),
        "ipv6_address_mode": Property(TEXT),
        "ipv6_ra_mode": Property(TEXT),
        "subnetpool": Property(TEXT, field="subnetpool_id"),
        "prefixlen": Property(NUMBER),
    }

    def check(self, properties: Mapping[str, Any]) -> None:
        super().check(properties)
        _one_network(self.type, properties)

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
        "admin_state_up": Property(TRUTH, in_place=True),
        "allowed_address_pairs": Property(LIST, in_place=True),
        "device_id": Property(TEXT, in_place=True),
        "device_owner": Property(TEXT, in_place=True),
        "port_security_enabled": Property(TRUTH, in_place=True),
        "binding:vnic_type": Property(TEXT),
        "value_specs": Property(MAP),
    }

    def check(self, properties: Mapping[str, Any]) -> None:
        super().check(properties)
        _one_network(self.type, properties)

    def resolve(self, properties: Mapping[str, Any], clients: base.Clients, region: str) -> dict[str, Any]:
        found = _with_network_id(properties, clients, region)
        if found.get("fixed_ips"):
            found["fixed_ips"] = [_fixed_ip(self.type, one, clients, region) for one in found["fixed_ips"]]
        if found.get("security_groups"):
            found["security_groups"] = [clients.find_id(region, "security_group", str(one))
                                        for one in found["security_groups"]]
        return found

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
        "admin_state_up": Property(TRUTH, in_place=True),
        "external_gateway_info": Property(MAP, in_place=True),
        "distributed": Property(TRUTH),
        "ha": Property(TRUTH),
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
        found = dict(properties)
        if found.get("external_gateway_info"):
            gateway = dict(found["external_gateway_info"])
            gateway["network_id"] = clients.find_id(region, "network", str(gateway.pop("network")))
            if gateway.get("external_fixed_ips"):
                gateway["external_fixed_ips"] = [_fixed_ip(self.type, one, clients, region, "external_fixed_ips")
                                                 for one in gateway["external_fixed_ips"]]
            found["external_gateway_info"] = gateway
        return found

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


def _one_network(type_: str, properties: Mapping[str, Any]) -> None:
    if not (properties.get("network") or properties.get("network_id")):
        raise base.ActionFailed(f"{type_} needs the property 'network'")


def _with_network_id(properties: Mapping[str, Any], clients: base.Clients, region: str) -> dict[str, Any]:
    found = dict(properties)
    network = found.pop("network", None) or found.pop("network_id", None)
    return {**found, "network_id": clients.find_id(region, "network", str(network))}


def _fixed_ip(type_: str, one: Any, clients: base.Clients, region: str,
              name: str = "fixed_ips") -> dict[str, Any]:
    if not isinstance(one, Mapping) or not set(one) <= {"subnet", "subnet_id", "ip_address"}:
        raise base.ActionFailed(f"property {name!r} of {type_}: expected items of subnet and ip_address, "
                                f"got {one!r}")
    subnet = one.get("subnet") or one.get("subnet_id")
    fields = {"ip_address": one["ip_address"]} if one.get("ip_address") else {}
    return {"subnet_id": clients.find_id(region, "subnet", str(subnet)), **fields} if subnet else fields
