"""Many observed resources of the simulated cloud, and what of their life the engine has missed.

``Watching`` makes resources as a user of the cloud, changes them behind everybody's back, and compares each observed
one with what the cloud says it truly is.
"""
from __future__ import annotations

import itertools
from collections.abc import Iterable

from keystoneauth1 import adapter, session
from keystoneauth1.identity import v3

from obsvc.model import partition_of_id
from tests.support.processes.deployment import PASSWORD, Deployment, SimulatedCloud, http_json
from tests.support.processes.servers import wait_until

#: Observations started with one request.
PAGE = 100


class Watching:
    """refs: (resource type, id) of everything observed so far."""

    def __init__(self, deployment: Deployment, cloud: SimulatedCloud) -> None:
        self.deployment = deployment
        self.cloud = cloud
        self.refs: list[tuple[str, str]] = []
        auth = v3.Password(f"{cloud.url}/identity/v3", username="somebody", password=PASSWORD, project_name="demo",
                           user_domain_id="default", project_domain_id="default")
        self._session = session.Session(auth=auth)
        self._names = itertools.count(1)

    def service(self, service_type: str) -> adapter.Adapter:
        return adapter.Adapter(self._session, service_type=service_type, interface="public")

    # what a user of the cloud does
    def create_plain(self, count: int = 1) -> list[str]:
        plain = self.service("sim")
        return [plain.post("/resources", json={"resource": {"name": f"plain-{next(self._names)}"}}).json()
                ["resource"]["id"] for _ in range(count)]

    def create_servers(self, count: int = 1) -> list[str]:
        compute = self.service("compute")
        image = self.service("image").get("/v2/images").json()["images"][0]["id"]
        flavor = compute.get("/flavors").json()["flavors"][0]["id"]
        return [compute.post("/servers", json={"server": {
            "name": f"server-{next(self._names)}", "networks": "none", "imageRef": image, "flavorRef": flavor,
        }}).json()["server"]["id"] for _ in range(count)]

    def create_networks(self, count: int = 1) -> list[str]:
        network = self.service("network")
        return [network.post("/v2.0/networks", json={"network": {"name": f"network-{next(self._names)}"}}).json()
                ["network"]["id"] for _ in range(count)]

    def change(self, ids: Iterable[str], *, notify: bool = True) -> None:
        """A new name each; without ``notify`` nobody is told."""
        for each in ids:
            self._behind("change", each, notify=notify, body={"name": f"changed-{next(self._names)}"})

    def delete(self, ids: Iterable[str], *, notify: bool = True) -> None:
        for each in ids:
            self._behind("delete", each, notify=notify)

    def _behind(self, action: str, resource_id: str, *, notify: bool, **more: object) -> None:
        http_json(f"{self.cloud.url}/sim/v1/behind", method="POST",
                  body={"action": action, "id": resource_id, "notify": notify, **more})

    # what an engine's user does
    def observe(self, resource_type: str, ids: Iterable[str], goal: str | None = "active") -> None:
        ids = list(ids)
        for start in range(0, len(ids), PAGE):
            self.deployment.api("/v1/observations", method="POST", body=[
                {"resource_type": resource_type, "resource_id": each, "goal": goal}
                for each in ids[start:start + PAGE]])
        self.refs += [(resource_type, each) for each in ids]

    # what a test checks
    def missing(self) -> list[str]:
        """Where the engine's copy of an observed resource differs from the cloud."""
        truth = {each["id"]: each for each in self.cloud.truth()}
        found = []
        for resource_type, each in self.refs:
            copy, real = self.deployment.api(f"/v1/resources/{resource_type}/{each}").get("snapshot"), truth[each]
            if copy is None or copy["exists"] != real["exists"] or (
                    real["exists"] and (copy["status"], copy["name"]) != (real["status"], real["name"])):
                found.append(f"{resource_type} {each}: engine {copy}, cloud {real['status']} {real['name']}")
        return found

    def wait_nothing_missing(self, bound: float, what: str) -> None:
        """Wait until the engine knows all that happened."""
        wait_until(lambda: not (missing := self.missing()) or self._say(missing), bound=bound, interval=0.3,
                   what=f"nothing missing after {what}")

    @staticmethod
    def _say(missing: list[str]) -> None:
        raise AssertionError(f"{len(missing)} are missing: {missing[:5]}")

    def wait_built(self, bound: float) -> None:
        """Wait until nothing of the cloud's own is under way."""
        busy = {"BUILD", "BUILDING", "UPDATING", "DELETING"}
        wait_until(lambda: not any(each["status"] in busy for each in self.cloud.truth()), bound=bound, interval=0.3,
                   what="all is built")

    def looks(self, ids: Iterable[str] | None = None) -> int:
        """GETs of (some of the) resources by observers so far."""
        chosen = None if ids is None else set(ids)
        return sum(chosen is None or look.resource_id in chosen for look in self.cloud.looks())

    def by_non_owners(self) -> list[str]:
        """Looks by an observer that does not own the resource's partition; for a time in which none moved."""
        owner = {each["partition"]: f"observer {each['owner']['name']}"
                 for each in self.deployment.api("/v1/partitions")["partitions"]}
        return [f"{look.resource_id} by {look.caller}" for look in self.cloud.looks()
                if look.caller != owner[partition_of_id(look.resource_id, self.deployment.partitions)]]
