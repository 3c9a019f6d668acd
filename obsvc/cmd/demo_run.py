"""The demo's story: start everything, build the stack, kill an observer, delete a server, judge."""
from __future__ import annotations

import contextlib
import json
import pathlib
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from obsvc.cmd import demo_summary
from obsvc.cmd.demo_view import State, View
from obsvc.cmd.supervisor import Child, Supervisor, obsvc_command
from obsvc.cmd.tree import Ports, Tree
from obsvc.exceptions import ObsvcError, Unavailable
from obsvc.model import partition_of_id

STACK = "tiers"

#: Seconds that each part of the story may take before the demo gives up.
START_BOUND, BUILD_BOUND, TAKEOVER_BOUND, DRIFT_BOUND = 60.0, 90.0, 30.0, 30.0

#: Seconds between two looks at how it stands.
STEP = 0.25

PASSWORD = "demo"

#: Short lease and beats: the demo shows a takeover in seconds.  A deployment wants the defaults.
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


def request(url: str, *, method: str = "GET", body: object = None) -> Any:
    """The JSON (else the text) of one answer; raises Unavailable when there is none yet."""
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(asked, timeout=20) as answer:
            text = answer.read().decode()
    except (urllib.error.URLError, OSError) as error:
        raise Unavailable(f"{method} {url}: {error}") from error
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text


