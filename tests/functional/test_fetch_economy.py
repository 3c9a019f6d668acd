"""How few fetches many notifications cost, on a whole deployment of three observers.

The simulated cloud tells of a server's creation as nova 34 does, 22 notifications in both families.
"""
from __future__ import annotations

import json
import os
import pathlib
from datetime import UTC, datetime

import pytest

from obsvc.messaging import wire
from obsvc.model import Cause
from tests.support.processes.deployment import Deployment, SimulatedCloud, http_json
from tests.support.processes.listening import instance_update
from tests.support.processes.servers import wait_until
from tests.support.processes.watching import Watching

#: Notifications of one burst, and the seconds that it takes.
BURST, BURST_SECONDS = 50, 0.9


@pytest.fixture
def watch(tmp_path, shared_rabbitmq, shared_etcd, postgresql_url, request):
    """``watch(build time)``: three observers on a bus of their own."""

    def make(build_time: str) -> Watching:
        bus = shared_rabbitmq.create_vhost(f"economy{os.getpid()}-{tmp_path.name}")
        cloud = SimulatedCloud(tmp_path, bus, "--build-time", build_time).start()
        request.addfinalizer(cloud.process.kill)
        deployment = Deployment(
            tmp_path, database=postgresql_url, coordination=shared_etcd.tooz_url, bus=bus, cloud=cloud, observers=3,
            workers=0, options={
                "coordination": {"group": tmp_path.name}, "observer": {"poll_initial": 15, "poll_max": 300},
            },
        )
        deployment.__enter__()
        request.addfinalizer(deployment.__exit__)
        return Watching(deployment, cloud)

    return make


def settled(watching: Watching, bound: float = 120) -> None:
    """Wait until all that was emitted is published, taken in and looked at, and no settle look is to come."""
    deployment, cloud = watching.deployment, watching.cloud
    last = [(-1, -1.0)]

    def calm() -> bool:
        now, before = (watching.looks(), cloud.get("stats")["time"]), last[0]
        if now[0] != before[0]:
            last[0] = now
        quiet = now[0] == last[0][0] and now[1] - last[0][1] > 3.0  # longer than any settle look waits
        return (quiet and cloud.get("stats")["notifications"]["waiting"] == 0
                and deployment.gauge("observer", "obsvc_unsettled_deliveries") == 0)

    wait_until(calm, bound=bound, what="nothing more to look at", interval=0.3)


def burst(watching: Watching, folder: pathlib.Path, server_id: str, *, seconds: float, state: str) -> None:
    """BURST notifications of one server, spread over ``seconds`` by the simulated cloud: a recorded life, replayed."""
    record = folder / "burst.jsonl"
    record.write_text("".join(json.dumps({
        "received_at": datetime.fromtimestamp(seconds * number / BURST, UTC).isoformat(), "exchange": "nova",
        "routing_key": "notifications.info", "body": wire.pack(instance_update(server_id, state)).decode(),
    }) + "\n" for number in range(BURST)))
    cloud = watching.cloud
    begun = http_json(f"{cloud.url}/sim/v1/replay", method="POST", body={"notifications_path": str(record)})
    wait_until(lambda: cloud.get(f"replay/{begun['id']}")["finished"], bound=30, what="the burst is out")


@pytest.mark.parametrize(
    ("servers", "build_time", "bound"),
    [(100, "uniform:3,8", 120), pytest.param(5000, "uniform:30,90", 600, marks=pytest.mark.long)],
)
@pytest.mark.timeout(1500)
def test_creations_told_in_both_families_cost_few_fetches_by_their_owners_alone(
    watch, tmp_path, servers, build_time, bound
):
    watching = watch(build_time)
    deployment = watching.deployment
    for start in range(0, servers, 100):
        watching.observe("compute.server", watching.create_servers(min(100, servers - start)))
    watching.wait_built(bound)
    watching.wait_nothing_missing(bound, f"{servers} creations")
    settled(watching, bound)
    emitted = watching.cloud.get("stats")["notifications"]["emitted"]
    looks = watching.looks()
    print(f"{servers} servers, {emitted} notifications, each to 3 observers: {looks / servers:.2f} fetches per "
          f"resource, {emitted / looks:.1f} notifications per fetch, {len(watching.by_non_owners())} by a non-owner; "
          f"by cause {_by_cause(deployment)}")
    assert emitted == 22 * servers
    assert watching.by_non_owners() == []
    assert looks < emitted  # how few depends on how long a busy machine spreads them over; the figure is printed

    for number, (seconds, told) in enumerate(((BURST_SECONDS, "active"), (0.0, "active"), (BURST_SECONDS, "building"))):
        server_id = watching.refs[number][1]
        settled(watching)
        before = watching.looks([server_id])
        watching.change([server_id], notify=False)
        burst(watching, tmp_path, server_id, seconds=seconds, state=told)
        watching.wait_nothing_missing(30, "a burst")
        settled(watching)
        cost = watching.looks([server_id]) - before
        print(f"a burst of {BURST} ({told}) within {seconds} s: {cost} fetches")
        assert 1 <= cost <= 2


def _by_cause(deployment: Deployment) -> dict[str, int]:
    return {cause.value: count for cause in Cause
            if (count := deployment.count("observer", "obsvc_looks_total", cause=cause.value))}
