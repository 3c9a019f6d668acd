"""The cloud as plugins see it: one call at a time, and ids for names.

One object a worker, used by all its threads.  Names found are remembered for a while, since a stack's servers
mostly share flavor and image; ids are taken as they come, without a look.
"""
from __future__ import annotations

import copy
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from obsvc.cloud import calls
from obsvc.engine_client.jobs import Job
from obsvc.process.clock import Clock, SystemClock
from obsvc.worker.plugins.contract import ActionFailed

#: Seconds that a name's id is remembered.  A minute: an image uploaded anew under its old name is seen soon.
ID_LIFETIME = 60.0
#: Names remembered at most; then all are forgotten.
IDS_MAX = 10_000

_UUID = re.compile(r"[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True)
class Service:
    """One service of the cloud.

    aliases: older service types in the identity catalogue.  version_prefix: where the endpoint names no version.
    """

    service_type: str
    aliases: tuple[str, ...] = ()
    version_prefix: str = ""


SERVICES = {
    "compute": Service("compute"),
    "network": Service("network", (), "/v2.0"),
    "block-storage": Service("block-storage", ("volumev3", "block-store", "volume"), "/v3"),
    "image": Service("image", (), "/v2"),
    "sim": Service("sim"),
}


@dataclass(frozen=True)
class Kind:
    """How names of one kind of thing are looked up.  filtered: the listing takes ``?name=`` and it is exact."""

    service: str
    collection: str
    keys: str
    filtered: bool = True


KINDS = {
    "flavor": Kind("compute", "/flavors", "flavors", filtered=False),
    "image": Kind("image", "/images", "images"),
    "network": Kind("network", "/networks", "networks"),
    "subnet": Kind("network", "/subnets", "subnets"),
    "security_group": Kind("network", "/security-groups", "security_groups"),
}


class Sessions(Protocol):
    """What is used of ``obsvc.cloud.sessions.CloudSessions``."""

    def adapter(self, region: str, service_type: str, aliases: tuple[str, ...] = ()) -> Any: ...

    def regions(self) -> Iterable[str]: ...


class CloudClients:
    """Calls to the services of every region; any thread."""

    def __init__(self, sessions: Sessions, *, clock: Clock | None = None) -> None:
        self._sessions = sessions
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._ids: dict[tuple[str, str, str], tuple[float, str]] = {}
        self._timeout: float | None = None

    def within(self, seconds: float) -> CloudClients:
        """The same clients (names found are shared), each of whose calls waits ``seconds`` at most for its answer."""
        bounded = copy.copy(self)
        bounded._timeout = seconds
        return bounded

    def region(self, job: Job) -> str:
        """The job's region, else the cloud's one region; ActionFailed when that can't be told."""
        if job.region:
            return job.region
        regions = sorted(self._sessions.regions())
        if not regions:
            raise ActionFailed("expected a region in the stack or in [cloud] region_name, found none")
        return regions[0]

    def call(
        self, region: str, service: str, method: str, path: str, *, json: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> calls.Answer:
        """One request to ``service`` (a key of SERVICES, or any type of the identity catalogue); raises CallFailed."""
        known = SERVICES.get(service) or Service(service)
        adapter = self._sessions.adapter(region, known.service_type, known.aliases)
        return calls.call(adapter, method, path, json=json, params=params, version_prefix=known.version_prefix,
                          timeout=self._timeout)

    def find_id(self, region: str, kind: str, name_or_id: str) -> str:
        """The id that ``name_or_id`` names; a UUID is taken for an id.

        Raises ActionFailed, not retriable, when nothing or more than one thing has that name.
        """
        if _UUID.fullmatch(name_or_id):
            return name_or_id
        key, now = (region, kind, name_or_id), self._clock.monotonic()
        with self._lock:
            found_at, resource_id = self._ids.get(key, (0.0, ""))
        if resource_id and now - found_at < ID_LIFETIME:
            return resource_id
        resource_id = self._look_up(region, kind, name_or_id)
        with self._lock:
            if len(self._ids) >= IDS_MAX:
                self._ids.clear()
            self._ids[key] = (now, resource_id)
        return resource_id

    def _look_up(self, region: str, kind: str, name_or_id: str) -> str:
        known = KINDS[kind]
        params = {"name": name_or_id} if known.filtered else None
        body = self.call(region, known.service, "GET", known.collection, params=params).body
        listed = [resource for resource in body.get(known.keys, ()) if isinstance(resource, Mapping)]
        by_id = [resource["id"] for resource in listed if resource.get("id") == name_or_id]
        ids: list[str] = by_id or [resource["id"] for resource in listed if resource.get("name") == name_or_id]
        if len(ids) != 1:
            what = "none was found" if not ids else f"{len(ids)} have that name: name it by its id"
            raise ActionFailed(f"expected one {kind.replace('_', ' ')} {name_or_id!r} in region {region}, {what}")
        return ids[0]
