"""``obsvc explain`` over real processes: the owner tells what it did; an owner that does not is named."""
from __future__ import annotations

import signal

import pytest

from tests.support.processes.deployment import Deployment, SimulatedCloud
from tests.support.processes.servers import wait_until
from tests.support.processes.watching import Watching

BOUND = 60.0


@pytest.fixture
def deployment(tmp_path):
    bus = f"filesystem://{tmp_path}/bus"
    cloud = SimulatedCloud(tmp_path, bus, "--build-time", "1").start()
    try:
        with Deployment(tmp_path, database=f"sqlite:///{tmp_path}/obsvc.sqlite",
                        coordination=f"file://{tmp_path}/members", bus=bus, cloud=cloud, observers=2,
                        partitions=16) as made:
            yield made
    finally:
        cloud.process.kill()


def test_a_trail_is_told_by_the_owner(deployment):
    user = Watching(deployment, deployment.cloud)
    [server] = user.create_servers()
    deployment.run("observation", "start", "compute.server", server, "--goal", "active")
    deployment.run("wait", "compute.server", server, "--for", "active")
    owner = deployment.run_json("who", "compute.server", server)["granted_owner"]

    def explained() -> dict:
        return deployment.run_json("explain", "compute.server", server)

    user.change([server])

    def told() -> dict | None:
        found = explained()
        return found if {"held", "notified", "look", "seen", "verdict"} <= {each["what"] for each in found["events"]} \
            else None

    found = wait_until(told, bound=BOUND, what="every kind of event")
    assert (found["told_by"]["name"], found["condition"]) == (owner, "active")
    texts = [each["text"] for each in found["events"]]
    assert any("instance." in each for each in texts) and any("accepted as version" in each for each in texts)
    assert [each["at"] for each in found["events"]] == sorted(each["at"] for each in found["events"])
    wait_until(lambda: "no look is due" in explained()["why"], bound=BOUND, what="nothing is due any more")

    deployment.processes[owner].send_signal(signal.SIGSTOP)
    try:
        silent = explained()
        assert silent["events"] == [] or silent["told_by"]["name"] != owner
        heir = wait_until(lambda: (each := explained())["told_by"] and each, bound=BOUND, what="another owner")
        assert heir["told_by"]["name"] != owner and heir["generation"] > found["generation"]
        assert any(each["what"] == "held" for each in heir["events"])
    finally:
        deployment.processes[owner].send_signal(signal.SIGCONT)
