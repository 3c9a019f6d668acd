"""The state of the simulated cloud: its resources, what the API shows of them, and what is due to happen.

Nothing here knows HTTP or a bus.  Time comes from the injected clock: a thread calls :meth:`World.run_due` in the
server, a test calls it after moving its clock.  Every method may be called from any thread: one lock guards all,
and what is due runs under it, so a step sees and leaves a consistent world.
"""
from __future__ import annotations

import heapq
import itertools
import random
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from obsvc.process.clock import Clock
from obsvc.simcloud.dials import Panel

Body = Mapping[str, Any]


@dataclass(frozen=True)
class Revision:
    """One change of a resource's true state; visible_at: when the API shows it.

    task_state: what nova is doing to the server; None for every other type.
    """

    number: int
    time: float
    visible_at: float
    status: str
    task_state: str | None


@dataclass
class Resource:
    """One resource; guarded by the world's lock.

    body: what is true now, or was true last once it is gone; the API may still show an older revision.  step: raised
    when a new course of events begins, so that what an older course still has pending does nothing.  hidden: facts
    that no API shows.
    """

    type: str
    id: str
    project_id: str
    body: Body
    created: float
    status_field: str = "status"
    step: int = 0
    gone: bool = False
    hidden: dict[str, Any] = field(default_factory=dict)
    revisions: list[Revision] = field(default_factory=list)
    #: The revision that the API shows, and those that it does not show yet, with their bodies (None: gone).
    _shown: list[tuple[Revision, Body | None]] = field(default_factory=list)

    @property
    def status(self) -> str:
        return "DELETED" if self.gone else str(self.body.get(self.status_field) or "ACTIVE")

    def seen_revision(self, now: float) -> tuple[Revision, Body | None]:
        """The newest revision that the API shows at ``now``, and its body (None: gone)."""
        while len(self._shown) > 1 and self._shown[1][0].visible_at <= now:
            del self._shown[0]
        return self._shown[0]

    def seen(self, now: float) -> Body | None:
        """What the API shows at ``now``; None: not found."""
        return self.seen_revision(now)[1]

    def revise(self, body: Body | None, now: float, visible_at: float) -> None:
        """The true state is ``body`` (None: gone) from now on; the API shows it from ``visible_at`` on."""
        self.gone = body is None
        if body is not None:
            self.body = body
        task_state = None if body is None else body.get("OS-EXT-STS:task_state")
        revision = Revision(len(self.revisions) + 1, now, visible_at, self.status, task_state)
        self.revisions.append(revision)
        self._shown.append((revision, body))
        self.seen(now)


