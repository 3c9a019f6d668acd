"""Another goal, a rollback, a stop in the middle: moments that matter, one by one."""
from __future__ import annotations

import msgspec
import pytest
import sqlalchemy as sa

from obsvc.engine.schema import stacks as tables
from obsvc.engine_client.jobs import JobClaimRequest, JobDone, JobLease
from obsvc.engine_client.stacks import StackCancel, StackRequest, StackUpdate
from obsvc.exceptions import Conflict
from obsvc.model import Condition, Ref
from tests.support.stack_goals import BASE, Cloud, changed, text_of

WEB = StackRequest("s")


@pytest.fixture
def cloud():
    return Cloud()


def ref(resource_id: str) -> Ref:
    return Ref("R", "sim.resource", resource_id)


def finish(cloud) -> None:
    """Run everything; a delete without a known id finds nothing."""
    while jobs := cloud.claim():
        for job in jobs.values():
            if job.action == "delete" and (job.resource_id is None or job.resource_id not in cloud.there):
                cloud.complete_job(JobDone(job.job_id, job.lease_token, gone=True))
            else:
                cloud.work(job)


def test_an_update_while_a_worker_has_the_create_waits_for_it_and_changes_what_came_of_it(cloud):
    cloud.create(text_of(BASE))
    (create,) = cloud.claim().values()
    assert cloud.update(changed("net", p=2)).status == "UPDATE_IN_PROGRESS"
    assert cloud.claim() == {} and cloud.statuses()["net"] == "scheduled"
    cloud.work(create)
    cloud.run()
    cloud.check(changed("net", p=2))
    assert cloud.made == ["create net", "update net", "create port", "create server"]


def test_an_update_while_the_cloud_builds_waits_for_it(cloud):
    cloud.create(text_of(BASE))
    (job,) = cloud.claim().values()
    cloud.there["id-1"] = ("net", job.properties)
    next(cloud.numbers)
    cloud.complete_job(JobDone(job.job_id, job.lease_token, ref=ref("id-1")))
    cloud.update(changed("port", p=2))
    assert cloud.claim() == {}
    cloud.seen(ref("id-1"), Condition.ACTIVE, attributes={"own": "of id-1"})
    cloud.run()
    cloud.check(changed("port", p=2))
    assert cloud.made == ["create port", "create server"]


def test_a_create_that_breaks_under_another_goal_fails_nothing_and_is_replaced(cloud):
    cloud.create(text_of(BASE))
    (job,) = cloud.claim().values()
    cloud.update(BASE)
    cloud.fail(job, "no such flavor")
    assert cloud.stack().status == "UPDATE_IN_PROGRESS"
    finish(cloud)
    cloud.check(BASE)


def test_a_worker_that_vanished_is_waited_for_until_its_lease_is_over(cloud):
    cloud.create(text_of(BASE))
    cloud.claim()
    cloud.update(BASE)
    cloud.pass_time(cloud.settings.job_lease + 1)
    finish(cloud)
    cloud.check(BASE)


def test_an_update_without_a_known_end_is_sent_again_though_its_properties_are_the_last_known_ones(cloud):
    cloud.reach(BASE)
    cloud.update(changed("port", p=2))
    (job,) = cloud.claim().values()
    cloud.there[job.resource_id] = ("port", job.properties)  # the cloud has done it, and the worker is gone
    cloud.made.clear()
    cloud.update(BASE)
    cloud.pass_time(cloud.settings.job_lease + 1)
    cloud.run()
    cloud.check(BASE)
    assert cloud.made == ["update port"]


def test_an_update_refused_half_way_is_sent_again(cloud):
    cloud.reach(BASE)
    cloud.update(changed("port", p=2))
    (job,) = cloud.claim().values()
    cloud.there[job.resource_id] = ("port", job.properties)
    cloud.fail(job, "504")
    cloud.update(BASE)
    cloud.run()
    cloud.check(BASE)


def test_two_updates_in_a_row(cloud):
    cloud.reach(BASE)
    cloud.update({**changed("net", **{"!q": 2}), "disk": ({"p": 1}, ())})
    cloud.update(changed("net", p=3))
    cloud.made.clear()
    cloud.run()
    cloud.check(changed("net", p=3))
    assert cloud.made == ["update net"] and cloud.stack().goal == 3


def test_an_update_in_the_middle_of_a_deletion(cloud):
    cloud.reach(BASE)
    cloud.delete()
    (job,) = cloud.claim().values()
    assert (job.node_name, job.action) == ("server", "delete")
    goal = {**BASE, "disk": ({"p": 1}, ("server",))}
    cloud.update(goal)
    cloud.made.clear()
    cloud.work(job)
    cloud.run()
    cloud.check(goal)
    assert cloud.made == ["delete", "create server", "create disk"]


