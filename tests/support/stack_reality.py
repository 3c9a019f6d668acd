"""A cloud, workers and observers around the engine in virtual time, in which anything may go wrong by a seed.

Workers lose jobs before and after the cloud has done them, answer twice or late, and sleep between the confirmation of
an attempt and its create for longer than any lease; the cloud refuses, breaks what it
builds, or takes its time.  What is there is told to the engine by observers, sooner or later.  ``calm``: nothing new
goes wrong, and everything is seen.
"""
from __future__ import annotations

import contextlib
import itertools
import random
from dataclasses import dataclass

import msgspec
import sqlalchemy as sa

from obsvc.engine.schema import core, stacks
from obsvc.engine_client.jobs import Job, JobClaimRequest, JobDone, JobLease, JobReplace
from obsvc.engine_client.stacks import StackCancel, StackRequest, StackUpdate
from obsvc.exceptions import Conflict, NotFound
from obsvc.model import Condition, Ref
from tests.support.stack_life import Life

#: name → (properties, names that it refers to by get_resource)
Goal = dict[str, tuple[dict[str, int], tuple[str, ...]]]

#: More rounds than anything in these tests takes; one that needs more does not end.
MANY = 3000


def text_of(goal: Goal) -> str:
    """The goal as a template: ``ref_x`` refers to x's id, ``attr_x`` to an attribute that x's snapshots show."""
    resources = {}
    for name, (properties, refers) in goal.items():
        ids = {f"ref_{other}": {"get_resource": other} for other in refers}
        attributes = {f"attr_{other}": {"get_attr": [other, "own"]} for other in refers}
        resources[name] = {"type": "Sim::Resource", "properties": {**properties, **ids, **attributes}}
    return msgspec.json.encode({"heat_template_version": "2018-08-31", "resources": resources}).decode()


def random_goal(rng: random.Random, size: int) -> Goal:
    """A goal over some of ``size`` names in an order of its own; each refers to few before it."""
    names = rng.sample([f"n{at}" for at in range(size)], rng.randint(1, size))
    found: Goal = {}
    for at, name in enumerate(names):
        refers = rng.sample(names[:at], min(at, rng.randint(0, 3)))
        found[name] = ({"p": rng.randint(1, 3), "!q": 1 + (rng.random() < 0.3)}, tuple(sorted(refers)))
    rng.shuffle(names)
    return {name: found[name] for name in names}


@dataclass
class Thing:
    """A resource in the cloud."""

    name: str
    marker: str
    properties: dict
    condition: Condition = Condition.PENDING
    stray: bool = False  # made by a worker that had slept: nobody counts on it


