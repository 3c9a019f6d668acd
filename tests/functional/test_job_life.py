"""Workers and engines killed at every point of a job's life, and a worker that sleeps before its create."""
from __future__ import annotations

import itertools
import os
import signal
import urllib.error

import pytest

from obsvc.process import failpoints
from tests.support.processes.deployment import Deployment, SimulatedCloud
from tests.support.processes.servers import wait_until

_numbers = itertools.count(1)

TEMPLATE = """
heat_template_version: 2018-08-31
resources:
  net: {type: "Sim::Resource", properties: {size: 1}}
  port: {type: "Sim::Resource", properties: {network: {get_resource: net}}}
  disk: {type: "Sim::Resource", properties: {size: 2}}
"""
NAMES = ["disk", "net", "port"]

#: In the order of a job's life.
POINTS = (
    "job.lease.after", "job.leased", "attempt.before", "attempt.after", "create.before", "create.after",
    "job.answer.before", "job.result.before", "job.result.commit", "job.result.after", "job.answered",
)


@pytest.fixture
def points(tmp_path, monkeypatch):
    folder = tmp_path / "points"
    folder.mkdir()
    monkeypatch.setenv(failpoints.VARIABLE, str(folder))
    return folder


@pytest.fixture
def deployment(tmp_path, points, shared_rabbitmq, shared_etcd, postgresql_url):
    bus = shared_rabbitmq.create_vhost(f"life{os.getpid()}-{next(_numbers)}")
    cloud = SimulatedCloud(tmp_path, bus, "--build-time", "0.2").start()
    made = Deployment(
        tmp_path, database=postgresql_url, coordination=shared_etcd.tooz_url, bus=bus, cloud=cloud, workers=2,
        quick_steps=True,
        options={"coordination": {"group": tmp_path.name}, "cloud": {"request_timeout": 1.5},
                 "engine": {"job_lease": 3, "marker_sweep_pause": 2}})
    try:
        with made:
            yield made
    finally:
        cloud.process.kill()


def live(deployment) -> dict[str, dict]:
    """What there is in the cloud of the stack's type."""
    return {one["id"]: one for one in deployment.cloud.truth() if one["exists"] and one["type"] == "sim.resource"}


def create(deployment) -> None:
    """As a client does: an engine that is killed while it answers is a 503, and the stack may be there already."""
    refused: list[int] = []

    def there() -> bool:
        try:
            deployment.create_stack("web", TEMPLATE)
        except urllib.error.HTTPError as error:
            assert error.code == 503 or (refused and error.code == 409), error
            refused.append(error.code)
            return error.code == 409
        return True

    wait_until(there, bound=30, what="stack web is there", interval=0.2)


def complete(deployment) -> None:
    """Wait for the stack; an engine that has just been killed answers 503 for a moment."""
    def reached() -> bool:
        try:
            return deployment.api("/v1/stacks/web")["status"] == "CREATE_COMPLETE"
        except urllib.error.HTTPError as error:
            assert error.code == 503, error
            return False

    wait_until(reached, bound=120, what="stack web CREATE_COMPLETE", interval=0.2)


def restart_dead(deployment) -> None:
    for process in deployment.processes.values():
        if not process.running:
            process.start()


@pytest.mark.timeout(600)
def test_a_process_killed_at_any_point_of_a_jobs_life_leaves_no_second_copy(deployment, points):
    for point in POINTS:
        (points / point).write_text("KILL")
        create(deployment)
        wait_until(lambda: not (points / point).exists(), bound=60, what=f"{point} was come to")  # noqa: B023
        restart_dead(deployment)
        complete(deployment)
        nodes = {node["name"]: node["resource_id"] for node in deployment.nodes("web")}
        assert sorted(nodes) == NAMES, point
        wait_until(lambda: live(deployment).keys() == set(nodes.values()), bound=60,  # noqa: B023
                   what=f"one copy of each node after {point}")
        deployment.run("stack", "delete", "web", "--wait")
        assert live(deployment) == {}, point


@pytest.mark.parametrize("then", ["told", "killed"])
def test_a_worker_that_slept_before_its_create_leaves_a_double_that_the_sweep_removes(deployment, points, then):
    (points / "attempt.after").write_text("STOP")
    deployment.create_stack("web", TEMPLATE)
    complete(deployment)  # the other worker has done it when the lease was over
    assert not (points / "attempt.after").exists()
    nodes = {node["resource_id"] for node in deployment.nodes("web")}
    if then == "killed":
        (points / "create.after").write_text("KILL")
    for name in ("worker-1", "worker-2"):
        deployment.processes[name].send_signal(signal.SIGCONT)
    # One, or more: the worker was stopped with all its threads, and each may have been about to create something.
    wait_until(lambda: _doubled(deployment, nodes), bound=60, what="a double")
    wait_until(lambda: live(deployment).keys() == nodes, bound=60, what="every double is gone")
    restart_dead(deployment)
    deployment.run("stack", "delete", "web", "--wait")
    assert live(deployment) == {}


def _doubled(deployment, nodes):
    """Whether there ever were more resources than the stack's."""
    ever = {one["id"] for one in deployment.cloud.truth() if one["type"] == "sim.resource"}
    assert ever >= nodes
    return len(ever) > len(nodes)
