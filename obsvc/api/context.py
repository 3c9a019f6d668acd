"""What every resource class of the API works with: engine, ring, limits; and the built-in tenancy."""
from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from obsvc.api.caller import Caller
from obsvc.api.reading import Reader
from obsvc.api.ring import Ring
from obsvc.api.streaming.feed import Feed
from obsvc.catalog import Catalog
from obsvc.engine_client.contract import Empty, PublicApi
from obsvc.engine_client.observations import (
    FindRequest,
    Observation,
    ObservationsRequest,
    ReadRequest,
    Resource,
)
from obsvc.exceptions import Conflict, InvalidInput, NotFound
from obsvc.model import Ref
from obsvc.process.batches import batched
from obsvc.process.clock import Clock, SystemClock

#: Refs that the engine reads in one request, at most.
READ_MOST = 1000


@dataclass
class Api:
    """max_wait: longest long poll, max_watch: longest stream, seconds.  region: used where a request names none.
    types: resource types that observers can fetch; None: not checked.  catalog: used to decode dead letters again;
    None: that is not possible."""

    engine: PublicApi
    ring: Ring
    max_wait: float = 60.0
    max_watch: float = 600.0
    region: str = "RegionOne"
    types: Collection[str] | None = None
    catalog: Catalog | None = None
    clock: Clock = SystemClock()
    feed: Feed = field(init=False)
    reader: Reader = field(init=False)
    _partitions: int | None = None

    def __post_init__(self) -> None:
        self.feed = Feed(self.engine)
        self.reader = Reader(self.engine)

    def stop(self) -> None:
        """End every wait with an error that says to try another process."""
        self.feed.stop()
        if hasattr(self.engine, "abort"):  # calls of other transports last until gunicorn's graceful timeout
            self.engine.abort()

    def bounded_wait(self, seconds: float | None) -> float:
        """Seconds of a wait: as long as is asked for, at most ``max_wait``; None: that."""
        return self.max_wait if seconds is None else min(seconds, self.max_wait)

    def partitions(self) -> int:
        """P: asked of the engine once, since it never changes."""
        if self._partitions is None:
            self._partitions = self.engine.info(Empty()).partitions
        return self._partitions

    def check_type(self, resource_type: str) -> str:
        """``resource_type``, when observers can fetch it."""
        if self.types is not None and resource_type not in self.types:
            raise InvalidInput(f"resource type {resource_type!r} is not in the catalogue: expected one of "
                               f"{', '.join(sorted(self.types))}")
        return resource_type

    def resource(self, caller: Caller, resource_type: str, resource_id: str, region: str | None) -> Resource:
        """The one observed resource that the caller may see; NotFound for none, Conflict for several regions'."""
        reply = self.engine.find_resources(FindRequest(resource_type, resource_id))
        observed = [resource for resource in reply.resources if region in (None, resource.ref.region)]
        shown = [resource for resource in observed if self.shows(caller, resource)]
        shown += [unseen(resource) for resource in observed if self._awaits(caller, resource)]
        if not shown:
            where = f" in region {region}" if region is not None else ""
            raise NotFound(f"{resource_type} {resource_id} is not observed{where}: start an observation first")
        if len(shown) > 1:
            regions = ", ".join(sorted(resource.ref.region for resource in shown))
            raise Conflict(f"{resource_type} {resource_id} is observed in several regions ({regions}): "
                           "name one with region=")
        return shown[0]

    @staticmethod
    def shows(caller: Caller, resource: Resource) -> bool:
        """Tenancy: by the project in the snapshot alone."""
        return caller.sees(resource.snapshot.project_id if resource.snapshot is not None else None)

    def shown(self, caller: Caller, resource: Resource) -> Resource | None:
        """What of ``resource`` the caller may see; None for nothing."""
        if self.shows(caller, resource):
            return resource
        return unseen(resource) if self._awaits(caller, resource) else None

    def _awaits(self, caller: Caller, resource: Resource) -> bool:
        """Whether the caller's project observes a resource that has not been looked at yet: for that project it is
        ``unknown``, not missing."""
        if resource.snapshot is not None or self.shows(caller, resource) or not resource.observations:
            return False
        ref = resource.ref
        return bool(self.engine.list_observations(ObservationsRequest(
            resource_type=ref.resource_type, resource_id=ref.resource_id, region=ref.region,
            project_id=caller.scope, limit=1)).observations)

    def foreign(self, caller: Caller, refs: Iterable[Ref]) -> set[Ref]:
        """Those of ``refs`` that the engine knows to belong to a project that the caller may not see.

        A ref that was never looked at belongs to nobody yet; nor does one that is gone and has no project.
        """
        wanted = [] if caller.privileged else list(dict.fromkeys(refs))
        hidden: set[Ref] = set()
        for batch in batched(wanted, READ_MOST):
            for resource in self.engine.read_resources(ReadRequest(batch)).resources:
                seen = resource.snapshot
                if seen is None or caller.sees(seen.project_id):
                    continue
                if seen.exists or seen.project_id is not None:
                    hidden.add(resource.ref)
        return hidden

    def observation(self, caller: Caller, observation_id: str) -> Observation:
        """One observation that the caller may see; NotFound otherwise.  Its status reveals something about its ref, so
        an observation of a resource that turned out to be foreign is not shown."""
        page = self.engine.list_observations(ObservationsRequest(observation_id=observation_id, limit=1))
        for observation in page.observations:
            if caller.sees(observation.project_id) and not self.foreign(caller, (observation.ref,)):
                return observation
        raise NotFound(f"no observation {observation_id}: list those there are")


def unseen(resource: Resource) -> Resource:
    """A resource before its first look, as a tenant may see it: only that it is observed, and its partition."""
    return Resource(resource.ref, resource.partition, resource.version, observations=1)
