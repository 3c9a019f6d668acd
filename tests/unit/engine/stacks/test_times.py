"""Deadlines, last looks, periodic progress and retention of stacks."""
from __future__ import annotations

from obsvc.engine.database import due
from obsvc.engine.schema.stacks import outbox
from obsvc.engine_client.jobs import JobDone
from obsvc.model import Condition, Ref
from obsvc.process.clock import ManualClock
from tests.support.stack_life import template


def test_a_stacks_own_deadline_fails_it_and_begins_nothing_more(life):
    life.create(template(a=[], b=["a"], x=[]), timeout=100)
    ref = life.begin(life.claim(limit=1)["a"])
    life.pass_time(101)
    assert life.stack().status == "CREATE_FAILED" and "timed out after 100 s; it waited for a, x" in (
        life.stack().status_reason)
    life.seen(ref, Condition.ACTIVE)
    assert life.claim() == {} and life.statuses() == {"a": "complete", "b": "waiting", "x": "failed"}
    life.delete()
    life.seen(life.begin(life.claim()["a"]), Condition.DELETED)
    assert life.stack().status == "DELETE_COMPLETE"


def test_a_stacks_deadline_survives_a_clock_that_is_set_back(life):
    life.create(template(a=[]), timeout=100)
    life.clock.advance(101)
    claim, rows = life.store.run(lambda tx: due._claim(tx, 100))
    life.store.clock = ManualClock(life.clock.time() - 50)  # set back between the claim and the run
    for row in rows:
        due._carry_out(life.store, claim, row)
    life.store.clock = life.clock
    life.pass_time(51)
    assert life.stack().status == "CREATE_FAILED"


def test_a_node_that_never_gets_there_fails_after_its_time_and_one_last_look(life):
    life.create(template(a=[], b=["a"]))
    job = life.claim()["a"]
    ref = Ref("R", "sim.resource", "id-a")
    life.complete_job(JobDone(job.job_id, job.lease_token, ref=ref, timeout=120))
    life.seen(ref, Condition.PENDING, "BUILD")
    life.pass_time(121)
    assert life.stack().status == "CREATE_IN_PROGRESS"
    life.pass_time(life.settings.last_look_grace + 1)
    assert life.nodes()["a"].status_reason == "timed out after 137 s waiting for active; last seen BUILD"
    assert life.stack().status == "CREATE_FAILED" and life.statuses()["b"] == "waiting"
    life.delete()
    life.begin(life.claim()["a"])
    life.seen(ref, Condition.DELETED)
    assert life.stack().status == "DELETE_COMPLETE"


def test_the_last_look_can_still_meet_the_goal(life):
    life.create(template(a=[]))
    job = life.claim()["a"]
    ref = Ref("R", "sim.resource", "id-a")
    life.complete_job(JobDone(job.job_id, job.lease_token, ref=ref, timeout=120))
    life.pass_time(121)
    life.seen(ref, Condition.ACTIVE)
    life.pass_time(60)
    assert life.stack().status == "CREATE_COMPLETE"


def test_progress_is_told_periodically_and_a_stall_names_what_is_waited_for(life):
    life.create(template(a=[], b=["a"]))
    life.begin(life.claim()["a"])
    life.pass_time(61)
    assert life.emitted()[-1] == "obsvc.stack.progress"
    for _ in range(5):
        life.pass_time(61)
    assert life.emitted()[-1] == "obsvc.stack.stalled"
    last = life.store.read(lambda tx: tx.execute(outbox.select().order_by(outbox.c.outbox_id.desc())).first())
    assert '"node":"a"' in last.payload and '"resource_id":"id-a"' in last.payload and '"since":' in last.payload
    assert "waiting for a" in life.events()[-1].reason
    count = len(life.emitted())
    life.seen(Ref("R", "sim.resource", "id-a"), Condition.ACTIVE)
    life.seen(life.begin(life.claim()["b"]), Condition.ACTIVE)
    ended = len(life.emitted())
    assert ended > count
    life.pass_time(200)
    assert len(life.emitted()) == ended


def test_events_of_a_stack_that_lives_on_are_forgotten_after_the_retention(life):
    life.create(template(a=[]))
    ref = life.begin(life.claim()["a"])
    life.seen(ref, Condition.ACTIVE)
    first = life.events()[-1].event_id
    life.pass_time(life.settings.retention / 2)
    life.seen(ref, Condition.ERROR)
    life.pass_time(life.settings.retention / 2)
    for _ in range(2):
        life.pass_time(86400)
    kept = [event.event_id for event in life.events()]
    assert kept == [first + 1] and life.events(after=first)[0].event == "stack.drift"
