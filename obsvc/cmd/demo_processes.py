"""The demo's processes: a simulated cloud, an engine, an API, observers and workers, all below one folder."""
from __future__ import annotations

import contextlib
import pathlib
import socket

from obsvc.cmd.supervisor import Child, Supervisor, obsvc_command
from obsvc.cmd.tree import Ports, Tree

PASSWORD = "demo"

#: Short lease and heartbeats: the demo shows a takeover in seconds.  A deployment wants the defaults.
OPTIONS: dict[str, dict[str, object]] = {
    "coordination": {"lease": 3, "beat_interval": 0.5},
    "engine": {"member_timeout": 3, "progress_interval": 10},
    "observer": {"poll_initial": 5, "drain_timeout": 5, "takeover_spread": 1, "memory_window": 40},
    "worker": {"drain_timeout": 5},
    "buses": {"names": "cloud"},
}

EXCHANGES = "nova,neutron,openstack,glance,keystone,sim"


def free_ports(count: int) -> list[int]:
    """That many ports of 127.0.0.1 that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


class DemoProcesses:
    """Starts and ends them; used by one thread."""

    def __init__(self, folder: pathlib.Path, observers: int, workers: int) -> None:
        self._cloud_port, engine, api, *health = free_ports(3 + observers + workers)
        self.folder = folder
        self.cloud_url = f"http://127.0.0.1:{self._cloud_port}"
        self._bus = f"filesystem://{folder}/bus"
        options: dict[str, dict[str, object]] = {
            **OPTIONS,
            "bus:cloud": {"url": self._bus, "exchanges": EXCHANGES},
            "emit": {"url": self._bus},
            "cloud": {"auth_type": "password", "auth_url": f"{self.cloud_url}/identity/v3", "username": "obsvc",
                      "password": PASSWORD, "project_name": "demo", "user_domain_id": "default",
                      "project_domain_id": "default", "interface": "public"},
        }
        self.tree = Tree(folder, Ports(engine, api, tuple(health[:observers]), tuple(health[observers:])),
                         options=options, logs=True)
        self._supervisor = Supervisor()

    def start(self) -> None:
        self.tree.prepare()
        simcloud = obsvc_command(
            "simcloud", "--port", str(self._cloud_port), "--bus", self._bus, "--password", PASSWORD, "--seed", "7",
            "--build-time", "uniform:0.5,1.5", "--build-time-of", "compute.server=uniform:2,4",
        )
        self._supervisor.add(Child("simcloud", simcloud, log=self.folder / "simcloud.log"))
        for child in self.tree.children():
            self._supervisor.add(child)
        self._supervisor.start()

    def kill(self, name: str) -> None:
        """SIGKILL; it is not started again."""
        self._supervisor.kill(name)

    def stop(self) -> None:
        self._supervisor.stop([*self.tree.stop_order(), ["simcloud"]])
