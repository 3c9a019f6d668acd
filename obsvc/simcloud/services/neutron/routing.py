"""Routers and floating IPs: what neutron's L3 plugin does in addition to keeping their bodies.

A router's gateway and its interfaces, and a floating IP's address, are ports that neutron makes and removes by itself,
without notifications.  It also sends none when the agent has set up a floating IP (``DOWN`` becomes ``ACTIVE``), or
when a floating IP loses its port because that was deleted.  This follows ``neutron/db/l3_db.py``.

Call with the world's lock held.  Raises Fault.
"""
from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from obsvc.simcloud.cloud import iso
from obsvc.simcloud.services.neutron.bodies import addresses_left, common_fields, existing, port_body, refuse
from obsvc.simcloud.world import Resource, World

Asked = Mapping[str, Any]

ROUTER, FLOATING_IP, PORT = "network.router", "network.floating_ip", "network.port"
#: ``device_owner`` of the ports that neutron makes by itself.
GATEWAY, INTERFACE, FLOATING = "network:router_gateway", "network:router_interface", "network:floatingip"


# ports of neutron's own


def own_port(world: World, device_id: str, owner: str, network_id: str, fixed_ips: Any = None,
             project_id: str = "") -> Resource:
    """A new port for a router or a floating IP.  project_id: gateways and floating addresses are nobody's."""
    asked = {"network_id": network_id, "device_id": device_id, "device_owner": owner, "fixed_ips": fixed_ips}
    common = common_fields(world, {}, project_id)
    return world.add(PORT, {**common, **port_body(world, asked, common)}, project_id=project_id)


def ports_of(world: World, device_id: str, *owners: str) -> list[Resource]:
    return [held for held in world.live(PORT)
            if held.body["device_id"] == device_id and held.body["device_owner"] in owners]


def _external(world: World, network_id: Any, what: str) -> str:
    network = existing(world, "network.network", network_id, "NetworkNotFound", "Network")
    if not network.body["router:external"]:
        raise refuse(400, "BadRequest", f"Bad {what} request: Network {network_id} is not a valid external network.")
    return network.id


# routers


def make_router(world: World, asked: Asked, common: Asked) -> dict[str, Any]:
    return {"admin_state_up": asked.get("admin_state_up", True), "status": "ACTIVE",
            "external_gateway_info": _gateway(world, common["id"], asked.get("external_gateway_info")),
            "availability_zone_hints": [], "availability_zones": [], "routes": list(asked.get("routes") or []),
            "distributed": bool(asked.get("distributed", False)), "ha": bool(asked.get("ha", False)),
            "flavor_id": None}


def change_router(world: World, router: Resource, asked: Asked) -> dict[str, Any]:
    if "external_gateway_info" not in asked:
        return dict(asked)
    wanted = asked["external_gateway_info"]
    old = router.body["external_gateway_info"] or {}
    served = [floating for floating in world.live(FLOATING_IP) if floating.body["router_id"] == router.id]
    if served and (wanted or {}).get("network_id") != old.get("network_id"):
        raise refuse(409, "RouterExternalGatewayInUseByFloatingIp",
                     f"Gateway cannot be updated for router {router.id}, since a gateway to external network "
                     f"{old.get('network_id')} is required by one or more floating IPs.")
    return {**asked, "external_gateway_info": _gateway(world, router.id, wanted)}


def _gateway(world: World, router_id: str, asked: Asked | None) -> dict[str, Any] | None:
    """Plug the router into an external network, or out of the present one; its ``external_gateway_info``."""
    held = ports_of(world, router_id, GATEWAY)
    if not asked:
        for gateway in held:
            world.remove(gateway)
        return None
    network_id = _external(world, asked.get("network_id"), "router")
    wanted = asked.get("external_fixed_ips")
    kept = bool(held) and held[0].body["network_id"] == network_id and not wanted
    plugged = held[0] if kept else own_port(world, router_id, GATEWAY, network_id, wanted)
    for gateway in held:
        if gateway is not plugged:
            world.remove(gateway)
    return {"network_id": network_id, "enable_snat": asked.get("enable_snat", True),
            "external_fixed_ips": plugged.body["fixed_ips"]}