def test_a_rollback_goes_back_to_the_copies_that_there_were(cloud):
    cloud.reach(BASE)
    before = {name: node.resource_id for name, node in cloud.nodes().items()}
    cloud.update(changed("net", **{"!q": 2}))
    for _ in range(2):  # refused by the plugin, then made anew
        for job in cloud.claim().values():
            cloud.work(job)
    assert "create net" in cloud.made and len(cloud.there) == 4
    stack = cloud.rollback_stack(WEB)
    assert (stack.status, stack.goal) == ("ROLLBACK_IN_PROGRESS", 1)
    assert cloud.rollback_stack(WEB).traversal == stack.traversal
    cloud.run()
    cloud.check(BASE)
    assert {name: node.resource_id for name, node in cloud.nodes().items()} == before
    with pytest.raises(Conflict, match="ROLLBACK_COMPLETE: it is at the last goal"):
        cloud.rollback_stack(WEB)
    cloud.reach(changed("port", p=2))
    assert cloud.stack().goal == 3


def test_a_failed_update_rolls_back_by_itself_where_that_is_wanted(cloud):
    cloud.reach(BASE)
    cloud.update_stack(StackUpdate("s", text_of({**changed("net", p=2), "disk": ({"p": 1}, ())}),
                                   disable_rollback=False))
    jobs = cloud.claim()
    cloud.fail(jobs["disk"], "no quota")
    stack = cloud.stack()
    assert (stack.status, stack.goal) == ("ROLLBACK_IN_PROGRESS", 1)
    assert [event.event for event in cloud.events()].count("stack.update.error") == 1
    cloud.work(jobs["net"])
    finish(cloud)
    cloud.check(BASE)
    assert cloud.stack().status == "ROLLBACK_COMPLETE" and "obsvc.stack.rollback.end" in cloud.emitted()


def test_a_failed_creation_rolls_back_to_nothing_and_takes_another_goal(cloud):
    cloud.create(text_of(BASE), disable_rollback=False)
    for job in cloud.claim().values():
        cloud.work(job)
    cloud.fail(cloud.claim()["port"], "no quota")
    finish(cloud)
    stack = cloud.stack()
    assert (stack.status, stack.goal, stack.nodes) == ("ROLLBACK_COMPLETE", 0, {}) and cloud.there == {}
    cloud.update(BASE)
    cloud.run()
    cloud.check(BASE)


def test_the_time_of_a_stack_that_is_over_rolls_it_back(cloud):
    cloud.reach(BASE)
    cloud.update_stack(StackUpdate("s", text_of(changed("net", p=2)), timeout=100, disable_rollback=False))
    cloud.pass_time(101)
    assert cloud.stack().status == "ROLLBACK_IN_PROGRESS"
    cloud.run()
    cloud.check(BASE)


def test_cancelled_it_stays_where_it_is_and_can_be_resumed(cloud):
    cloud.reach(BASE)
    goal = {**changed("net", p=2), "disk": ({"p": 1}, ("server",))}
    cloud.update_stack(StackUpdate("s", text_of(goal), disable_rollback=False))
    (job,) = cloud.claim().values()
    stack = cloud.cancel_stack(StackCancel("s", rollback=False))
    assert (stack.status, stack.status_reason) == ("UPDATE_FAILED", "cancelled")
    cloud.work(job)
    assert cloud.claim() == {} and cloud.stack().status == "UPDATE_FAILED"
    with pytest.raises(Conflict, match="nothing to cancel"):
        cloud.cancel_stack(StackCancel("s"))
    resumed = cloud.resume_stack(WEB)
    assert (resumed.status, resumed.goal) == ("UPDATE_IN_PROGRESS", 2)
    cloud.run()
    cloud.check(goal)
    with pytest.raises(Conflict, match="nothing to resume"):
        cloud.resume_stack(WEB)


def test_cancelled_with_rollback(cloud):
    cloud.reach(BASE)
    cloud.update(changed("net", p=2))
    cloud.cancel_stack(StackCancel("s"))
    cloud.run()
    cloud.check(BASE)
    assert cloud.stack().status == "ROLLBACK_COMPLETE"


def test_a_failed_creation_resumed_keeps_what_is_there(cloud):
    cloud.create(text_of(BASE))
    for job in cloud.claim().values():
        cloud.work(job)
    cloud.fail(cloud.claim()["port"], "no quota")
    assert cloud.resume_stack(WEB).status == "CREATE_IN_PROGRESS"
    finish(cloud)
    cloud.check(BASE)
    assert cloud.stack().status == "CREATE_COMPLETE" and cloud.made.count("create net") == 1


