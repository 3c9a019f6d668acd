"""Another goal for a stack: what is kept, changed in place, replaced, added and removed, and in which order."""
from __future__ import annotations

import itertools
import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from obsvc.engine_client.jobs import Job, JobDone, JobReplace
from obsvc.engine_client.stacks import StackUpdate
from obsvc.exceptions import Conflict, InvalidInput
from obsvc.model import Condition, Ref
from tests.unit.engine.stacks.life import Life

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


@pytest.fixture
def cloud():
    return Cloud()


BASE: Goal = {"net": ({"p": 1, "!q": 1}, ()), "port": ({"p": 1}, ("net",)), "server": ({"p": 1}, ("port",))}


def changed(name: str, **properties: int) -> Goal:
    goal = dict(BASE)
    goal[name] = ({**goal[name][0], **properties}, goal[name][1])
    return goal


def test_the_same_goal_again_costs_no_request(cloud):
    cloud.reach(BASE)
    cloud.reach(BASE)
    assert cloud.made == [] and cloud.stack().status == "UPDATE_COMPLETE" and cloud.stack().goal == 2


def test_a_change_in_place_touches_that_node_alone(cloud):
    cloud.reach(BASE)
    cloud.reach(changed("port", p=2))
    assert cloud.made == ["update port"]


def test_dependents_follow_a_replaced_resource_and_the_old_copy_goes_last(cloud):
    cloud.reach(BASE)
    cloud.reach(changed("net", **{"!q": 2}))
    assert cloud.made == ["create net", "update port", "delete"]
    events = [event.event for event in cloud.events()]
    assert "node.replaced" in events and events.count("stack.update.cleanup") == 1


def test_what_is_added_is_made_and_what_is_removed_goes_in_reverse_order(cloud):
    cloud.reach(BASE)
    cloud.reach({"net": BASE["net"], "disk": ({"p": 1}, ("net",))})
    assert cloud.made == ["create disk", "delete", "delete"]


def test_inverted_dependencies(cloud):
    cloud.reach({"a": ({"!q": 1}, ()), "b": ({"!q": 1}, ("a",))})
    cloud.reach({"a": ({"!q": 2}, ("b",)), "b": ({"!q": 2}, ())})


def test_another_type_is_another_resource(cloud):
    cloud.reach(BASE)
    text = text_of(BASE).replace('"port":{"type":"Sim::Resource"', '"port":{"type":"Sim::Other"')
    cloud.update_stack(StackUpdate("s", text))
    cloud.made.clear()
    cloud.run()
    cloud.check(BASE)
    assert cloud.made == ["create port", "update server", "delete"]


def test_an_update_is_refused_whole_and_once_the_stack_is_deleted(cloud):
    cloud.reach(BASE)
    with pytest.raises(InvalidInput, match="resources.port"):
        cloud.update_stack(StackUpdate("s", text_of(BASE).replace('"get_resource":"net"', '"get_resource":"none"')))
    cloud.check(BASE)
    cloud.delete()
    cloud.run()
    with pytest.raises(Conflict, match="is deleted: create it anew"):
        cloud.update_stack(StackUpdate(cloud.stack().stack_id, text_of(BASE)))


def test_a_failed_update_is_continued_by_the_next(cloud):
    cloud.reach(BASE)
    goal = {**changed("net", **{"!q": 2}), "disk": ({"p": 1}, ())}
    cloud.update(goal)
    jobs = cloud.claim()
    cloud.fail(jobs.pop("disk"))
    for job in jobs.values():
        cloud.work(job)
    cloud.run()
    assert cloud.stack().status == "UPDATE_FAILED" and "disk" in cloud.stack().status_reason
    assert len(cloud.there) == 4  # the clean-up has not begun: it belongs to the next traversal
    # the create of disk was begun: what it may have left is looked for by its marker when it is cleaned up
    cloud.update(goal)
    while jobs := cloud.claim():
        for job in jobs.values():
            if job.action == "delete" and job.resource_id is None:
                cloud.complete_job(JobDone(job.job_id, job.lease_token, gone=True))
            else:
                cloud.work(job)
    cloud.check(goal)


def test_a_resource_that_is_gone_is_made_anew_by_an_update(cloud):
    cloud.reach(BASE)
    gone = cloud.nodes()["port"].resource_id
    del cloud.there[gone]
    cloud.seen(Ref("R", "sim.resource", gone), Condition.DELETED)
    cloud.update(BASE)
    while jobs := cloud.claim():
        for job in jobs.values():
            if job.action == "delete":
                cloud.complete_job(JobDone(job.job_id, job.lease_token, gone=True))
            else:
                cloud.work(job)
    cloud.check(BASE)


@pytest.mark.parametrize("seed", range(4))
def test_a_deletion_in_the_middle_of_an_update_leaves_nothing(seed):
    cloud = Cloud(seed)
    cloud.reach(BASE)
    cloud.update({**changed("net", **{"!q": 2}), "disk": ({"p": 1}, ("server",))})
    for _ in range(seed):
        for job in cloud.claim(limit=1).values():
            cloud.work(job)
    leased = cloud.claim(limit=1) if seed % 2 else {}
    cloud.delete()
    for job in leased.values():
        cloud.work(job)
    cloud.run()
    assert cloud.there == {} and cloud.stack().status == "DELETE_COMPLETE" and cloud.observed() == 0


def test_an_update_that_a_worker_has_when_the_deletion_begins_is_awaited(cloud):
    cloud.reach(BASE)
    cloud.update(changed("port", p=2))
    (job,) = cloud.claim().values()
    cloud.delete()
    cloud.work(job)
    cloud.run()
    assert job.action == "update" and cloud.there == {} and cloud.stack().status == "DELETE_COMPLETE"


def test_what_a_copy_was_made_with_once_orders_nothing_when_it_no_longer_has_it(cloud):
    cloud.reach({"a": ({"p": 1}, ()), "b": ({"p": 1}, ("a",))})
    cloud.reach({"a": ({"p": 1}, ("b",)), "b": ({"p": 1}, ())})
    cloud.delete()
    cloud.run()
    assert cloud.there == {} and cloud.stack().status == "DELETE_COMPLETE"


@st.composite
def goals(draw) -> Goal:
    """A goal over some of six names; each may refer to those before it in an order of its own."""
    names = draw(st.permutations("abcdef"))[: draw(st.integers(1, 6))]
    found: Goal = {}
    for at, name in enumerate(names):
        properties = {"p": draw(st.integers(1, 3)), "!q": draw(st.integers(1, 2))}
        refers = draw(st.sets(st.sampled_from(names[:at]), max_size=3)) if at else set()
        found[name] = (properties, tuple(sorted(refers)))
    return dict(draw(st.permutations(sorted(found.items()))))


@given(st.lists(goals(), min_size=2, max_size=4), st.integers(0, 9))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_whatever_the_goals_in_the_end_there_is_one_live_copy_of_each_node(wanted, seed):
    cloud = Cloud(seed)
    for goal in wanted:
        cloud.reach(goal)
    cloud.delete()
    cloud.run()
    assert cloud.there == {} and cloud.stack().status == "DELETE_COMPLETE"
    cloud.store.close()