def add_interface(world: World, router: Resource, asked: Asked) -> dict[str, Any]:
    """Plug the router into a subnet, by a port of neutron's own or the one that is given; the answer."""
    if asked.get("port_id"):
        interface = existing(world, PORT, asked["port_id"], "PortNotFound", "Port")
        if interface.body["device_id"]:
            raise refuse(409, "PortInUse", f"Unable to complete operation on port {interface.id} for network "
                                           f"{interface.body['network_id']}. Port already has an attached device "
                                           f"{interface.body['device_id']}.")
        world.change(interface, {"device_id": router.id, "device_owner": INTERFACE, "status": "ACTIVE"})
    elif asked.get("subnet_id"):
        subnet = existing(world, "network.subnet", asked["subnet_id"], "SubnetNotFound", "Subnet")
        if _interface_on(world, router.id, subnet.id) is not None:
            raise refuse(400, "BadRequest", f"Bad router request: Router already has a port on subnet {subnet.id}.")
        address = {"subnet_id": subnet.id, "ip_address": subnet.body["gateway_ip"]}
        interface = own_port(world, router.id, INTERFACE, subnet.body["network_id"], [address], router.project_id)
    else:
        raise refuse(400, "BadRequest", "Bad router request: Either subnet_id or port_id must be specified.")
    return _interface_info(router, interface)


def remove_interface(world: World, router: Resource, asked: Asked) -> dict[str, Any]:
    """Unplug the router from a subnet; the port goes.  The answer."""
    named = [port for port in ports_of(world, router.id, INTERFACE) if port.id == asked.get("port_id")]
    interface = named[0] if named else _interface_on(world, router.id, str(asked.get("subnet_id")))
    if interface is None:
        raise refuse(404, "RouterInterfaceNotFound", f"Router {router.id} does not have an interface with id "
                                                     f"{asked.get('port_id') or asked.get('subnet_id')}.")
    info = _interface_info(router, interface)
    for floating in world.live(FLOATING_IP):
        held = world.get(PORT, floating.body["port_id"] or "")
        if floating.body["router_id"] == router.id and held is not None and _on(held, info["subnet_id"]):
            raise refuse(409, "RouterInterfaceInUseByFloatingIP",
                         f"Router interface for subnet {info['subnet_id']} on router {router.id} cannot be deleted, "
                         "as it is required by one or more floating IPs.")
    world.remove(interface)
    return info


def _interface_info(router: Resource, interface: Resource) -> dict[str, Any]:
    subnets = [fixed_ip["subnet_id"] for fixed_ip in interface.body["fixed_ips"]]
    return {"id": router.id, "project_id": router.project_id, "tenant_id": router.project_id, "port_id": interface.id,
            "network_id": interface.body["network_id"], "subnet_id": subnets[0] if subnets else None,
            "subnet_ids": subnets}


def _on(interface: Resource, subnet_id: str | None) -> bool:
    return any(fixed_ip["subnet_id"] == subnet_id for fixed_ip in interface.body["fixed_ips"])


def _interface_on(world: World, router_id: str, subnet_id: str) -> Resource | None:
    return next((interface for interface in ports_of(world, router_id, INTERFACE) if _on(interface, subnet_id)), None)


# floating IPs


def make_floating_ip(world: World, asked: Asked, common: Asked) -> dict[str, Any]:
    network_id = _external(world, asked.get("floating_network_id"), "floatingip")
    bound = _association(world, network_id, asked, None)
    wanted = {key: asked[name] for key, name in (("ip_address", "floating_ip_address"), ("subnet_id", "subnet_id"))
              if asked.get(name)}
    if not addresses_left(world, network_id, [wanted] if wanted else None):
        raise refuse(400, "ExternalIpAddressExhausted",
                     f"Unable to find any IP address on external network {network_id}.")
    address = own_port(world, common["id"], FLOATING, network_id, [wanted] if wanted else None)
    world.change(address, {"status": "N/A"})
    return {"floating_network_id": network_id, "status": "DOWN", **bound,
            "floating_ip_address": address.body["fixed_ips"][0]["ip_address"],
            "dns_name": "", "dns_domain": "", "qos_policy_id": None, "port_details": None, "port_forwardings": []}


