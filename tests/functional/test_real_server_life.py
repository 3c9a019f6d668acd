"""A real nova server's whole life, replayed: its 154 notifications through RabbitMQ, the API as it answered then.

Recorded from nova 34 (tests/data).  At its own pace every settled state is found in the engine's deltas, although
the API was behind its notifications and some states lasted under a second; at ten times the pace the end is right.
"""
from __future__ import annotations

import gzip
import itertools
import pathlib

import pytest

from tests.support.processes.deployment import Deployment, SimulatedCloud, http_json
from tests.support.processes.servers import wait_until
from tests.support.shared_data import RECORDED_SERVER

DATA = pathlib.Path(__file__).parents[1] / "data"
NOTIFICATIONS = 154

#: The settled states of that life by the API's words, as the recorded timeline has them.
LIFE = ["ACTIVE", "SHUTOFF", "ACTIVE", "PAUSED", "ACTIVE", "SUSPENDED", "ACTIVE", "VERIFY_RESIZE", "ACTIVE", "deleted"]

#: What the API shows on the way between two of them.
PASSING = {"BUILD", "REBOOT", "HARD_REBOOT", "RESIZE", None}


def _recording(folder: pathlib.Path) -> dict[str, str]:
    paths = {}
    for option, name in (("notifications_path", "nova-server-life.jsonl"),
                         ("bodies_path", "nova-server-life.bodies.jsonl"),
                         ("timeline_path", "nova-server-life.timeline.jsonl")):
        (folder / name).write_bytes(gzip.decompress((DATA / f"{name}.gz").read_bytes()))
        paths[option] = str(folder / name)
    return paths


def _states(deployment: Deployment) -> list[str]:
    deltas = deployment.api(f"/v1/changes?resource_id={RECORDED_SERVER}&limit=1000")["changes"]
    words = ["deleted" if delta["condition"] == "deleted" else delta.get("status") for delta in deltas]
    return [word for word, _ in itertools.groupby(word for word in words if word not in PASSING)]


@pytest.mark.parametrize("speed", [1, 10])
def test_every_settled_state_is_found(speed, tmp_path, shared_rabbitmq, shared_etcd, postgresql_url):
    bus = shared_rabbitmq.create_vhost(f"life-{tmp_path.name}")
    cloud = SimulatedCloud(tmp_path, bus).start()
    try:
        deployment = Deployment(
            tmp_path, database=postgresql_url, coordination=shared_etcd.tooz_url, bus=bus, cloud=cloud, observers=3,
            options={"coordination": {"group": tmp_path.name}},
        )
        with deployment:
            deployment.run("observation", "start", "compute.server", RECORDED_SERVER)
            replay = http_json(f"{cloud.url}/sim/v1/replay", method="POST",
                               body={**_recording(tmp_path), "speed": speed})
            wait_until(lambda: cloud.get(f"replay/{replay['id']}")["finished"], bound=90, what="the replay's end")
            states = wait_until(lambda: (found := _states(deployment))[-1:] == ["deleted"] and found, bound=30,
                                what="the deletion known")
            looks = [look for look in cloud.looks() if look.resource_id == RECORDED_SERVER]
            print(f"speed {speed}: states {states}; {len(looks)} fetches for {NOTIFICATIONS} notifications")
            if speed == 1:
                assert states == LIFE
            else:
                assert _is_subsequence(states, LIFE), states
            assert len({look.caller for look in looks}) == 1
            assert len(looks) < NOTIFICATIONS / 2
    finally:
        cloud.process.kill()


def _is_subsequence(some: list[str], whole: list[str]) -> bool:
    rest = iter(whole)
    return all(each in rest for each in some)
