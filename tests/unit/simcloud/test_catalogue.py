"""What the simulated cloud emits and answers is what the catalogue describes: the seam between the two."""
from __future__ import annotations

import pytest

from obsvc import catalog
from obsvc.catalog.snapshots import snapshot
from obsvc.listeners.decode import Decoder
from obsvc.messaging import wire
from obsvc.model import Condition
from tests.unit.simcloud.bench import Bench

CATALOG = catalog.load()

#: Resource type → path and key of one.
PATHS = {
    "compute.server": ("/compute/v2.1/servers/{}", "server"),
    "network.network": ("/network/v2.0/networks/{}", "network"),
    "network.subnet": ("/network/v2.0/subnets/{}", "subnet"),
    "network.port": ("/network/v2.0/ports/{}", "port"),
    "network.security_group": ("/network/v2.0/security-groups/{}", "security_group"),
    "block_storage.volume": ("/volume/v3/volumes/{}", "volume"),
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
    for resource_type in ("sim.resource", "block_storage.volume", "image.image", "network.port", "network.subnet",
                          "network.security_group", "network.network", "identity.project"):
        bench.ask("DELETE", PATHS[resource_type][0].format(made[resource_type]))
        bench.advance(6)
        assert _snapshot(bench, resource_type, made[resource_type]) is None
    assert set(checked) == set(PATHS)
    assert {"compute.instance.create.end", "instance.create.end", "volume.create.end", "sim.resource.create.end",
            "sim.resource.delete.end", "compute.instance.power_off.end"} <= set(announced)


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
    building = resource_type in ("compute.server", "block_storage.volume", "image.image", "sim.resource")
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