def change_floating_ip(world: World, floating: Resource, asked: Asked) -> dict[str, Any]:
    if "port_id" not in asked:
        return dict(asked)
    return {**asked, **_association(world, floating.body["floating_network_id"], asked, floating)}


def _association(world: World, network_id: str, asked: Asked, own: Resource | None) -> dict[str, Any]:
    """The fields that say which port a floating IP leads to."""
    if not asked.get("port_id"):
        return {"port_id": None, "fixed_ip_address": None, "router_id": None}
    port = existing(world, PORT, asked["port_id"], "PortNotFound", "Port")
    wanted = asked.get("fixed_ip_address")
    fixed = next((fixed_ip for fixed_ip in port.body["fixed_ips"] if wanted in (None, fixed_ip["ip_address"])
                  and ipaddress.ip_address(fixed_ip["ip_address"]).version == 4), None)
    if fixed is None:
        raise refuse(400, "BadRequest", f"Bad floatingip request: Cannot add floating IP to port {port.id} that has "
                                        f"no fixed IPv4 address{f' {wanted}' if wanted else 'es'}.")
    router = next((router for router in world.live(ROUTER)
                   if (router.body["external_gateway_info"] or {}).get("network_id") == network_id
                   and _interface_on(world, router.id, fixed["subnet_id"]) is not None), None)
    if router is None:
        raise refuse(404, "ExternalGatewayForFloatingIPNotFound",
                     f"External network {network_id} is not reachable from subnet {fixed['subnet_id']}.  Therefore, "
                     f"cannot associate Port {port.id} with a Floating IP.")
    for floating in world.live(FLOATING_IP):
        already = floating.body["port_id"], floating.body["fixed_ip_address"]
        if floating is not own and already == (port.id, fixed["ip_address"]):
            raise refuse(409, "FloatingIPPortAlreadyAssociated",
                         f"Cannot associate floating IP with port {port.id} using fixed IP {fixed['ip_address']}, as "
                         f"that fixed IP already has a floating IP on external network {network_id}.")
    return {"port_id": port.id, "fixed_ip_address": fixed["ip_address"], "router_id": router.id}


# what follows a change


def follow(world: World, resource: Resource) -> None:
    """The agent sets a floating IP up or takes it down, one build time later."""
    if resource.type != FLOATING_IP:
        return
    course = (resource, world.begin(resource))
    status = "ACTIVE" if resource.body["port_id"] else "DOWN"
    if status == resource.status:
        return
    if world.draw_failure(None):
        status = "ERROR"
    world.after(world.draw_build_time(FLOATING_IP),
                lambda: world.change(resource, {"status": status, "updated_at": iso(world.clock.time())}),
                course=course)


def check_unused(world: World, resource: Resource) -> None:
    """Raise Fault (409) for a router that has interfaces, and for a port of neutron's own."""
    if resource.type == ROUTER and ports_of(world, resource.id, INTERFACE):
        raise refuse(409, "RouterInUse", f"Router {resource.id} still has ports")
    if resource.type == PORT and resource.body["device_owner"] in (GATEWAY, INTERFACE, FLOATING):
        raise refuse(409, "ServicePortInUse", f"Port {resource.id} cannot be deleted directly via the port API: has "
                                              f"device owner {resource.body['device_owner']}.")


def removed(world: World, resource: Resource) -> None:
    """Remove the ports of a router or floating IP that is gone, and take a deleted port from its floating IPs."""
    if resource.type in (ROUTER, FLOATING_IP):
        for own in ports_of(world, resource.id, GATEWAY, INTERFACE, FLOATING):
            world.remove(own)
    if resource.type == PORT:
        for floating in world.live(FLOATING_IP):
            if floating.body["port_id"] == resource.id:
                world.change(floating, {"port_id": None, "fixed_ip_address": None, "router_id": None,
                                    "updated_at": iso(world.clock.time())})
                follow(world, floating)
