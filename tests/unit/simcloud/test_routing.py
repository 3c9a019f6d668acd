"""Routers and floating IPs, in virtual time."""
from __future__ import annotations

import pytest

from tests.support.simcloud_bench import Bench

NET = "/network/v2.0"


class Topology:
    """A network behind a router that leads outside, and a port on it."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.outside = bench.make(f"{NET}/networks", "network", name="outside", **{"router:external": True})["id"]
        bench.make(f"{NET}/subnets", "subnet", network_id=self.outside, cidr="203.0.113.0/28")
        self.inside = bench.make(f"{NET}/networks", "network", name="inside")["id"]
        self.subnet = bench.make(f"{NET}/subnets", "subnet", network_id=self.inside, cidr="10.0.0.0/24")["id"]
        self.port = bench.make(f"{NET}/ports", "port", network_id=self.inside)["id"]
        self.router = bench.make(f"{NET}/routers", "router", name="edge",
                                 external_gateway_info={"network_id": self.outside})["id"]

    def interface(self, verb: str, **asked: str):
        return self.bench.ask("PUT", f"{NET}/routers/{self.router}/{verb}_router_interface",
                              asked or {"subnet_id": self.subnet})

    def floating(self, **asked: str) -> dict:
        return self.bench.make(f"{NET}/floatingips", "floatingip", floating_network_id=self.outside, **asked)

    def shown(self, collection: str, key: str, resource_id: str) -> dict:
        return self.bench.get(f"{NET}/{collection}/{resource_id}")[key]


@pytest.fixture
def net() -> Topology:
    made = Topology(Bench())
    made.bench.flush()
    made.bench.sent.clear()
    return made


def refused(answer) -> tuple[int, str]:
    return answer.status_code, answer.json["NeutronError"]["type"]


def test_a_router_has_its_gateways_address_and_gives_it_back(net):
    gateway = net.shown("routers", "router", net.router)["external_gateway_info"]
    assert gateway["network_id"] == net.outside and gateway["enable_snat"] is True
    port, = net.bench.get(f"{NET}/ports?device_id={net.router}")["ports"]
    assert port["device_owner"] == "network:router_gateway" and port["fixed_ips"] == gateway["external_fixed_ips"]
    assert refused(net.bench.ask("DELETE", f"{NET}/ports/{port['id']}")) == (409, "ServicePortInUse")
    answer = net.bench.ask("PUT", f"{NET}/routers/{net.router}", {"router": {"external_gateway_info": None}})
    assert answer.json["router"]["external_gateway_info"] is None
    assert net.bench.get(f"{NET}/ports?device_id={net.router}")["ports"] == []
    net.bench.flush()
    assert [(inner["event_type"], inner["payload"]["router"].get("external_gateway_info"))
            for _, _, inner in net.bench.sent] == [("router.update.start", None), ("router.update.end", None)]


def test_a_gateway_has_to_be_an_external_network(net):
    asked = {"router": {"external_gateway_info": {"network_id": net.inside}}}
    assert refused(net.bench.ask("POST", f"{NET}/routers", asked)) == (400, "BadRequest")
    asked = {"floatingip": {"floating_network_id": net.inside}}
    assert refused(net.bench.ask("POST", f"{NET}/floatingips", asked)) == (400, "BadRequest")


def test_an_interface_is_told_in_one_notification_without_one_for_its_port(net):
    info = net.interface("add").json
    port = net.shown("ports", "port", info["port_id"])
    assert (port["device_owner"], port["fixed_ips"][0]["ip_address"]) == ("network:router_interface", "10.0.0.1")
    assert refused(net.interface("add")) == (400, "BadRequest")
    assert refused(net.bench.ask("DELETE", f"{NET}/routers/{net.router}")) == (409, "RouterInUse")
    assert refused(net.bench.ask("DELETE", f"{NET}/subnets/{net.subnet}")) == (409, "SubnetInUse")
    assert net.interface("remove").status_code == 200
    assert refused(net.interface("remove")) == (404, "RouterInterfaceNotFound")
    assert net.bench.ask("GET", f"{NET}/ports/{port['id']}").status_code == 404
    net.bench.flush()
    assert net.bench.events() == ["router.interface.create", "router.interface.delete"]
    assert all(inner["payload"] == {"router_interface": info} for _, _, inner in net.bench.sent)


def test_an_interface_takes_a_port_that_is_free(net):
    assert net.interface("add", port_id=net.port).json["port_id"] == net.port
    assert refused(net.interface("add", port_id=net.port)) == (409, "PortInUse")
    assert refused(net.interface("add", port_id="none")) == (404, "PortNotFound")
    assert net.bench.ask("PUT", f"{NET}/routers/{net.router}/paint_router_interface", {}).status_code == 400


def test_a_deleted_router_takes_its_gateway_port_along(net):
    assert net.bench.ask("DELETE", f"{NET}/routers/{net.router}").status_code == 204
    assert net.bench.get(f"{NET}/ports?device_id={net.router}")["ports"] == []
    net.bench.flush()
    assert net.bench.events() == ["router.delete.start", "router.delete.end"]
    assert net.bench.sent[-1][2]["payload"]["router"]["id"] == net.router


def test_a_floating_ip_becomes_active_without_a_word(net):
    net.interface("add")
    floating = net.floating()
    assert floating["status"] == "DOWN" and floating["port_id"] is None and "name" not in floating
    answer = net.bench.ask("PUT", f"{NET}/floatingips/{floating['id']}", {"floatingip": {"port_id": net.port}})
    bound = answer.json["floatingip"]
    assert (bound["router_id"], bound["fixed_ip_address"], bound["status"]) == (net.router, "10.0.0.2", "DOWN")
    net.bench.flush()
    said = len(net.bench.sent)
    assert net.bench.sent[-2][2]["payload"] == {"floatingip": {"port_id": net.port}, "id": floating["id"]}
    net.bench.advance(11)
    assert net.shown("floatingips", "floatingip", floating["id"])["status"] == "ACTIVE"
    assert len(net.bench.sent) == said
    net.bench.ask("PUT", f"{NET}/floatingips/{floating['id']}", {"floatingip": {"port_id": None}})
    net.bench.advance(11)
    shown = net.shown("floatingips", "floatingip", floating["id"])
    assert (shown["status"], shown["router_id"], shown["fixed_ip_address"]) == ("DOWN", None, None)


def test_a_floating_ip_needs_a_way_from_outside(net):
    asked = {"floatingip": {"floating_network_id": net.outside, "port_id": net.port}}
    answer = net.bench.ask("POST", f"{NET}/floatingips", asked)
    assert refused(answer) == (404, "ExternalGatewayForFloatingIPNotFound")
    net.interface("add")
    first = net.floating(port_id=net.port)
    assert first["router_id"] == net.router
    assert refused(net.bench.ask("POST", f"{NET}/floatingips", asked)) == (409, "FloatingIPPortAlreadyAssociated")
    assert refused(net.interface("remove")) == (409, "RouterInterfaceInUseByFloatingIP")
    unplug = {"router": {"external_gateway_info": None}}
    assert refused(net.bench.ask("PUT", f"{NET}/routers/{net.router}", unplug)) == (
        409, "RouterExternalGatewayInUseByFloatingIp")


def test_a_floating_ip_loses_a_port_that_is_deleted_without_a_word(net):
    net.interface("add")
    floating = net.floating(port_id=net.port)
    net.bench.advance(11)
    assert net.shown("floatingips", "floatingip", floating["id"])["status"] == "ACTIVE"
    net.bench.sent.clear()
    assert net.bench.ask("DELETE", f"{NET}/ports/{net.port}").status_code == 204
    net.bench.advance(11)
    shown = net.shown("floatingips", "floatingip", floating["id"])
    assert (shown["port_id"], shown["status"]) == (None, "DOWN")
    assert net.bench.events() == ["port.delete.start", "port.delete.end"]


def test_floating_addresses_are_used_once_and_given_back(net):
    wanted = net.floating(floating_ip_address="203.0.113.9")
    assert wanted["floating_ip_address"] == "203.0.113.9"
    asked = {"floatingip": {"floating_network_id": net.outside, "floating_ip_address": "203.0.113.9"}}
    assert refused(net.bench.ask("POST", f"{NET}/floatingips", asked)) == (409, "IpAddressAlreadyAllocated")
    assert refused(net.bench.ask("DELETE", f"{NET}/networks/{net.outside}")) == (409, "NetworkInUse")
    assert net.bench.ask("DELETE", f"{NET}/floatingips/{wanted['id']}").status_code == 204
    assert refused(net.bench.ask("GET", f"{NET}/floatingips/{wanted['id']}")) == (404, "FloatingIPNotFound")
    assert net.floating(floating_ip_address="203.0.113.9")["id"] != wanted["id"]


def test_a_port_may_keep_its_own_address(net):
    own = net.shown("ports", "port", net.port)["fixed_ips"]
    answer = net.bench.ask("PUT", f"{NET}/ports/{net.port}", {"port": {"fixed_ips": own}})
    assert (answer.status_code, answer.json["port"]["fixed_ips"]) == (200, own)
