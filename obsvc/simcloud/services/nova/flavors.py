"""The flavors that the simulated cloud has: fixed, each with its name as its id."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import falcon

from obsvc.simcloud import faults


@dataclass(frozen=True)
class Flavor:
    """ram in MB, disk in GB; number: nova's internal id."""

    number: int
    name: str
    ram: int
    vcpus: int
    disk: int

    @property
    def id(self) -> str:
        return self.name

    def embedded(self) -> dict[str, Any]:
        """As it stands in a server from microversion 2.47 on."""
        return {"vcpus": self.vcpus, "ram": self.ram, "disk": self.disk, "ephemeral": 0, "swap": 0,
                "original_name": self.name, "extra_specs": {}}

    def body(self, base: str) -> dict[str, Any]:
        """As ``GET /flavors/{id}`` answers it."""
        return {"id": self.id, "name": self.name, "ram": self.ram, "vcpus": self.vcpus, "disk": self.disk,
                "swap": 0, "OS-FLV-EXT-DATA:ephemeral": 0, "OS-FLV-DISABLED:disabled": False,
                "os-flavor-access:is_public": True, "rxtx_factor": 1.0, "description": None, "extra_specs": {},
                "links": [{"rel": "self", "href": f"{base}/compute/v2.1/flavors/{self.id}"},
                          {"rel": "bookmark", "href": f"{base}/compute/flavors/{self.id}"}]}


FLAVORS = {flavor.id: flavor for flavor in (
    Flavor(1, "m1.nano", 64, 1, 1),
    Flavor(2, "m1.micro", 128, 1, 1),
    Flavor(3, "m1.tiny", 512, 1, 1),
    Flavor(4, "m1.small", 2048, 1, 20),
    Flavor(5, "m1.medium", 4096, 2, 40),
)}


class Flavors:
    """The paths of flavors."""

    def add_routes(self, app: falcon.App[falcon.Request, falcon.Response]) -> None:
        app.add_route("/compute/v2.1/flavors", self, suffix="flavors")
        app.add_route("/compute/v2.1/flavors/detail", self, suffix="flavors_detail")
        app.add_route("/compute/v2.1/flavors/{flavor}", self, suffix="flavor")

    def on_get_flavors(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"flavors": [{"id": flavor.id, "name": flavor.name, "links": flavor.body(req.prefix)["links"]}
                                  for flavor in FLAVORS.values()]}

    def on_get_flavors_detail(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"flavors": [flavor.body(req.prefix) for flavor in FLAVORS.values()]}

    def on_get_flavor(self, req: falcon.Request, resp: falcon.Response, flavor: str) -> None:
        if flavor not in FLAVORS:
            raise faults.nova(404, f"Flavor {flavor} could not be found.")
        resp.media = {"flavor": FLAVORS[flavor].body(req.prefix)}