class World:
    """All resources by type and id, and the agenda of timed steps."""

    def __init__(self, clock: Clock, panel: Panel, *, seed: int | None = None) -> None:
        self.clock = clock
        self.panel = panel
        self.random = random.Random(seed)
        self.lock = threading.RLock()
        self._changed = threading.Condition(self.lock)
        self._resources: dict[str, dict[str, Resource]] = {}
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._last_shown = threading.local()

    # resources

    def add(
        self,
        resource_type: str,
        body: Body,
        *,
        project_id: str,
        resource_id: str | None = None,
        status_field: str = "status",
    ) -> Resource:
        """A new resource, which the API shows at once; its id is ``body["id"]`` unless given."""
        with self.lock:
            now = self.clock.time()
            resource = Resource(
                resource_type, resource_id or str(body.get("id") or uuid.uuid4()), project_id, body, now, status_field
            )
            resource.revise(body, now, now)
            self._resources.setdefault(resource_type, {})[resource.id] = resource
            return resource

    def change(self, resource: Resource, updates: Body, *, at_once: bool = False, whole: bool = False) -> None:
        """Change fields (``whole``: the entire body); the API shows it ``api_behind`` later unless ``at_once``."""
        with self.lock:
            if not resource.gone:
                self._revise(resource, updates if whole else {**resource.body, **updates}, at_once=at_once)

    def remove(self, resource: Resource, *, at_once: bool = False) -> None:
        """The resource is gone; harmless when it already is."""
        with self.lock:
            if not resource.gone:
                resource.step += 1
                self._revise(resource, None, at_once=at_once)

    def _revise(self, resource: Resource, body: Body | None, *, at_once: bool) -> None:
        now = self.clock.time()
        resource.revise(body, now, now if at_once else now + self.panel.now.api_behind)

    def get(self, resource_type: str, resource_id: str) -> Resource | None:
        """The resource that really exists; None where it never did or is gone."""
        with self.lock:
            resource = self._resources.get(resource_type, {}).get(resource_id)
            return None if resource is None or resource.gone else resource

    def shown(self, resource_type: str, resource_id: str) -> tuple[Resource, Body] | None:
        """The resource and its body as the API shows it now."""
        with self.lock:
            resource = self._resources.get(resource_type, {}).get(resource_id)
            if resource is None:
                return None
            revision, body = resource.seen_revision(self.clock.time())
            self._last_shown.seen = (resource_id, revision.number)
            return None if body is None else (resource, body)

    def last_shown(self, resource_id: str) -> int | None:
        """The number of the revision that this thread was last shown, if it was of this resource; forgets it."""
        shown, number = getattr(self._last_shown, "seen", (None, None))
        self._last_shown.seen = (None, None)
        return number if shown == resource_id else None

    def listed(self, resource_type: str) -> list[tuple[Resource, Body]]:
        """All that the API shows of the type, oldest first."""
        with self.lock:
            now = self.clock.time()
            shown = ((resource, resource.seen(now)) for resource in self._resources.get(resource_type, {}).values())
            return [(resource, body) for resource, body in shown if body is not None]

    def live(self, resource_type: str) -> list[Resource]:
        """All of the type that really exist."""
        with self.lock:
            return [resource for resource in self._resources.get(resource_type, {}).values() if not resource.gone]

    def everything(self) -> Iterator[Resource]:
        """Every resource there ever was, a snapshot of the list."""
        with self.lock:
            return iter([resource for of_type in self._resources.values() for resource in of_type.values()])

    def find(self, resource_id: str) -> Resource | None:
        """The resource of any type with this id, gone or not."""
        with self.lock:
            return next((of_type[resource_id] for of_type in self._resources.values() if resource_id in of_type), None)

    # courses of events

    def begin(self, resource: Resource) -> int:
        """Begin a new course of events: steps of an older one do nothing from now on."""
        with self.lock:
            resource.step += 1
            return resource.step

    def draw_build_time(self, resource_type: str) -> float:
        """Seconds that the next build of this type takes."""
        with self.lock:
            return self.panel.now.build_time(resource_type).draw(self.random)

    def draw_failure(self, name: str | None) -> bool:
        """True when the next build, of a resource so named, is to fail."""
        dials = self.panel.now
        with self.lock:
            return (name or "") in dials.failed_names or self.random.random() < dials.failed_share

    def after(self, seconds: float, step: Callable[[], None], *, course: tuple[Resource, int] | None = None) -> None:
        """Run ``step`` in that time, under the lock; with ``course``, only if that course is still the present one."""

        def guarded() -> None:
            if course is None or course[0].step == course[1]:
                step()

        with self.lock:
            heapq.heappush(self._agenda, (self.clock.monotonic() + max(0.0, seconds), next(self._order), guarded))
            self._changed.notify_all()

    def run_due(self) -> float | None:
        """Run all that is due; the seconds until the next step, None when nothing is planned."""
        while True:
            with self.lock:
                if not self._agenda:
                    return None
                wait = self._agenda[0][0] - self.clock.monotonic()
                if wait > 0:
                    return wait
                heapq.heappop(self._agenda)[2]()

    def loop(self, stop: threading.Event) -> None:
        """Run what is due until ``stop``; the target of a thread."""
        while not stop.is_set():
            wait = self.run_due()
            with self.lock:
                # A step may have been planned since run_due looked; never sleep past it.
                if self._agenda and self._agenda[0][0] <= self.clock.monotonic():
                    continue
                self._changed.wait(min(wait if wait is not None else 0.5, 0.5))
