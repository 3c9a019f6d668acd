"""The demo's story: start everything, build the stack, kill an observer, delete a server, judge."""
from __future__ import annotations

import pathlib
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from obsvc.cmd import demo_summary
from obsvc.cmd.demo_processes import DemoProcesses
from obsvc.cmd.demo_readings import Readings
from obsvc.cmd.demo_view import State, View
from obsvc.exceptions import ObsvcError, Unavailable
from obsvc.model import partition_of_id

STACK = "tiers"

#: Seconds that each part of the story may take before the demo gives up.
START_BOUND, BUILD_BOUND, TAKEOVER_BOUND, DRIFT_BOUND = 60.0, 90.0, 30.0, 30.0

#: Seconds between two looks at how it stands.
STEP = 0.25


class Demonstration:
    """One run; used by one thread."""

    def __init__(self, processes: DemoProcesses, template: str, view: View, interrupted: threading.Event) -> None:
        self._processes = processes
        self._readings = Readings(processes.tree, processes.cloud_url)
        self._template = template
        self._view = view
        self._interrupted = interrupted
        self._killed: str | None = None

    @property
    def _folder(self) -> pathlib.Path:
        return self._processes.folder

    def addresses(self) -> str:
        return (f"API {self._processes.tree.api_url}, simulated cloud {self._processes.cloud_url}, "
                f"logs in {self._folder}")

    def run(self) -> dict[str, Any]:
        """The whole story; returns the summary, whose ``ok`` says whether all of it came true."""
        began = time.monotonic()
        self._start()
        self._readings.api("/v1/stacks", method="POST", body={"name": STACK, "template": self._template})
        self._view.line(f"the stack {STACK} is asked for")
        self._build(until=lambda nodes: nodes.get("complete", 0) * 2 >= sum(nodes.values()))
        takeover_seconds = self._kill_one()
        self._build(until=lambda nodes: nodes.get("complete", 0) == sum(nodes.values()))
        self._view.line("the stack is complete")
        drift = self._delete_behind()
        return self._judge(time.monotonic() - began, takeover_seconds, drift)

    # the parts of the story

    def _start(self) -> None:
        self._processes.start()
        ports = self._processes.tree.ports
        self._view.line(f"starting a simulated cloud, the engine, the API, {len(ports.observers)} observers and "
                        f"{len(ports.workers)} workers")
        self._until(lambda: self._readings.cloud("/healthz"), START_BOUND, "the simulated cloud")
        self._until(self._readings.balanced, START_BOUND, "observers that share all partitions")
        self._view.line("every partition has its owner")

    def _build(self, until: Callable[[Mapping[str, int]], bool]) -> None:
        def reached() -> bool:
            stack = self._readings.api(f"/v1/stacks/{STACK}")
            self._view.show(State(stack["nodes"], self._readings.figures(self._killed)))
            if stack["status"].endswith("_FAILED"):
                raise ObsvcError(f"the stack failed: {stack.get('status_reason')}; logs in {self._folder}")
            return until(stack["nodes"])

        self._until(reached, BUILD_BOUND, "progress of the stack", interval=STEP)

    def _kill_one(self) -> float:
        """SIGKILL the observer that most unfinished resources belong to; returns the seconds to the takeover."""
        owners = {partition["partition"]: partition["owner"]["name"]
                  for partition in self._readings.partitions() if partition["owner"]}
        busy = [owners.get(partition_of_id(node["resource_id"], len(owners))) for node in self._readings.nodes(STACK)
                if node.get("resource_id") and node["status"] == "observing"]
        victim = max(self._processes.tree.observer_names(), key=busy.count)
        self._readings.figures(self._killed)
        self._processes.kill(victim)
        self._killed = victim
        began = time.monotonic()
        lost = sum(name == victim for name in owners.values())
        self._view.line(f"{victim} is killed (SIGKILL); it owned {lost} partitions")
        self._until(
            lambda: all(partition["owner"] and partition["owner"]["name"] != victim
                        for partition in self._readings.partitions()),
            TAKEOVER_BOUND, "the takeover", interval=0.1,
        )
        seconds = time.monotonic() - began
        self._view.line(f"its partitions were taken over within {seconds:.1f} s")
        return seconds

    def _delete_behind(self) -> dict[str, Any]:
        server = next(node for node in self._readings.nodes(STACK) if node["type"] == "OS::Nova::Server")
        self._view.line(f"{server['name']} is deleted behind the stack's back")
        began = time.monotonic()
        self._readings.cloud("/sim/v1/behind", method="POST", body={"action": "delete", "id": server["resource_id"]})

        def drifted() -> str | None:
            return next((node.get("drift") for node in self._readings.nodes(STACK) if node["name"] == server["name"]),
                        None)

        drift = self._until(drifted, DRIFT_BOUND, "the drift")
        seconds = time.monotonic() - began
        self._view.line(f"drift reported after {seconds:.1f} s: {server['name']}: {drift}")
        return {"node": server["name"], "drift": drift, "seconds": round(seconds, 2)}

    def _judge(self, seconds: float, takeover_seconds: float, drift: dict[str, Any]) -> dict[str, Any]:
        readings = self._readings
        readings.figures(self._killed)
        readings.partitions()
        nodes = readings.nodes(STACK)
        truth = readings.truth()
        ours = {node["resource_id"] for node in nodes}
        changes = {resource_id: [change["visible_at"] for change in truth[resource_id]["revisions"]]
                   for resource_id in ours & set(truth)}
        granted_at = {resource_id: sorted(readings.granted_at.get(
            partition_of_id(resource_id, readings.partition_count), ())) for resource_id in ours}
        looks = readings.observer_looks()
        doubles = demo_summary.doubles(looks, changes, granted_at)
        lost = [node["name"] for node in nodes if not readings.agrees(node, truth)]
        complete = sum(node["status"] == "complete" for node in nodes)
        changed = sum(len(times) for times in changes.values())
        return {
            "ok": complete == len(nodes) and not lost and not doubles,
            "resources": len(nodes),
            "resources_complete": complete,
            "seconds": round(seconds, 1),
            **demo_summary.counted(list(readings.observer_metrics.values()), len(looks), changed),
            "takeover_seconds": round(takeover_seconds, 2),
            "stale_writes_refused": demo_summary.total(
                [readings.engine_metrics()], "obsvc_verdicts_total", verdict="stale_generation"),
            "fetched_by_two_observers": [double.resource_id for double in doubles],
            "lost": lost,
            "drift": drift,
        }

    def _until(self, condition: Callable[[], Any], bound: float, what: str, *, interval: float = 0.1) -> Any:
        """Wait for something true; Unavailable of the condition means not yet, but for a failed stack."""
        deadline = time.monotonic() + bound
        while True:
            error: Unavailable | None = None
            try:
                if met := condition():
                    return met
            except Unavailable as unavailable:
                error = unavailable
            if time.monotonic() > deadline:
                raise Unavailable(f"waited {bound:.0f} s for {what}: {error or 'it did not come'}; logs in "
                                  f"{self._folder}")
            if self._interrupted.wait(interval):
                raise KeyboardInterrupt