def retaining(goal, *names: str) -> str:
    template = msgspec.json.decode(text_of(goal))
    for name in names:
        template["resources"][name]["deletion_policy"] = "Retain"
    return msgspec.json.encode(template).decode()


def test_what_is_to_be_retained_stays_when_it_is_replaced_removed_and_its_stack_deleted(cloud):
    goal = {"a": ({"!q": 1}, ()), "b": ({"p": 1}, ()), "c": ({"p": 1}, ("b",))}
    cloud.create(retaining(goal, "a", "b"))
    cloud.run()
    cloud.update_stack(StackUpdate("s", retaining({**goal, "a": ({"!q": 2}, ())}, "a", "b")))
    cloud.run()
    assert sorted(name for name, _ in cloud.there.values()) == ["a", "a", "b", "c"]
    cloud.update_stack(StackUpdate("s", retaining({"a": ({"!q": 2}, ())}, "a")))
    cloud.run()
    assert sorted(name for name, _ in cloud.there.values()) == ["a", "a", "b"]
    cloud.delete()
    cloud.run()
    cloud.pass_time(1)
    assert cloud.stack().status == "DELETE_COMPLETE" and cloud.observed() == 0
    assert sorted(name for name, _ in cloud.there.values()) == ["a", "a", "b"]


def test_a_preview_says_what_an_update_would_do_and_does_nothing(cloud):
    cloud.reach({**BASE, "old": ({"p": 1}, ("net",)), "kept": ({"p": 1}, ())})
    goal = {**changed("net", **{"!q": 2}), "disk": ({"p": 1}, ("server",)), "kept": ({"p": 1}, ())}
    cloud.needs_replacement = lambda kind, before, after: tuple(
        name for name in after if name.startswith("!") and before.get(name) != after[name])
    plan = cloud.preview_stack(StackUpdate("s", text_of(goal))).nodes
    assert {node.name: (str(node.change), node.properties) for node in plan} == {
        "kept": ("none", ()), "net": ("replace", ("!q",)), "port": ("update", ("attr_net", "ref_net")),
        "server": ("none", ()), "disk": ("create", ()), "old": ("delete", ())}
    assert plan[-1].name == "old" and cloud.stack().goal == 1 and cloud.claim() == {}
    cloud.update(goal)
    cloud.made.clear()
    cloud.run()
    assert sorted(cloud.made) == ["create disk", "create net", "delete", "delete", "update port"]


def sweeps(cloud):
    request = JobClaimRequest("w", tuple(cloud.resource_types), wait=0, limit=9, sweeps=True)
    return [job for job in cloud.claim_jobs(request).jobs if job.action == "sweep"]


def test_a_refused_create_has_its_doubles_looked_for_at_once_and_again_later(cloud):
    cloud.create(text_of({"net": BASE["net"]}))
    (slept,) = cloud.claim().values()
    cloud.confirm_attempt(JobLease(slept.job_id, slept.lease_token))
    cloud.pass_time(cloud.settings.job_lease + 1)
    cloud.run()
    with pytest.raises(Conflict):
        cloud.complete_job(JobDone(slept.job_id, slept.lease_token, ref=ref("double")))
    cloud.pass_time(0)
    (job,) = sweeps(cloud)
    assert (job.marker, job.resource_id) == (slept.marker, cloud.nodes()["net"].resource_id)
    assert job.properties == slept.properties
    cloud.complete_job(JobDone(job.job_id, job.lease_token, gone=True))
    cloud.pass_time(cloud.settings.marker_sweep_pause - 1)
    assert sweeps(cloud) == []
    cloud.pass_time(2)
    assert len(sweeps(cloud)) == 1 and cloud.stack().status == "CREATE_COMPLETE"


def test_doubles_are_looked_for_when_the_copy_itself_is_gone_until_the_retention_is_over(cloud):
    cloud.reach(BASE)
    cloud.update({**BASE, "disk": ({"p": 1}, ())})
    (job,) = cloud.claim().values()
    cloud.update(BASE)
    cloud.pass_time(cloud.settings.job_lease + 1)
    finish(cloud)
    cloud.check(BASE)
    assert cloud.stack().nodes == {"complete": 3}
    seen = 0
    for _ in range(60):
        for sweep in sweeps(cloud):
            assert (sweep.marker, sweep.resource_id) == (job.marker, None)
            seen += 1
            cloud.complete_job(JobDone(sweep.job_id, sweep.lease_token, gone=True))
        cloud.pass_time(cloud.settings.retention / 20)
    rows = cloud.store.read(lambda tx: tx.execute(sa.select(sa.func.count()).select_from(tables.node)).scalar())
    assert seen > 3 and rows == 3
