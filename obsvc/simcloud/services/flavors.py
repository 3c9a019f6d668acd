"""The flavors that the simulated cloud has: fixed, each with its name as its id."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any


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
