"""What the demo reads of its processes: the public API, their metrics, and the simulated cloud's truth and call log."""
from __future__ import annotations

import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from obsvc.cmd import demo_summary
from obsvc.cmd.tree import Tree
from obsvc.exceptions import Unavailable

#: Partitions, looks and notifications of an observer.
Figures = tuple[int, int, int]


def request(url: str, *, method: str = "GET", body: object = None) -> Any:
    """The JSON (else the text) of one answer; raises Unavailable when there is none yet."""
    data = None if body is None else json.dumps(body).encode()
    sent = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(sent, timeout=20) as answer:
            text = answer.read().decode()
    except (urllib.error.URLError, OSError) as error:
        raise Unavailable(f"{method} {url}: {error}") from error
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text


class Readings:
    """Reads, and remembers what is read: the last metrics of each observer and every grant of a partition."""

    def __init__(self, tree: Tree, cloud_url: str) -> None:
        self._tree = tree
        self._cloud_url = cloud_url
        self.partition_count = 0
        #: By partition: when it was granted, as far as it was seen.
        self.granted_at: dict[int, set[float]] = {}
        self.observer_metrics: dict[str, Mapping[str, float]] = {}

    def api(self, path: str, *, method: str = "GET", body: object = None) -> Any:
        return request(self._tree.api_url + path, method=method, body=body)

    def cloud(self, path: str, *, method: str = "GET", body: object = None) -> Any:
        return request(self._cloud_url + path, method=method, body=body)

    def nodes(self, stack: str) -> list[dict[str, Any]]:
        nodes: list[dict[str, Any]] = self.api(f"/v1/stacks/{stack}/resources")["resources"]
        return nodes

    def partitions(self) -> list[dict[str, Any]]:
        partitions: list[dict[str, Any]] = self.api("/v1/partitions")["partitions"]
        self.partition_count = len(partitions)
        for partition in partitions:
            if partition.get("since"):
                self.granted_at.setdefault(partition["partition"], set()).add(partition["since"])
        return partitions

    def balanced(self) -> bool:
        """Whether all observers share all partitions, each as the ring proposes."""
        partitions = self.partitions()
        owners = {partition["owner"]["name"] if partition["owner"] else None for partition in partitions}
        return owners == set(self._tree.observer_names()) and all(
            partition["intended"] == partition["owner"]["name"] for partition in partitions)

    def engine_metrics(self) -> Mapping[str, float]:
        return self._metrics(self._tree.ports.engine)

    def figures(self, killed: str | None) -> dict[str, Figures | None]:
        """Of each observer; None of the one that was killed, whose last metrics are kept."""
        shown: dict[str, Figures | None] = {}
        for name, port in zip(self._tree.observer_names(), self._tree.ports.observers, strict=True):
            if name == killed:
                shown[name] = None
                continue
            with contextlib.suppress(Unavailable):
                self.observer_metrics[name] = self._metrics(port)
            metrics = [self.observer_metrics.get(name, {})]
            shown[name] = (demo_summary.total(metrics, "obsvc_partitions_held"),
                           demo_summary.total(metrics, "obsvc_looks_total"),
                           demo_summary.total(metrics, "obsvc_notifications_total"))
        return shown

    def truth(self) -> dict[str, dict[str, Any]]:
        """What really is in the cloud, and was, by id."""
        return {resource["id"]: resource for resource in self.cloud("/sim/v1/truth?deleted=true")["resources"]}

    def observer_looks(self) -> list[demo_summary.Call]:
        calls: list[dict[str, Any]] = []
        while page := self.cloud(f"/sim/v1/calls?since={calls[-1]['seq'] if calls else 0}")["calls"]:
            calls += page
        return demo_summary.looks(calls)

    def agrees(self, node: Mapping[str, Any], truth: Mapping[str, Any]) -> bool:
        """Whether the engine's copy of a node's resource is what the cloud has."""
        copy = self.api(f"/v1/resources/{node['resource_type']}/{node['resource_id']}").get("snapshot") or {}
        real = truth.get(node["resource_id"])
        if real is None or not real["exists"]:
            return copy.get("exists") is False
        # Some types have no status (subnets): then there is none to compare.
        return copy.get("exists") is True and copy.get("status") in (None, real["status"])

    @staticmethod
    def _metrics(port: int) -> Mapping[str, float]:
        return demo_summary.parse_metrics(request(f"http://127.0.0.1:{port}/metrics"))
