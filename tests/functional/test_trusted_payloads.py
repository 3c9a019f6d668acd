"""``[catalog] trust_payload`` on a whole deployment: no fetch for what a notification tells whole, sweeps behind it."""
from __future__ import annotations

import itertools
import json
import os
from datetime import UTC, datetime

import pytest

from obsvc.messaging import wire
from tests.support.processes.deployment import Deployment, SimulatedCloud, http_json
from tests.support.processes.servers import wait_until
from tests.support.processes.watching import Watching

COUNT, CHANGES = 20, 5

_numbers = itertools.count(1)


@pytest.fixture
def watch(tmp_path, shared_rabbitmq, shared_etcd, postgresql_url, request):
    def make(observers: int = 2, **sweep: object) -> Watching:
        bus = shared_rabbitmq.create_vhost(f"trust{os.getpid()}-{next(_numbers)}")
        cloud = SimulatedCloud(tmp_path, bus).start()
        request.addfinalizer(cloud.process.kill)
        deployment = Deployment(
            tmp_path / "obsvc", database=postgresql_url, coordination=shared_etcd.tooz_url, bus=bus, cloud=cloud,
            observers=observers, workers=0, options={
                "coordination": {"group": tmp_path.name}, "catalog": {"trust_payload": "network.network"},
                "observer": {"poll_initial": 600, "poll_max": 600}, "sweep": {"enabled": False, **sweep},
            },
        )
        deployment.__enter__()
        request.addfinalizer(deployment.__exit__)
        return Watching(deployment, cloud)

    return make


def rename(watching: Watching, resource_id: str, name: str) -> None:
    watching.service("network").put(f"/v2.0/networks/{resource_id}", json={"network": {"name": name}})


def looked_at(watching: Watching) -> None:
    """Wait until the looks at what was just observed are over, the settle looks with them."""
    watching.wait_nothing_missing(60, "the observations began")
    last = [(-1, 0.0)]

    def calm() -> bool:
        looks, now = watching.looks(), watching.cloud.get("stats")["time"]
        if looks != last[0][0]:
            last[0] = (looks, now)
        return now - last[0][1] > 3.0  # longer than any settle look waits

    wait_until(calm, bound=60, interval=0.3, what="no look to come")


def payloads(watching: Watching, outcome: str) -> float:
    return watching.deployment.count("observer", "obsvc_payloads_total", outcome=outcome)


def replay(watching: Watching, folder, event_type: str, body: dict) -> None:
    """One notification of neutron, as it may come late or again."""
    message = {"message_id": str(next(_numbers)), "publisher_id": "network.api-1", "event_type": event_type,
               "priority": "INFO", "timestamp": str(datetime.now(UTC).replace(tzinfo=None)),
               "payload": {"network": body}}
    record = folder / f"replay-{next(_numbers)}.jsonl"
    record.write_text(json.dumps({
        "received_at": datetime.fromtimestamp(0, UTC).isoformat(), "exchange": "neutron",
        "routing_key": "notifications.info", "body": wire.pack(message).decode()}) + "\n")
    cloud = watching.cloud
    begun = http_json(f"{cloud.url}/sim/v1/replay", method="POST", body={"notifications_path": str(record)})
    wait_until(lambda: cloud.get(f"replay/{begun['id']}")["finished"], bound=30, what="the notification is out")


def test_changes_of_a_trusted_type_cost_no_fetch_and_a_stale_one_changes_nothing(watch, tmp_path):
    watching = watch()
    ids = watching.create_networks(COUNT)
    watching.observe("network.network", ids)
    looked_at(watching)
    first = watching.looks()
    network = watching.service("network")
    before = network.get(f"/v2.0/networks/{ids[0]}").json()["network"]
    for number in range(CHANGES):
        for each in ids:
            rename(watching, each, f"{each}-{number}")
    watching.wait_nothing_missing(60, "the changes")
    assert watching.looks() == first, "a change that its notification told was looked at"
    assert payloads(watching, "taken") == COUNT * CHANGES

    replay(watching, tmp_path, "network.create.end", before)
    wait_until(lambda: payloads(watching, "stale") == 1, bound=30, what="the late notification is judged")
    after = network.get(f"/v2.0/networks/{ids[0]}").json()["network"]
    replay(watching, tmp_path, "network.update.end", after)
    wait_until(lambda: payloads(watching, "known") == 1, bound=30, what="the doubled notification is judged")
    watching.wait_nothing_missing(30, "a late and a doubled notification")
    assert watching.looks() == first

    replay(watching, tmp_path, "network.update.end", {name: value for name, value in after.items() if name != "mtu"})
    wait_until(lambda: payloads(watching, "incomplete") == 1, bound=30, what="what is not whole is judged")
    wait_until(lambda: watching.looks([ids[0]]) > 0 and watching.looks() > first, bound=30, what="its look")
    rename(watching, ids[1], "last")
    network.delete(f"/v2.0/networks/{ids[2]}")
    watching.wait_nothing_missing(30, "a change and a deletion")
    assert watching.looks([ids[2]]) >= 2, "a deletion is confirmed by GET"


def test_what_no_notification_told_the_sweep_finds(watch):
    watching = watch(enabled=True, fast_interval=1, slow_interval=2, full_every=3, grace=5)
    ids = watching.create_networks(COUNT)
    watching.observe("network.network", ids)
    looked_at(watching)
    watching.change(ids[:5], notify=False)
    watching.wait_nothing_missing(60, "changes that nobody was told of")
    found = watching.looks()
    for each in ids:
        rename(watching, each, f"{each}-told")
    watching.wait_nothing_missing(60, "changes after them")
    print(f"{COUNT} changes told while sweeps run: {watching.looks() - found} looks")
