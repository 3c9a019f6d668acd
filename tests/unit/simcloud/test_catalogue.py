"""What the simulated cloud emits and answers is what the catalogue describes: the seam between the two."""
from __future__ import annotations

import json

import pytest

from obsvc import catalog
from obsvc.catalog.snapshots import snapshot
from obsvc.listeners.decode import Decoder
from obsvc.messaging import wire
from obsvc.model import Condition
from tests.support.shared_data import SHARED, notification_files
from tests.support.simcloud_bench import Bench

CATALOG = catalog.load()

#: Resource type → path and key of one.
PATHS = {
    "compute.server": ("/compute/v2.1/servers/{}", "server"),
    "network.network": ("/network/v2.0/networks/{}", "network"),
    "network.subnet": ("/network/v2.0/subnets/{}", "subnet"),
    "network.port": ("/network/v2.0/ports/{}", "port"),
    "network.security_group": ("/network/v2.0/security-groups/{}", "security_group"),
    "network.router": ("/network/v2.0/routers/{}", "router"),
    "network.floating_ip": ("/network/v2.0/floatingips/{}", "floatingip"),
    "block_storage.volume": ("/volume/v3/volumes/{}", "volume"),
    "block_storage.snapshot": ("/volume/v3/snapshots/{}", "snapshot"),
    "image.image": ("/image/v2/images/{}", None),
    "identity.project": ("/identity/v3/projects/{}", "project"),
    "sim.resource": ("/sim/v1/resources/{}", "resource"),
}


def _one_of_each(bench: Bench) -> dict[str, str]:
    """Make one of every type; resource type → id."""
    network = bench.make("/network/v2.0/networks", "network", name="n")["id"]
    volume = bench.make("/volume/v3/volumes", "volume", size=1)["id"]
    made = {
        "network.network": network,
        "network.subnet": bench.make("/network/v2.0/subnets", "subnet", network_id=network, cidr="10.0.0.0/24")["id"],
        "network.port": bench.make("/network/v2.0/ports", "port", network_id=network)["id"],
        "network.security_group": bench.make("/network/v2.0/security-groups", "security_group", name="g")["id"],
        "block_storage.volume": volume,
        "identity.project": bench.make("/identity/v3/projects", "project", name="p")["id"],
        "sim.resource": bench.make("/sim/v1/resources", "resource", name="r")["id"],
        "image.image": bench.ask("POST", "/image/v2/images", {"name": "i"}).json["id"],
    }
    made["compute.server"] = bench.server(networks=[{"port": made["network.port"]}])
    outside = bench.make("/network/v2.0/networks", "network", name="outside", **{"router:external": True})["id"]
    bench.make("/network/v2.0/subnets", "subnet", network_id=outside, cidr="203.0.113.0/24")
    made["network.router"] = bench.make("/network/v2.0/routers", "router", name="r",
                                        external_gateway_info={"network_id": outside})["id"]
    made["network.floating_ip"] = bench.make("/network/v2.0/floatingips", "floatingip",
                                             floating_network_id=outside)["id"]
    # The volume that the snapshot is of has to be there.
    first = bench.cloud.world.get("block_storage.volume", bench.make("/volume/v3/volumes", "volume", size=1)["id"])
    bench.cloud.world.change(first, {"status": "available"})
    bench.cloud.world.begin(first)
    made["block_storage.snapshot"] = bench.make("/volume/v3/snapshots", "snapshot", volume_id=first.id, name="s")["id"]
    return made


def _snapshot(bench: Bench, resource_type: str, resource_id: str):
    path, key = PATHS[resource_type]
    answer = bench.ask("GET", path.format(resource_id))
    if answer.status_code == 404:
        return None
    return snapshot(CATALOG.types[resource_type], answer.json[key] if key else answer.json)


def test_the_catalogue_has_a_path_of_the_simulated_cloud_for_every_type():
    assert set(PATHS) <= set(CATALOG.types)


