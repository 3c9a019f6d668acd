"""Goals of stacks, and a cloud with workers and observers that reaches them."""
from __future__ import annotations

import itertools
import random

import msgspec

from obsvc.engine_client.jobs import Job, JobDone, JobReplace
from obsvc.engine_client.stacks import StackUpdate
from obsvc.model import Condition, Ref
from tests.support.stack_life import Life

#: name → (properties, names that it refers to by get_resource)
Goal = dict[str, tuple[dict[str, int], tuple[str, ...]]]


def text_of(goal: Goal) -> str:
    """The goal as a template: ``ref_x`` refers to x's id, ``attr_x`` to an attribute that x's snapshots show."""
    resources = {}
    for name, (properties, refers) in goal.items():
        ids = {f"ref_{other}": {"get_resource": other} for other in refers}
        attributes = {f"attr_{other}": {"get_attr": [other, "own"]} for other in refers}
        resources[name] = {"type": "Sim::Resource", "properties": {**properties, **ids, **attributes}}
    return msgspec.json.encode({"heat_template_version": "2018-08-31", "resources": resources}).decode()


class Cloud(Life):
    """A cloud of resources by id, with the properties that they were last given; workers and observers to drive it."""

    def __init__(self, seed: int = 0, **more) -> None:
        super().__init__(**more)
        self.rng = random.Random(seed)
        self.there: dict[str, tuple[str, dict]] = {}
        self.numbers = itertools.count(1)
        self.made: list[str] = []

    def update(self, goal: Goal):
        return self.update_stack(StackUpdate("s", text_of(goal)))

    def work(self, job: Job) -> None:
        """As a worker with the plugin of Sim::Resource; what was begun is seen to have ended at once."""
        if job.action == "delete":
            self.delete_from_cloud(job)
            return
        if job.action == "update":
            fixed = tuple(name for name in sorted({*job.before, *job.properties})
                          if name.startswith("!") and job.before.get(name) != job.properties.get(name))
            if fixed:
                self.replace_job(JobReplace(job.job_id, job.lease_token, fixed))
                return
        resource_id = job.resource_id or f"id-{next(self.numbers)}"
        self.made.append(f"{job.action} {job.node_name}")
        self.there[resource_id] = (job.node_name, job.properties)
        ref = Ref("R", "sim.resource", resource_id)
        self.complete_job(JobDone(job.job_id, job.lease_token, ref=ref))
        self.seen(ref, Condition.ACTIVE, attributes={"own": f"of {resource_id}"})

    def delete_from_cloud(self, job: Job) -> None:
        assert job.resource_id is not None
        users = [name for name, properties in self.there.values() if job.resource_id in properties.values()]
        assert not users, f"{job.node_name} is deleted while {users} use it"
        del self.there[job.resource_id]
        self.made.append("delete")
        self.complete_job(JobDone(job.job_id, job.lease_token, gone=True))

    def run(self) -> None:
        """Until no job is left, in any order."""
        while jobs := list(self.claim(limit=self.rng.randint(1, 4)).values()):
            self.rng.shuffle(jobs)
            for job in jobs:
                self.work(job)

    def reach(self, goal: Goal) -> None:
        """The goal is reached: one live copy of each node, each property as the goal resolves it, none of any other."""
        self.made.clear()
        self.update(goal) if self.there else self.create(text_of(goal))
        self.run()
        self.check(goal)

    def check(self, goal: Goal) -> None:
        stack = self.stack()
        assert str(stack.status).endswith("_COMPLETE"), (stack.status, stack.status_reason, stack.nodes)
        assert sorted(name for name, _ in self.there.values()) == sorted(goal)
        ids = {name: resource_id for resource_id, (name, _) in self.there.items()}
        for name, (properties, refers) in goal.items():
            wanted = {**properties, **{f"ref_{other}": ids[other] for other in refers},
                      **{f"attr_{other}": f"of {ids[other]}" for other in refers}}
            assert self.there[ids[name]][1] == wanted
        nodes = self.nodes()
        assert {name: node.resource_id for name, node in nodes.items()} == ids
        assert {name: set(node.requires) for name, node in nodes.items()} == {
            name: set(refers) for name, (_, refers) in goal.items()}
        assert set(self.statuses().values()) <= {"complete"} and self.observed() == len(goal)


BASE: Goal = {"net": ({"p": 1, "!q": 1}, ()), "port": ({"p": 1}, ("net",)), "server": ({"p": 1}, ("port",))}


def changed(name: str, **properties: int) -> Goal:
    goal = dict(BASE)
    goal[name] = ({**goal[name][0], **properties}, goal[name][1])
    return goal
