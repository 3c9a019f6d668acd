"""The deployment that scenarios share, and the words of their scripts.

What a script waits for it reads from the simulated cloud, never from the engine; only how a traversal ended is the
engine's to say.  A stack that a script leaves behind is deleted, and everything of it has to go.
"""
from __future__ import annotations

import collections
import contextlib
import json
import pathlib
import signal
import urllib.error
from collections.abc import Callable, Collection, Mapping
from typing import Any

from tests.support.processes.deployment import Deployment, SimulatedCloud, http_json
from tests.support.processes.servers import wait_until
from tests.support.scenarios.comparing import differences, live
from tests.support.scenarios.example_plugin import installed
from tests.support.scenarios.goals import Goal, called, template_of

#: Seconds for whatever a script waits for; each takes a few.
BOUND = 90.0
#: Seconds for graphs of hundreds.
LONG_BOUND = 240.0

#: Seconds of a deployment that has nothing to wait for but what a scenario is about.
QUICK = {
    "observer": {"coalesce_interval": 0.1, "settle_delay": 0.2, "poll_initial": 5, "poll_max": 10, "mark_after": 3,
                 "memory_window": 30, "drain_timeout": 10},
    "engine": {"poll_interval": 0.05, "job_retry_initial": 0.2, "job_retry_max": 1, "job_lease": 8},
    "cloud": {"request_timeout": 3},
    "worker": {"threads": 8},
}


class Stage:
    """One deployment of one engine, two observers, two workers and an API, with its simulated cloud; the plugin of
    the documentation's example is installed."""

    def __init__(self, folder: pathlib.Path, *, database: str, coordination: str, bus: str) -> None:
        self.cloud = SimulatedCloud(folder, bus, "--build-time", "0.15")
        self.deployment = Deployment(
            folder, database=database, coordination=coordination, bus=bus, cloud=self.cloud, observers=2, workers=2,
            options=QUICK | {"coordination": {"group": folder.name}}, environment=installed(folder))
        self._held: set[str] = set()
        self._failing: set[str] = set()
        self._numbers: collections.Counter[str] = collections.Counter()
        self.retained: set[str] = set()

    def __enter__(self) -> Stage:
        self.cloud.start()
        try:
            self.deployment.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.deployment.__exit__()
        self.cloud.process.kill()

    def truth(self) -> list[dict[str, Any]]:
        return self.cloud.get("truth?type=sim.resource")["resources"]

    def stack(self, name: str) -> Script:
        """A stack for one scenario, with a name of its own."""
        self._numbers[name] += 1
        return Script(self, f"{name}-{self._numbers[name]}")

    def turn(self, *, hold: Collection[str] = (), let: Collection[str] = (), fail: Collection[str] = (),
             heal: Collection[str] = ()) -> None:
        """What the cloud does with resources of these names from now on."""
        self._held = (self._held | set(hold)) - set(let)
        self._failing = (self._failing | set(fail)) - set(heal)
        self.cloud.dial(held_names=sorted(self._held), failed_names=sorted(self._failing))

    def calm(self) -> None:
        """Nothing is held, nothing fails, nothing is refused."""
        self.cloud.dial(down_resources=[])
        self.turn(let=set(self._held), heal=set(self._failing))

    def kill_everything(self) -> None:
        """SIGKILL to every process of the deployment, all of them before any is waited for."""
        for process in self.deployment.processes.values():
            process.send_signal(signal.SIGKILL)
        for process in self.deployment.processes.values():
            process.kill()

    def start_again(self) -> None:
        for process in self.deployment.processes.values():
            process.start()
        for name in self.deployment.processes:
            self.deployment.wait_ready(name)


