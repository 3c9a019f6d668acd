"""Plugins: what they send, what they refuse, what they adopt."""
from __future__ import annotations

import base64

import msgspec
import pytest

from obsvc.cloud.calls import CallFailed
from obsvc.engine_client.jobs import Action
from obsvc.model import Ref
from obsvc.worker.plugins import base, cinder, neutron, nova, sim
from tests.support.worker_cloud import MARKER, UUID, Cloud, job


def test_server_request():
    properties = {
        "flavor": "m1", "image": "cirros", "networks": [{"port": "p1"}, {"network": "net", "fixed_ip": "10.0.0.9"}],
        "metadata": {"a": 1}, "key_name": "k", "user_data": "#!/bin/sh", "availability_zone": "az1",
        "block_device_mapping": [{"device_name": "vda", "volume_id": "v1", "delete_on_termination": True}],
        "scheduler_hints": {"group": "g"},
    }
    cloud = Cloud({("POST", "/servers"): {"server": {"id": "srv"}}})
    created = nova.Server().handle_create(job(properties=properties), cloud, cloud.confirm)
    assert created == base.Created(Ref("RegionOne", "compute.server", "srv"), "req-1")
    assert cloud.asked == ["confirm", ("POST", "/servers", {
        "server": {
            "name": "shop-web-4c1d9e11", "flavorRef": "flavor-id-of-m1", "imageRef": "image-id-of-cirros",
            "networks": [{"port": "p1"}, {"uuid": "network-id-of-net", "fixed_ip": "10.0.0.9"}],
            "metadata": {"a": "1", "obsvc_marker": MARKER},
            "key_name": "k", "user_data": base64.b64encode(b"#!/bin/sh").decode(), "availability_zone": "az1",
            "block_device_mapping_v2": [{"uuid": "v1", "source_type": "volume", "destination_type": "volume",
                                         "delete_on_termination": True, "device_name": "vda", "boot_index": 0}],
        },
        "os:scheduler_hints": {"group": "g"},
    }, None)]


def test_network_subnet_and_port_requests():
    net = neutron.Net().body(job(), {"name": None, "mtu": 1400, "description": "mine"})
    assert net == {"name": "shop-web-4c1d9e11", "mtu": 1400, "description": f"mine {MARKER}"}
    cloud = Cloud()
    subnet = neutron.Subnet()
    asked = subnet.resolve({"network": "net", "cidr": "10.0.0.0/24", "gateway_ip": ""}, cloud, "R")
    assert subnet.body(job(), asked) == {
        "ip_version": 4, "network_id": "network-id-of-net", "cidr": "10.0.0.0/24", "gateway_ip": None,
        "name": "shop-web-4c1d9e11", "description": MARKER}
    port = neutron.Port()
    asked = port.resolve({"network_id": UUID, "fixed_ips": [{"subnet": "sub", "ip_address": "10.0.0.5"}],
                          "security_groups": ["default"], "value_specs": {"x": 1}}, cloud, "R")
    assert port.body(job(properties={"name": "p"}), asked) == {
        "x": 1, "network_id": UUID, "fixed_ips": [{"subnet_id": "subnet-id-of-sub", "ip_address": "10.0.0.5"}],
        "security_groups": ["security_group-id-of-default"], "name": "p", "description": MARKER}


def test_router_and_floating_ip_requests():
    cloud, router, floating = Cloud(), neutron.Router(), neutron.FloatingIP()
    asked = router.resolve({"external_gateway_info": {
        "network": "outside", "external_fixed_ips": [{"subnet": "sub", "ip_address": "203.0.113.9"}]}}, cloud, "R")
    gateway = {"network_id": "network-id-of-outside",
               "external_fixed_ips": [{"subnet_id": "subnet-id-of-sub", "ip_address": "203.0.113.9"}]}
    assert router.body(job(), asked) == {"external_gateway_info": gateway, "name": "shop-web-4c1d9e11",
                                         "description": MARKER}
    asked = floating.resolve({"floating_network": "outside", "floating_subnet": None, "port_id": "p"}, cloud, "R")
    assert floating.body(job(), asked) == {"floating_network_id": "network-id-of-outside", "port_id": "p",
                                           "description": MARKER}
    assert floating.filter(job()) == {}, "a floating IP has no name to look for"