class Reality(Life):
    def __init__(self, seed: int, *, failures: float = 0.3, **more) -> None:
        super().__init__(**{"job_attempts": 3, "node_timeout": 600.0, **more})
        self.rng = random.Random(seed)
        self.failures = failures
        self.there: dict[str, Thing] = {}
        self.numbers = itertools.count(1)
        self.held: list[Job] = []
        self.answers: list = []
        self.asleep: list[Job] = []
        self.given: dict[int, Goal] = {0: {}}

    # what users do

    def want(self, goal: Goal, **more) -> None:
        if not self.given.get(1):
            stack = self.create(text_of(goal), **more)
        else:
            stack = self.update_stack(StackUpdate("s", text_of(goal), **more))
        version = self.store.read(lambda tx: tx.execute(sa.select(sa.func.max(stacks.goal.c.version))).scalar())
        self.given[version] = goal
        assert stack.goal in self.given

    def interrupt(self) -> None:
        """Something that a user may do at any moment, other than another goal."""
        request = StackRequest("s")
        what = self.rng.choice([
            lambda: self.rollback_stack(request), lambda: self.cancel_stack(StackCancel("s", rollback=False)),
            lambda: self.cancel_stack(StackCancel("s")), lambda: self.resume_stack(request), lambda: self.delete(),
        ])
        with contextlib.suppress(Conflict):
            what()

    # what happens

    def unlucky(self) -> bool:
        return self.rng.random() < self.failures

    def step(self) -> bool:
        """One thing happens, whatever comes first; False when there was nothing to do but to wait."""
        busy = [self._claim, self._act, self._answer, self._build, self._look, self._wake]
        self.rng.shuffle(busy)
        return any(one() for one in busy)

    def go_on(self, steps: int) -> None:
        for _ in range(steps):
            if not self.step() or self.rng.random() < 0.05:
                self.pass_time(self.rng.choice([1, 5, 30, 70]))

    def settle(self) -> None:
        """Until nothing is under way any more, without anybody's help."""
        for _ in range(MANY):
            if not self.step():
                if not self.asleep and not self.under_way():
                    return
                self.pass_time(30)
        raise AssertionError(f"it does not end: {self.stack()}, {self.statuses()}")

    def under_way(self) -> bool:
        def read(tx):
            open_ = tx.execute(sa.select(sa.func.count()).where(
                stacks.job.c.status.in_(["ready", "leased"]))).scalar_one()
            return open_ or tx.execute(sa.select(sa.func.count()).where(stacks.node.c.carried.is_(True))).scalar_one()
        return bool(self.store.read(read)) or self.stack().status.endswith("_IN_PROGRESS") or (
            "observing" in self.statuses().values())

    def _claim(self) -> bool:
        request = JobClaimRequest("w", tuple(self.resource_types), wait=0, limit=self.rng.randint(1, 4), sweeps=True)
        jobs = self.claim_jobs(request).jobs
        self.held.extend(jobs)
        return bool(jobs)

    def _take(self, some: list):
        return some.pop(self.rng.randrange(len(some))) if some else None

    def _act(self) -> bool:
        """A worker carries a job out that it holds, or some of it."""
        job = self._take(self.held)
        if job is None:
            return False
        if self.unlucky() and self.rng.random() < 0.3:
            return True  # the worker is gone before it has begun
        try:
            self.confirm_attempt(JobLease(job.job_id, job.lease_token))
        except (Conflict, NotFound):
            return True  # the lease is another's
        if job.action == "create" and self.unlucky() and self.rng.random() < 0.3:
            self.asleep.append(job)
            return True
        if job.action != "delete" and self.unlucky():
            error = ("no quota", True) if self.rng.random() < 0.7 else ("bad request", False)
            self._say(lambda: self.fail(job, error[0], retriable=error[1]))
            return True
        result = getattr(self, f"_{job.action}")(job)
        if self.unlucky() and self.rng.random() < 0.3:
            return True  # the cloud has done it, and nobody tells the engine
        tell = self.replace_job if isinstance(result, JobReplace) else self.complete_job
        for _ in range(1 + (self.rng.random() < 0.2)):
            if self.rng.random() < 0.3:
                self.answers.append(lambda: tell(result))
            else:
                self._say(lambda: tell(result))
        return True

    def _wake(self) -> bool:
        """A worker goes on that was stopped just before its create."""
        if not self.asleep or self.rng.random() < 0.8:
            return False
        job = self._take(self.asleep)
        resource_id = f"id-{next(self.numbers)}"
        self.there[resource_id] = Thing(job.node_name, job.marker, job.properties, stray=True)
        done = JobDone(job.job_id, job.lease_token, ref=Ref("R", "sim.resource", resource_id))
        try:
            if self.unlucky():
                return True
            self.complete_job(done)
        except (Conflict, NotFound):
            return True
        self.there[resource_id].stray = False
        return True

    def _say(self, tell) -> None:
        with contextlib.suppress(Conflict, NotFound):
            tell()

    def _answer(self) -> bool:
        late = self._take(self.answers)
        if late is not None:
            self._say(late)
        return late is not None

    def _create(self, job: Job) -> JobDone:
        made = [one for one, thing in self.there.items() if thing.marker == job.marker] if job.attempt > 1 else []
        resource_id = made[0] if made else f"id-{next(self.numbers)}"
        for one in made:
            self.there[one].stray = False
        if not made:
            self.there[resource_id] = Thing(job.node_name, job.marker, job.properties)
        return JobDone(job.job_id, job.lease_token, ref=Ref("R", "sim.resource", resource_id))

    def _update(self, job: Job) -> JobDone | JobReplace:
        fixed = tuple(name for name in sorted({*job.before, *job.properties})
                      if name.startswith("!") and job.before.get(name) != job.properties.get(name))
        if fixed:
            return JobReplace(job.job_id, job.lease_token, fixed)
        thing = self.there.get(job.resource_id)
        if thing is not None:
            thing.properties, thing.condition = job.properties, Condition.PENDING
        return JobDone(job.job_id, job.lease_token, ref=Ref("R", "sim.resource", job.resource_id))

    def _sweep(self, job: Job) -> JobDone:
        for one in [one for one, thing in self.there.items() if thing.marker == job.marker and one != job.resource_id]:
            del self.there[one]
        return JobDone(job.job_id, job.lease_token, gone=True)

    def _delete(self, job: Job) -> JobDone:
        mine = [one for one, thing in self.there.items() if thing.marker == job.marker or one == job.resource_id]
        for one in mine:
            users = [thing.name for thing in self.there.values()
                     if one in thing.properties.values() and not thing.stray]
            assert not users, f"{job.node_name} ({one}) is deleted while {users} use it"
            del self.there[one]
        if job.resource_id is None or self.rng.random() < 0.5:
            return JobDone(job.job_id, job.lease_token, gone=True)
        return JobDone(job.job_id, job.lease_token, ref=Ref("R", "sim.resource", job.resource_id),
                       goal=Condition.DELETED)

    def _build(self) -> bool:
        """What the cloud builds is ready, or broken."""
        building = [thing for thing in self.there.values() if thing.condition is Condition.PENDING]
        if building:
            broken = self.unlucky() and self.rng.random() < 0.3
            self.rng.choice(building).condition = Condition.ERROR if broken else Condition.ACTIVE
        return bool(building)

    def _look(self) -> bool:
        """An observer sees something that it has not told of yet."""
        table = core.resource
        rows = self.store.read(lambda tx: tx.execute(sa.select(
            table.c.region, table.c.resource_type, table.c.resource_id, table.c.condition, table.c.mark)).all())
        news = []
        for row in rows:
            thing = self.there.get(row.resource_id)
            is_now = thing.condition if thing is not None else Condition.DELETED
            if row.condition != is_now or row.mark is not None:
                news.append((Ref(row.region, row.resource_type, row.resource_id), is_now))
        if not news:
            return False
        ref, is_now = self.rng.choice(news)
        self.seen(ref, is_now, attributes={"own": f"of {ref.resource_id}"})
        return True

    # what must be

    def calm(self) -> None:
        """Nothing goes wrong any more; who has failed is told to go on."""
        self.failures = 0.0
        for _ in range(3):
            self.settle()
            if not self.stack().status.endswith("_FAILED"):
                self.sweep()
                return
            self.resume_stack(StackRequest("s"))
        raise AssertionError(f"it fails though nothing goes wrong: {self.stack()}")

    def sweep(self) -> None:
        """Let the time pass in which doubles are looked for."""
        for _ in range(4):
            self.pass_time(self.settings.job_lease + 600)
            self.settle()

    def check(self) -> None:
        """One live copy of every node of the goal, none of any other, each property as the goal resolves it."""
        stack = self.stack()
        assert str(stack.status).endswith("_COMPLETE"), (stack.status, stack.status_reason, stack.nodes)
        goal = {} if stack.status == "DELETE_COMPLETE" else self.given[stack.goal]
        assert sorted(thing.name for thing in self.there.values()) == sorted(goal)
        ids = {thing.name: one for one, thing in self.there.items()}
        for name, (properties, refers) in goal.items():
            wanted = {**properties, **{f"ref_{other}": ids[other] for other in refers},
                      **{f"attr_{other}": f"of {ids[other]}" for other in refers}}
            assert self.there[ids[name]].properties == wanted
        nodes = {name: node for name, node in self.nodes().items() if node.status != "deleted"}
        assert {name: node.resource_id for name, node in nodes.items()} == ids
        assert {name: set(node.requires) for name, node in nodes.items()} == {
            name: set(refers) for name, (_, refers) in goal.items()}
        assert {str(node.status) for node in nodes.values()} <= {"complete"} and self.observed() == len(goal)