class Script:
    """What a scenario does with its stack, and what it waits for."""

    def __init__(self, stage: Stage, name: str) -> None:
        self.stage = stage
        self.name = name
        self.goal: Goal = {}
        self.exists = False

    # what users ask for

    def create(self, goal: Goal, **more: Any) -> None:
        body = {"name": self.name, "template": template_of(goal, self.name), **more}
        self._ask("/v1/stacks", "POST", body)
        self.goal, self.exists = goal, True

    def update(self, goal: Goal, **more: Any) -> None:
        self._ask(self._path, "PUT", {"template": template_of(goal, self.name), **more})
        self.goal = goal

    def foretold(self, goal: Goal) -> dict[str, str]:
        """Node → what an update to this goal would do to it."""
        return {each["name"]: each["change"] for each in self.preview(goal)}

    def preview(self, goal: Goal) -> list[dict[str, Any]]:
        """What an update to the goal would do, node by node."""
        return self._ask(f"{self._path}/preview", "POST", {"template": template_of(goal, self.name)})["nodes"]

    def refused(self, ask: Callable[[], object]) -> int:
        """The status with which the API refuses it."""
        try:
            ask()
        except urllib.error.HTTPError as error:
            return error.code
        raise AssertionError("it was not refused")

    def delete(self) -> None:
        self._ask(self._path, "DELETE")
        self.goal = {}

    def rollback(self) -> None:
        self._ask(f"{self._path}/rollback", "POST", {})

    def cancel(self, **more: Any) -> None:
        self._ask(f"{self._path}/cancel", "POST", more)

    def resume(self) -> None:
        self._ask(f"{self._path}/resume", "POST", {})

    # what the cloud does

    def hold(self, *nodes: str) -> None:
        """Whatever these begin to do does not end."""
        self.stage.turn(hold=[called(self.name, one) for one in nodes])

    def let(self, *nodes: str) -> None:
        """It may end now."""
        self.stage.turn(let=[called(self.name, one) for one in nodes])

    def fail(self, *nodes: str) -> None:
        """Creations and changes of these end in error."""
        self.stage.turn(fail=[called(self.name, one) for one in nodes])

    def heal(self, *nodes: str) -> None:
        self.stage.turn(heal=[called(self.name, one) for one in nodes])

    def refuse(self, node: str) -> None:
        """The cloud answers 503 for it."""
        self.stage.cloud.dial(down_resources=[self.id(node)])

    def accept(self) -> None:
        """The cloud answers again."""
        self.stage.cloud.dial(down_resources=[])

    def lose(self, node: str) -> None:
        """Somebody deletes it behind our back."""
        http_json(f"{self.stage.cloud.url}/sim/v1/behind", method="POST",
                  body={"action": "delete", "id": self.id(node), "notify": True})

    # what is waited for

    def until(self, **statuses: str) -> None:
        """Each of these nodes has a copy in that status in the cloud (``GONE``: has none)."""

        def there() -> bool:
            now = {node: [one["status"] for one in self.copies(node)] for node in statuses}
            assert all(status in (now[node] or ["GONE"]) for node, status in statuses.items()), now
            return True

        self._wait(there, f"in the cloud {statuses}")

    def drifted(self, *nodes: str) -> None:
        """The engine knows that these are not as the goal has them."""
        self._wait(lambda: set(self.stage.deployment.api(self._path)["drifted"]) == set(nodes), f"drift of {nodes}")

    def ended(self, status: str, bound: float = BOUND) -> dict[str, Any]:
        """The engine says so."""

        def reached() -> dict[str, Any]:
            stack = self.stage.deployment.api(self._path)
            assert stack["status"] == status, f"{stack['status']} {stack.get('status_reason', '')}"
            return stack

        return self._wait(reached, status, bound)

    def reached(self, status: str, goal: Goal | None = None, *, retained: Collection[str] = (),
                bound: float = BOUND) -> None:
        """The traversal ended so, and the cloud is as the goal has it: by default the one that was given last."""
        stack = self.ended(status, bound)
        wanted = self.goal if goal is None else goal
        self.stage.retained |= set(retained)
        self.alike(wanted, retained=retained)
        nodes = self.stage.deployment.nodes(self.name)
        if wanted:
            known = {one["name"]: one["resource_id"] for one in nodes}
            assert known == self.ids(but=retained), "the engine knows other copies than those that live"
            assert sorted(stack["outputs"]["ids"]) == sorted(known.values())

    def alike(self, goal: Goal, *, retained: Collection[str] = ()) -> None:
        """The cloud is as this goal has it, now."""
        found = differences(goal, self.name, self.stage.truth(), retained=retained)
        assert found == [], f"{found}\n{self.story()}"

    # what is there

    def copies(self, node: str) -> list[Mapping[str, Any]]:
        """What lives in the cloud under the node's name, oldest first."""
        wanted = called(self.name, node)
        return sorted((one for one in live(self.stage.truth(), self.name) if one["name"] == wanted),
                      key=lambda one: one["created"])

    def id(self, node: str) -> str:
        """The id of its only copy."""
        (one,) = self.copies(node)
        return one["id"]

    def ids(self, *, but: Collection[str] = ()) -> dict[str, str]:
        """Node → id of what lives, other than these ids."""
        return {one["name"].removeprefix(f"{self.name}."): one["id"]
                for one in live(self.stage.truth(), self.name) if one["id"] not in but}

    def revisions(self) -> dict[str, int]:
        """Id → how often the resource has changed."""
        return {one["id"]: len(one["revisions"]) for one in live(self.stage.truth(), self.name)}

    def when(self, resource_id: str, status: str) -> float:
        """When, by the cloud's clock, the resource came to this status the last time, be it gone or not."""
        (one,) = self.stage.cloud.get(f"truth?deleted=true&id={resource_id}")["resources"]
        return max(each["time"] for each in one["revisions"] if each["status"] == status)

    def story(self) -> str:
        """What the engine says that it did, for a failing test."""
        with contextlib.suppress(OSError):
            events = self.stage.deployment.api(f"{self._path}/events?limit=500")["events"]
            return "\n".join(json.dumps(event) for event in events[-80:])
        return "the API does not answer"

    def away(self) -> None:
        """From wherever it is, the stack is deleted; nothing of it is left but what it was to leave."""
        if not self.exists:
            return
        self.stage.calm()
        there = self.ids(but=self.stage.retained)
        self.stage.retained |= {there[name] for name, one in self.goal.items() if one.retain and name in there}
        self.delete()
        self.ended("DELETE_COMPLETE", LONG_BOUND)
        mine = {one["id"] for one in live(self.stage.truth(), self.name)}
        self.alike({}, retained=self.stage.retained & mine)

    @property
    def _path(self) -> str:
        return f"/v1/stacks/{self.name}"

    def _ask(self, path: str, method: str, body: object = None) -> Any:
        return self.stage.deployment.api(path, method=method, body=body)

    def _wait(self, check: Any, what: str, bound: float = BOUND) -> Any:
        try:
            return wait_until(check, bound=bound, what=what, interval=0.1)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.story()}") from error