class Demonstration:
    """One run; used by one thread."""

    def __init__(self, folder: pathlib.Path, template: str, observers: int, workers: int, view: View,
                 interrupted: threading.Event) -> None:
        cloud, engine, api, *health = free_ports(3 + observers + workers)
        self._bus = f"filesystem://{folder}/bus"
        self._cloud = f"http://127.0.0.1:{cloud}"
        self._cloud_port = cloud
        options: dict[str, dict[str, object]] = {
            **OPTIONS,
            "bus:cloud": {"url": self._bus, "exchanges": EXCHANGES},
            "emit": {"url": self._bus},
            "cloud": {"auth_type": "password", "auth_url": f"{self._cloud}/identity/v3", "username": "obsvc",
                      "password": PASSWORD, "project_name": "demo", "user_domain_id": "default",
                      "project_domain_id": "default", "interface": "public"},
        }
        self._tree = Tree(folder, Ports(engine, api, tuple(health[:observers]), tuple(health[observers:])),
                          options=options, logs=True)
        self._folder = folder
        self._template = template
        self._view = view
        self._interrupted = interrupted
        self._supervisor = Supervisor()
        self._killed: str | None = None
        self._last_metrics: dict[str, Mapping[str, float]] = {}
        self._grants: dict[int, set[float]] = {}

    def addresses(self) -> str:
        return f"API {self._tree.api_url}, simulated cloud {self._cloud}, logs in {self._folder}"

    def stop(self) -> None:
        self._supervisor.stop([*self._tree.stop_order(), ["simcloud"]])

    def run(self) -> dict[str, Any]:
        """The whole story; returns the summary, whose ``ok`` says whether all of it came true."""
        began = time.monotonic()
        self._start()
        self._api("/v1/stacks", method="POST", body={"name": STACK, "template": self._template})
        self._view.line(f"the stack {STACK} is asked for")
        self._build(until=lambda nodes: nodes.get("complete", 0) * 2 >= sum(nodes.values()))
        takeover_seconds = self._kill_one()
        self._build(until=lambda nodes: nodes.get("complete", 0) == sum(nodes.values()))
        self._view.line("the stack is complete")
        drift = self._delete_behind()
        return self._judge(time.monotonic() - began, takeover_seconds, drift)

    # the parts of the story

    def _start(self) -> None:
        self._tree.prepare()
        simcloud = obsvc_command(
            "simcloud", "--port", str(self._cloud_port), "--bus", self._bus, "--password", PASSWORD, "--seed", "7",
            "--build-time", "uniform:0.5,1.5", "--build-time-of", "compute.server=uniform:2,4",
        )
        self._supervisor.add(Child("simcloud", simcloud, log=self._folder / "simcloud.log"))
        for child in self._tree.children():
            self._supervisor.add(child)
        self._supervisor.start()
        self._view.line(f"starting a simulated cloud, the engine, the API, {len(self._tree.ports.observers)} "
                        f"observers and {len(self._tree.ports.workers)} workers")
        self._until(lambda: request(f"{self._cloud}/healthz"), START_BOUND, "the simulated cloud")
        self._until(self._balanced, START_BOUND, "observers that share all partitions")
        self._view.line("every partition has its owner")

    def _build(self, until: Callable[[Mapping[str, int]], bool]) -> None:
        def reached() -> bool:
            stack = self._api(f"/v1/stacks/{STACK}")
            self._view.show(State(stack["nodes"], self._figures()))
            if stack["status"].endswith("_FAILED"):
                raise ObsvcError(f"the stack failed: {stack.get('status_reason')}; logs in {self._folder}")
            return until(stack["nodes"])

        self._until(reached, BUILD_BOUND, "progress of the stack", interval=STEP)

    def _kill_one(self) -> float:
        """SIGKILL the observer that most unfinished resources belong to; returns the seconds to the takeover."""
        owners = {each["partition"]: each["owner"]["name"] for each in self._partitions() if each["owner"]}
        busy = [owners.get(partition_of_id(node["resource_id"], len(owners)))
                for node in self._nodes() if node.get("resource_id") and node["status"] == "observing"]
        victim = max(self._tree.observer_names(), key=busy.count)
        self._figures()
        self._supervisor.kill(victim)
        self._killed = victim
        began = time.monotonic()
        lost = sum(name == victim for name in owners.values())
        self._view.line(f"{victim} is killed (SIGKILL); it owned {lost} partitions")
        self._until(
            lambda: all(each["owner"] and each["owner"]["name"] != victim for each in self._partitions()),
            TAKEOVER_BOUND, "the takeover", interval=0.1,
        )
        seconds = time.monotonic() - began
        self._view.line(f"its partitions were taken over within {seconds:.1f} s")
        return seconds

    def _delete_behind(self) -> dict[str, Any]:
        server = next(node for node in self._nodes() if node["type"] == "OS::Nova::Server")
        self._view.line(f"{server['name']} is deleted behind the stack's back")
        began = time.monotonic()
        request(f"{self._cloud}/sim/v1/behind", method="POST", body={"action": "delete", "id": server["resource_id"]})

        def drifted() -> str | None:
            return next((node.get("drift") for node in self._nodes() if node["name"] == server["name"]), None)

        drift = self._until(drifted, DRIFT_BOUND, "the drift")
        seconds = time.monotonic() - began
        self._view.line(f"drift reported after {seconds:.1f} s: {server['name']}: {drift}")
        return {"node": server["name"], "drift": drift, "seconds": round(seconds, 2)}

    # the judgement

    def _judge(self, seconds: float, takeover_seconds: float, drift: dict[str, Any]) -> dict[str, Any]:
        self._figures()
        self._partitions()
        nodes = self._nodes()
        truth = {each["id"]: each for each in request(f"{self._cloud}/sim/v1/truth?deleted=true")["resources"]}
        ours = {node["resource_id"] for node in nodes}
        changes = {each: [change["visible_at"] for change in truth[each]["revisions"]] for each in ours & set(truth)}
        looks = self._observer_looks()
        doubles = demo_summary.doubles(looks, changes, {
            each: sorted(self._grants.get(partition_of_id(each, self._partition_count), ())) for each in ours
        })
        members = list(self._last_metrics.values())
        lost = [node["name"] for node in nodes if not self._true(node, truth)]
        changed = sum(len(times) for times in changes.values())
        complete = sum(node["status"] == "complete" for node in nodes)
        engine = self._metrics(self._tree.ports.engine)
        summary = {
            "ok": complete == len(nodes) and not lost and not doubles,
            "resources": len(nodes),
            "resources_complete": complete,
            "seconds": round(seconds, 1),
            "notifications_seen": demo_summary.total(members, "obsvc_notifications_total"),
            "notifications_discarded": sum(
                demo_summary.total(members, "obsvc_notifications_fate_total", fate=fate)
                for fate in demo_summary.DISCARDED
            ),
            "notifications_coalesced": demo_summary.total(members, "obsvc_notifications_fate_total", fate="coalesced"),
            "fetches": len(looks),
            "fetches_by_cause": demo_summary.by_label(members, "obsvc_looks_total", "cause"),
            "state_changes": changed,
            "fetches_per_state_change": round(len(looks) / max(changed, 1), 2),
            "takeover_looks": demo_summary.total(members, "obsvc_looks_total", cause="takeover"),
            "takeover_seconds": round(takeover_seconds, 2),
            "stale_writes_refused": demo_summary.total([engine], "obsvc_verdicts_total", verdict="stale_generation"),
            "fetched_by_two_observers": [each.resource_id for each in doubles],
            "lost": lost,
            "drift": drift,
        }
        return summary

    def _true(self, node: Mapping[str, Any], truth: Mapping[str, Any]) -> bool:
        """Whether the engine's copy is what the cloud has."""
        copy = self._api(f"/v1/resources/{node['resource_type']}/{node['resource_id']}").get("snapshot") or {}
        real = truth.get(node["resource_id"])
        if real is None or not real["exists"]:
            return copy.get("exists") is False
        # Some types have no status (subnets): then there is none to compare.
        return copy.get("exists") is True and copy.get("status") in (None, real["status"])

    def _observer_looks(self) -> list[demo_summary.Call]:
        calls: list[dict[str, Any]] = []
        while page := request(f"{self._cloud}/sim/v1/calls?since={calls[-1]['seq'] if calls else 0}")["calls"]:
            calls += page
        return demo_summary.looks(calls)

    # what the processes say

    def _api(self, path: str, *, method: str = "GET", body: object = None) -> Any:
        return request(self._tree.api_url + path, method=method, body=body)

    def _nodes(self) -> list[dict[str, Any]]:
        nodes: list[dict[str, Any]] = self._api(f"/v1/stacks/{STACK}/resources")["resources"]
        return nodes

    def _partitions(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._api("/v1/partitions")["partitions"]
        self._partition_count = len(found)
        for each in found:
            if each.get("since"):
                self._grants.setdefault(each["partition"], set()).add(each["since"])
        return found

    def _balanced(self) -> bool:
        found = self._partitions()
        owners = {each["owner"]["name"] if each["owner"] else None for each in found}
        return owners == set(self._tree.observer_names()) and all(
            each["intended"] == each["owner"]["name"] for each in found
        )

    def _metrics(self, port: int) -> Mapping[str, float]:
        return demo_summary.parse_metrics(request(f"http://127.0.0.1:{port}/metrics"))

    def _figures(self) -> dict[str, tuple[int, int, int] | None]:
        """Partitions, fetches and notifications of each observer; the last known figures of one killed are kept."""
        shown: dict[str, tuple[int, int, int] | None] = {}
        for name, port in zip(self._tree.observer_names(), self._tree.ports.observers, strict=True):
            if name == self._killed:
                shown[name] = None
                continue
            with contextlib.suppress(Unavailable):
                self._last_metrics[name] = self._metrics(port)
            one = [self._last_metrics.get(name, {})]
            shown[name] = (demo_summary.total(one, "obsvc_partitions_held"),
                           demo_summary.total(one, "obsvc_looks_total"),
                           demo_summary.total(one, "obsvc_notifications_total"))
        return shown

    def _until(self, condition: Callable[[], Any], bound: float, what: str, *, interval: float = 0.1) -> Any:
        """Wait for something true; Unavailable of the condition means not yet, but for a failed stack."""
        deadline = time.monotonic() + bound
        while True:
            error: Unavailable | None = None
            try:
                if found := condition():
                    return found
            except Unavailable as unavailable:
                error = unavailable
            if time.monotonic() > deadline:
                raise Unavailable(f"waited {bound:.0f} s for {what}: {error or 'it did not come'}; logs in "
                                  f"{self._folder}")
            if self._interrupted.wait(interval):
                raise KeyboardInterrupt