def test_what_the_goal_no_longer_has_is_taken_away():
    assert neutron.Router().changes(job(), {"name": "r"}) == {"name": "r", "external_gateway_info": None}
    assert neutron.FloatingIP().changes(job(), {"floating_network": "n"}) == {"port_id": None}


def test_snapshot_request():
    assert cinder.Snapshot().body(job(), {"volume_id": "v", "force": True}) == {
        "volume_id": "v", "force": True, "name": "shop-web-4c1d9e11", "metadata": {"obsvc_marker": MARKER}}


def test_volume_request():
    volume = cinder.Volume()
    assert volume.body(job(), {"size": 1, "image": "i", "metadata": {"a": True}}) == {
        "size": 1, "imageRef": "i", "name": "shop-web-4c1d9e11",
        "metadata": {"a": "True", "obsvc_marker": MARKER}}


def test_sim_request():
    assert sim.Resource().body(job(), {"!fixed": 1}) == {
        "name": "shop-web-4c1d9e11", "properties": {"!fixed": 1},
        "metadata": {"obsvc_marker": MARKER}}


@pytest.mark.parametrize(("plugin", "properties", "names"), [
    (nova.Server(), {"flavor": "m1", "image": "i", "flavour": "m1"}, "'flavour'"),
    (nova.Server(), {"image": "i"}, "'flavor'"),
    (nova.Server(), {"flavor": "m1"}, "'image'"),
    (nova.Server(), {"flavor": "m1", "image": "i", "networks": [{"subnet": "s"}]}, "'networks'"),
    (nova.Server(), {"flavor": "m1", "image": "i", "metadata": "a"}, "'metadata'"),
    (neutron.Net(), {"mtu": "big"}, "'mtu'"),
    (neutron.Net(), {"mtu": True}, "'mtu'"),
    (neutron.Subnet(), {"cidr": "10.0.0.0/24"}, "'network'"),
    (neutron.Port(), {"network": "n", "fixed_ips": "x"}, "'fixed_ips'"),
    (neutron.Port(), {"network": "n", "fixed_ips": ["10.0.0.1"]}, "'fixed_ips'"),
    (neutron.Router(), {"external_gateway_info": {"network_id": "n"}}, "'external_gateway_info'"),
    (neutron.Router(), {"external_gateway_info": {"network": "n", "external_fixed_ips": [1]}}, "'external_fixed_ips'"),
    (neutron.FloatingIP(), {"port_id": "p"}, "'floating_network'"),
    (cinder.Snapshot(), {"name": "s"}, "'volume_id'"),
    (cinder.Volume(), {"name": "v"}, "'size'"),
    (cinder.Volume(), {"size": "1"}, "'size'"),
])
def test_a_wrong_property_is_named_final_and_nothing_is_sent(plugin, properties, names):
    cloud = Cloud()
    with pytest.raises(base.ActionFailed, match=names) as caught:
        plugin.handle_create(job(properties=properties), cloud, cloud.confirm)
    assert not caught.value.retriable and cloud.asked == []


def test_first_attempt_makes_no_listing_and_a_later_one_adopts_from_any_page():
    mine = {"id": "b", "metadata": {"obsvc_marker": MARKER}, "status": "BUILD"}
    other = {"id": "a", "metadata": {"obsvc_marker": "obsvc:another:1"}, "status": "ACTIVE"}
    dying = {**mine, "id": "0", "OS-EXT-STS:task_state": "deleting"}
    cloud = Cloud({
        ("GET", "/servers/detail"): {"servers": [other, dying], "servers_links": [{"rel": "next", "href": "/p2"}]},
        ("GET", "/p2"): {"servers": [mine]},
    })
    wanted = job(attempt=2, properties={"flavor": "m1", "image": "i"})
    created = nova.Server().handle_create(wanted, cloud, cloud.confirm)
    assert created == base.Created(Ref("RegionOne", "compute.server", "b"), adopted=True)
    assert cloud.asked == [("GET", "/servers/detail", None, {"name": "shop-web-4c1d9e11"}), ("GET", "/p2", None, None)]


