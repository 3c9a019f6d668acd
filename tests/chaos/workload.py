"""What users and the cloud do during a run: resources changed and deleted behind our back, stacks, observations.

Two kinds of observed resources.  *Probes* are changed just once, during a fault, and never again: one lost
notification of one of them stays visible to the end.  *Churners* are changed again and again.

Every request to the API is noted with its outcome: ``done``, ``refused`` (it answered that it did not do it) or
``unknown`` (no answer: it may have been done).
"""
from __future__ import annotations

import collections
import random
import threading
import urllib.error
from collections.abc import Callable, Iterable
from typing import Any

from tests.chaos.cluster import Cluster
from tests.chaos.history import Writer
from tests.support.processes.deployment import http_json
from tests.support.processes.watching import Watching

TYPE = "sim.resource"

#: Probes of each fault, and how many of them are deleted rather than changed.
PROBES = 8
DELETED = 2

CHURNERS = 16

#: Seconds between two actions of the workload, least and most.
PAUSE = (0.2, 0.7)

#: Stacks under way at most: their jobs must not starve the rest on a small machine.
STACKS = 3

TEMPLATE = """
heat_template_version: 2021-04-16
resources:
  base: {type: "Sim::Resource", properties: {size: 1}}
  left: {type: "Sim::Resource", depends_on: base, properties: {size: 2}}
  right: {type: "Sim::Resource", depends_on: base, properties: {size: 3}}
  top: {type: "Sim::Resource", depends_on: [left, right], properties: {size: 4}}
"""


class Workload:
    """faults: how many the plan has.  ``run`` is the body of one thread; ``strike`` may be called from any."""

    def __init__(self, seed: int, cluster: Cluster, history: Writer, *, faults: int) -> None:
        self._cluster = cluster
        self._history = history
        self._random = random.Random(f"workload/{seed}")
        self._watching = Watching(cluster, cluster.cloud)
        self._faults = faults
        self._probes: collections.deque[str] = collections.deque()
        self._churners: list[str] = []
        self._observations: dict[str, str] = {}  # resource id → its one observation, where both are sure
        self._idle: list[str] = []  # churners that are not observed
        self._stacks: list[str] = []
        self._numbers = 0
        self.hushed = threading.Event()  #: notifications are being lost: change nothing that nobody waits for

    def prepare(self) -> None:
        """Make what is to be observed, and start observing it."""
        ids = self._watching.create_plain(PROBES * self._faults + CHURNERS)
        self._churners, self._probes = ids[:CHURNERS], collections.deque(ids[CHURNERS:])
        for start in range(0, len(ids), 100):
            self._start(ids[start:start + 100])

    def run(self, stop: threading.Event) -> None:
        actions: list[tuple[Callable[[], None], int]] = [
            (self._change, 10), (self._delete, 1), (self._stop, 2), (self._start_again, 2), (self._create_stack, 1),
            (self._delete_stack, 1),
        ]
        while not stop.wait(self._random.uniform(*PAUSE)):
            self._random.choices([action for action, _ in actions], [weight for _, weight in actions])[0]()

    def strike(self, seconds: float, stop: threading.Event) -> None:
        """Change some probes, once and for all, at moments of the next ``seconds``."""
        count = min(PROBES, len(self._probes))
        mine = [self._probes.popleft() for _ in range(count)]
        moments = sorted(self._random.uniform(0.0, seconds) for _ in mine)
        before = 0.0
        for index, (each, moment) in enumerate(zip(mine, moments, strict=True)):
            if stop.wait(moment - before):
                return
            before = moment
            while self.hushed.is_set() and not stop.wait(0.2):
                pass
            self._behind("delete" if index < DELETED else "change", each)

    # behind our back

    def _change(self) -> None:
        if not self.hushed.is_set():
            self._behind("change", self._random.choice(self._churners))

    def _delete(self) -> None:
        if not self.hushed.is_set() and len(self._churners) > CHURNERS // 2:
            self._behind("delete", self._churners.pop(self._random.randrange(len(self._churners))))

    def _behind(self, action: str, resource_id: str) -> None:
        self._numbers += 1
        body = {"action": action, "id": resource_id, "body": {"name": f"changed-{self._numbers}"}, "notify": True}
        if action == "delete":
            del body["body"]
        http_json(f"{self._cluster.cloud.url}/sim/v1/behind", method="POST", body=body)
        self._history.note("changed", id=resource_id, action=action)

    # observations

    def _start(self, ids: Iterable[str]) -> None:
        items = [{"resource_type": TYPE, "resource_id": each} for each in ids]
        done = self._ask("start", "/v1/observations", "POST", {"observations": items}, [each for each in ids])
        if done is not None:
            for one in done["observations"]:
                self._observations[one["resource_id"]] = one["observation_id"]
                self._history.note("started", id=one["resource_id"], observation=one["observation_id"])

    def _stop(self) -> None:
        """Churners only: a probe is observed to the end."""
        known = [each for each in self._churners if each in self._observations]
        if len(known) < CHURNERS // 4:
            return
        chosen = self._random.choice(known)
        observation = self._observations.pop(chosen)
        if self._ask("stop", f"/v1/observations/{observation}", "DELETE", None, [observation]) is not None:
            self._idle.append(chosen)

    def _start_again(self) -> None:
        if self._idle:
            self._start([self._idle.pop()])

    # stacks

    def _create_stack(self) -> None:
        if len(self._stacks) >= STACKS:
            return
        self._numbers += 1
        name = f"stack-{self._numbers}"
        body = {"name": name, "template": TEMPLATE}
        if self._ask("create_stack", "/v1/stacks", "POST", body, [name]) is not None:
            self._stacks.append(name)

    def _delete_stack(self) -> None:
        if len(self._stacks) > 1:
            name = self._stacks.pop(0)
            self._ask("delete_stack", f"/v1/stacks/{name}", "DELETE", None, [name])

    def _ask(self, what: str, path: str, method: str, body: object, about: list[str]) -> Any | None:
        """The answer, {} for an empty one; None where it is not known to be done."""
        try:
            answer = self._cluster.api(path, method=method, body=body, timeout=15)
        except urllib.error.HTTPError as error:
            outcome = "unknown" if error.code >= 500 else "refused"
            self._history.note("request", what=what, about=about, outcome=outcome, status=error.code)
            return None
        except OSError as error:
            self._history.note("request", what=what, about=about, outcome="unknown", status=type(error).__name__)
            return None
        self._history.note("request", what=what, about=about, outcome="done")
        return answer or {}
