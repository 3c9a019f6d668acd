"""``Sim::Resource``: the simulated cloud's plain resource; takes any property."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from obsvc.engine_client.jobs import Job
from obsvc.worker.plugins import base


class Resource(base.RestPlugin):
    """A property whose name begins with ``!`` can't be changed in place."""

    type = "Sim::Resource"
    resource_type = "sim.resource"
    properties = None
    api = base.Api("sim", "/resources", "resource", "resources")

    def body(self, job: Job, properties: Mapping[str, Any]) -> dict[str, Any]:
        return {"name": base.name_of(job), "properties": dict(properties), "metadata": base.marker_metadata(job)}

    def marked(self, job: Job, listed: Mapping[str, Any]) -> bool:
        return base.in_metadata(job, listed.get("metadata"))

    def changes(self, job: Job, properties: Mapping[str, Any]) -> dict[str, Any]:
        return {"properties": dict(properties)}

    def needs_replacement(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(name for name in sorted({*before, *after})
                     if name.startswith("!") and before.get(name) != after.get(name))