def test_a_later_attempt_with_nothing_to_adopt_confirms_right_before_it_creates():
    cloud = Cloud({("GET", "/networks"): {"networks": [{"id": "x", "description": "obsvc:other:1"}]},
                   ("POST", "/networks"): {"network": {"id": "n"}}})
    assert neutron.Net().handle_create(job(attempt=3), cloud, cloud.confirm).ref.resource_id == "n"
    assert [each if isinstance(each, str) else each[0] for each in cloud.asked] == ["GET", "confirm", "POST"]


def test_a_listing_that_fails_half_way_proves_nothing():
    down = CallFailed("down", status=503, retriable=True)
    cloud = Cloud({("GET", "/volumes/detail"): {"volumes": [], "volumes_links": [{"rel": "next", "href": "/p2"}]},
                   ("GET", "/p2"): down})
    with pytest.raises(CallFailed):
        cinder.Volume().handle_create(job(attempt=2, properties={"size": 1}), cloud, cloud.confirm)
    assert "confirm" not in cloud.asked


def test_nothing_is_created_when_the_attempt_is_not_confirmed():
    cloud = Cloud()

    def refuse():
        raise base.LeaseLost("another's")

    with pytest.raises(base.LeaseLost):
        sim.Resource().handle_create(job(), cloud, refuse)
    assert cloud.asked == []


def test_delete():
    cloud = Cloud({("DELETE", "/ports/p"): {}, ("DELETE", "/ports/q"): CallFailed("no", status=404, retriable=False),
                   ("DELETE", "/ports/r"): CallFailed("in use", status=409, retriable=True),
                   ("GET", "/ports"): {"ports": []}})
    port = neutron.Port()
    delete = job(action=Action.DELETE, resource_id="p")
    assert port.handle_delete(delete, cloud) == base.Deleting(Ref("RegionOne", "network.port", "p"), "req-1")
    assert port.handle_delete(msgspec.structs.replace(delete, resource_id="q"), cloud) == base.Gone()
    with pytest.raises(CallFailed):
        port.handle_delete(msgspec.structs.replace(delete, resource_id="r"), cloud)
    assert port.handle_delete(msgspec.structs.replace(delete, resource_id=None), cloud) == base.Gone()


def test_update_sends_what_can_be_changed_in_place():
    cloud = Cloud({("PUT", "/servers/s"): {}, ("POST", "/servers/s/metadata"): {}})
    properties = {"flavor": "m1", "image": "i", "name": "new", "metadata": {"a": "b"}}
    update = job(action=Action.UPDATE, resource_id="s", properties=properties)
    nova.Server().handle_update(update, cloud)
    assert cloud.asked[0] == ("PUT", "/servers/s", {"server": {"name": "new"}}, None)
    assert cloud.asked[1][2]["metadata"]["a"] == "b" and "obsvc_marker" in cloud.asked[1][2]["metadata"]


def test_needs_replacement():
    assert nova.Server().needs_replacement({"image": "a", "name": "x"}, {"image": "b", "name": "y"}) == ("image",)
    assert sim.Resource().needs_replacement({"!a": 1, "b": 1}, {"!a": 2, "b": 2}) == ("!a",)
    assert sim.Resource().needs_replacement({"b": 1}, {"b": 2}) == ()


def test_a_delete_without_an_id_leaves_no_double_behind():
    listed = [{"id": each, "metadata": {"obsvc_marker": MARKER}, "created": each} for each in "ba"]
    cloud = Cloud({("GET", "/servers/detail"): {"servers": [*listed, {"id": "x", "metadata": {}}]},
                   ("DELETE", "/servers/a"): CallFailed("no", status=404, retriable=False),
                   ("DELETE", "/servers/b"): {}})
    deleted = nova.Server().handle_delete(job(action=Action.DELETE, attempt=1), cloud)
    assert deleted == base.Deleting(Ref("RegionOne", "compute.server", "b"), "req-1")
    assert [asked[:2] for asked in cloud.asked if asked[0] == "DELETE"] == [
        ("DELETE", "/servers/a"), ("DELETE", "/servers/b")]
