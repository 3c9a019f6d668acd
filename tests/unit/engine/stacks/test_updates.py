"""Another goal for a stack: what is kept, changed in place, replaced, added and removed, and in which order."""
from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from obsvc.engine_client.jobs import JobDone
from obsvc.engine_client.stacks import StackUpdate
from obsvc.exceptions import Conflict, InvalidInput
from obsvc.model import Condition, Ref
from tests.support.examples import examples
from tests.support.stack_goals import BASE, Cloud, Goal, changed, text_of


@pytest.fixture
def cloud():
    return Cloud()


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
@settings(max_examples=examples(40, quick=8), deadline=None, derandomize=True)
def test_whatever_the_goals_in_the_end_there_is_one_live_copy_of_each_node(wanted, seed):
    cloud = Cloud(seed)
    for goal in wanted:
        cloud.reach(goal)
    cloud.delete()
    cloud.run()
    assert cloud.there == {} and cloud.stack().status == "DELETE_COMPLETE"
    cloud.store.close()