def test_every_notification_is_decoded_to_its_resource_and_says_the_truth():
    bench = Bench()
    decoder = Decoder(CATALOG)
    announced = []
    checked: dict[str, set[str]] = {}

    def check(exchange: str, routing_key: str, body: bytes) -> None:
        notification = decoder.decode(body, exchange=exchange, routing_key=routing_key)
        entry = bench.cloud.notifier.log(len(seen), 1)
        seen.append(notification)
        resource_id, = [each.resource_id for each in entry]
        if notification.phase == "start" and resource_id not in notification.resource_ids:
            assert notification.resource_ids == ()  # neutron's create.start has no id yet
            return
        assert notification.resource_ids == (resource_id,), notification
        resource = bench.cloud.world.find(resource_id)
        assert notification.resource_type == resource.type
        checked.setdefault(resource.type, set()).add(notification.event_type)
        if notification.state is not None:
            announced.append(notification.event_type)
            # The task state of a server that announces itself may be saved already, its status must be true.
            assert notification.state.casefold() == resource.status.casefold(), notification

    seen: list = []
    bench._send = check
    made = _one_of_each(bench)
    bench.advance(11)
    for action in ("os-stop", "os-start", "pause", "unpause", "suspend", "resume"):
        bench.ask("POST", f"/compute/v2.1/servers/{made['compute.server']}/action", {action: None})
        bench.advance(13)
    bench.ask("DELETE", f"/compute/v2.1/servers/{made['compute.server']}")
    bench.advance(6)
    router = PATHS["network.router"][0].format(made["network.router"])
    for verb in ("add", "remove"):
        assert bench.ask("PUT", f"{router}/{verb}_router_interface",
                         {"subnet_id": made["network.subnet"]}).status_code == 200
    for resource_type in ("network.floating_ip", "network.router", "block_storage.snapshot", "sim.resource",
                          "block_storage.volume", "image.image", "network.port", "network.subnet",
                          "network.security_group", "network.network", "identity.project"):
        bench.ask("DELETE", PATHS[resource_type][0].format(made[resource_type]))
        bench.advance(6)
        assert _snapshot(bench, resource_type, made[resource_type]) is None
    assert set(checked) == set(PATHS)
    assert {"compute.instance.create.end", "instance.create.end", "volume.create.end", "sim.resource.create.end",
            "sim.resource.delete.end", "compute.instance.power_off.end", "snapshot.create.end",
            "router.create.end", "floatingip.create.end"} <= set(announced)
    assert {"router.interface.create", "router.interface.delete"} <= checked["network.router"]


@pytest.mark.parametrize("resource_type", sorted(PATHS))
def test_answers_become_snapshots_of_a_known_condition(resource_type):
    bench = Bench()
    resource_id = _one_of_each(bench)[resource_type]
    conditions = []
    for _ in range(22):
        conditions.append(_snapshot(bench, resource_type, resource_id))
        bench.advance(0.5)
    assert Condition.UNKNOWN not in {each.condition for each in conditions}
    assert conditions[-1].condition is Condition.ACTIVE and conditions[-1].settled
    building = resource_type in ("compute.server", "block_storage.volume", "block_storage.snapshot", "image.image",
                                 "sim.resource")
    assert (conditions[0].condition is Condition.PENDING) == building
    assert conditions[-1].project_id


def test_no_message_shows_a_secret_after_unpacking():
    """Only the scheduler's unversioned payload carries a token, as nova's does, and it is a made-up one."""
    bench = Bench()
    bench.server()
    bench.advance(11)
    with_token = {inner["event_type"] for _, _, inner in bench.sent if b"gAAAA" in wire.pack(inner)}
    assert with_token == {"scheduler.select_destinations.start", "scheduler.select_destinations.end"}
    assert all(b"gAAAA" not in wire.pack(inner) or b"gAAAA-simulated-secret" in wire.pack(inner)
               for _, _, inner in bench.sent)


def _shape(payload: dict) -> dict[str, set[str]]:
    """The keys of a payload, and of the objects in it."""
    return {"": set(payload), **{key: set(value) for key, value in payload.items() if isinstance(value, dict)}}


def _recent_samples() -> list[dict]:
    """Messages of recent releases' own code about routers, floating IPs and snapshots; without the starts of create
    and update, which hold what the caller asked for."""
    files = [file for file in notification_files("neutron", "cinder")
             if file.name.startswith(("router.", "floatingip.", "snapshot."))]
    samples = [json.loads(file.read_text()) for file in files]
    return [each["message"] for each in samples if each["source"]["kind"] == "emitted"
            and each["message"]["event_type"].rpartition(".")[0] not in (
                "router.create", "router.update", "floatingip.create", "floatingip.update")]


if SHARED is not None:
    @pytest.mark.parametrize("message", _recent_samples(), ids=lambda message: message["event_type"])
    def test_what_is_emitted_has_every_key_of_a_recent_services_message(message):
        bench = Bench()
        made = _one_of_each(bench)
        bench.ask("PUT", f"/network/v2.0/routers/{made['network.router']}/add_router_interface",
                  {"subnet_id": made["network.subnet"]})
        bench.ask("PUT", f"/network/v2.0/routers/{made['network.router']}/remove_router_interface",
                  {"subnet_id": made["network.subnet"]})
        bench.advance(11)
        for resource_type in ("network.floating_ip", "network.router", "block_storage.snapshot"):
            bench.ask("DELETE", PATHS[resource_type][0].format(made[resource_type]))
            bench.advance(6)
        ours = next(inner for _, _, inner in bench.sent if inner["event_type"] == message["event_type"])
        theirs, mine = _shape(message["payload"]), _shape(ours["payload"])
        assert {key: names - mine.get(key, set()) for key, names in theirs.items()} == {key: set() for key in theirs}
