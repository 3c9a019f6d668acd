"""Stacks on each database with many workers, observers and due loops at once: nothing twice, nothing lost."""
from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import random
import threading

import pytest
import sqlalchemy as sa

from obsvc.engine.database import due
from obsvc.engine.database.databases import make_engine
from obsvc.engine.database.store import Store
from obsvc.engine.emitter import Emitter
from obsvc.engine.schema import core
from obsvc.engine_client.jobs import JobDone, JobReplace
from obsvc.engine_client.stacks import StackCancel, StackRequest, StackUpdate
from obsvc.exceptions import Conflict, NotFound, Unavailable
from obsvc.messaging import wire
from obsvc.model import Condition, Ref
from obsvc.process.clock import SystemClock
from tests.support.engine_store import new_store, runs_again
from tests.support.processes.servers import wait_until
from tests.support.stack_life import Life, template
from tests.support.stack_reality import random_goal, text_of


@pytest.fixture
def life(database_url):
    made = Life(store=new_store(clock=SystemClock(), url=database_url), job_retry_initial=0.01)
    yield made
    made.store.close()


def run_all(target, count):
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        for done in [pool.submit(target, number) for number in range(count)]:
            done.result(timeout=120)


def test_no_job_is_leased_twice(life):
    names = [f"n{number}" for number in range(60)]
    life.create(template(**{name: [] for name in names}))
    leased, lock = collections.Counter(), threading.Lock()

    def work(number):
        empty = 0
        while empty < 3:
            jobs = life.claim(limit=3, worker=f"w{number}")
            empty = 0 if jobs else empty + 1
            with lock:
                leased.update(list(jobs))

    run_all(work, 8)
    assert leased == dict.fromkeys(names, 1)


def test_a_stack_ends_whatever_runs_at_once(life):
    """8 threads are worker and observer at once; some creates fail first; events have no gap; then away with it."""
    requires = {f"n{number}": [f"n{other}" for other in {number // 2, number // 3} if other != number]
                for number in range(40)}
    life.create(template(**requires))
    began, lock, over = collections.Counter(), threading.Lock(), threading.Event()

    def work(number):
        while not over.is_set():
            for name, job in life.claim(limit=2, worker=f"w{number}").items():
                if job.action == "create" and job.attempt == 1 and hash(name) % 5 == 0:
                    life.fail(job, "busy", retriable=True)
                    continue
                ref = life.begin(job)
                with lock:
                    began[name, str(job.action)] += 1
                life.seen(ref, Condition.PENDING)
                life.seen(ref, Condition.DELETED if job.action == "delete" else Condition.ACTIVE)
            due.run_due(life.store)

    def ended(what):
        return lambda: life.stack().status == what

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        running = [pool.submit(work, number) for number in range(8)]
        try:
            wait_until(ended("CREATE_COMPLETE"), bound=90, what="the stack is complete")
            life.delete()
            wait_until(ended("DELETE_COMPLETE"), bound=90, what="the stack is deleted")
        finally:
            over.set()
        for one in running:
            one.result(timeout=60)
    assert began == {(name, action): 1 for name in requires for action in ("create", "delete")}
    events = life.events()
    assert [event.event_id for event in events] == list(range(1, len(events) + 1))
    assert life.observed() == 0


class Things:
    """A cloud that many threads use: what each resource was last given, by id."""

    def __init__(self, life):
        self.life = life
        self.there: dict[str, tuple[str, dict]] = {}
        self.lock = threading.Lock()

    def work(self, job) -> None:
        """As a worker and an observer: what is begun is seen to have ended at once."""
        if job.action == "update" and job.before.get("!q") != job.properties.get("!q"):
            self.life.replace_job(JobReplace(job.job_id, job.lease_token, ("!q",)))
            return
        resource_id = job.resource_id or f"id-{job.node_id}"
        with self.lock:
            if job.action == "delete":
                users = [name for name, given in self.there.values() if resource_id in given.values()]
                assert not users, f"{job.node_name} is deleted while {users} use it"
                del self.there[resource_id]
            else:
                self.there[resource_id] = (job.node_name, job.properties)
        ref = Ref("R", "sim.resource", resource_id)
        goal = Condition.DELETED if job.action == "delete" else Condition.ACTIVE
        self.life.complete_job(JobDone(job.job_id, job.lease_token, ref=ref, goal=goal))
        self.life.seen(ref, goal, attributes={"own": f"of {resource_id}"})


@pytest.mark.parametrize("seed", range(2))
def test_goals_that_change_while_many_work(life, seed):
    """6 threads are workers and observers; goals, rollbacks and cancellations come in between; the last one counts."""
    rng, things, over = random.Random(seed), Things(life), threading.Event()

    def work(number):
        while not over.is_set():
            for job in life.claim(limit=2, worker=f"w{number}").values():
                things.work(job)
            due.run_due(life.store)

    def change(goal):
        rng.choice([
            lambda: life.update_stack(StackUpdate("s", text_of(goal))), lambda: life.rollback_stack(StackRequest("s")),
            lambda: life.cancel_stack(StackCancel("s", rollback=False)),
            lambda: life.resume_stack(StackRequest("s")), life.delete,
        ])()

    life.create(text_of(random_goal(rng, 20)))
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        running = [pool.submit(work, number) for number in range(6)]
        try:
            for _ in range(12):
                over.wait(rng.uniform(0.0, 0.3))  # any moment
                with contextlib.suppress(Conflict, NotFound):
                    change(random_goal(rng, 20))
            goal = random_goal(rng, 20)
            with contextlib.suppress(Conflict):
                life.create(text_of(goal))  # where it was deleted meanwhile
            life.update_stack(StackUpdate("s", text_of(goal)))
            wait_until(lambda: life.stack().status == "UPDATE_COMPLETE", bound=120, what="the last goal is reached")
        finally:
            over.set()
        for one in running:
            one.result(timeout=60)
    ids = {name: node.resource_id for name, node in life.nodes().items()}
    assert ids.keys() == goal.keys()
    assert {name: one for one, (name, _) in things.there.items()} == ids and len(things.there) == len(ids)
    for name, (properties, refers) in goal.items():
        assert things.there[ids[name]][1] == {
            **properties, **{f"ref_{other}": ids[other] for other in refers},
            **{f"attr_{other}": f"of {ids[other]}" for other in refers}}
    assert life.observed() == len(goal)


@contextlib.contextmanager
def locking_backwards(store):
    """Somebody takes the locks of obsvc in the opposite order, again and again, in large transactions."""
    over, engine = threading.Event(), make_engine(store.url)
    scratch = sa.Table("scratch", sa.MetaData(), sa.Column("number", sa.Integer))
    scratch.create(engine)

    def run():
        while not over.wait(random.uniform(0, 0.05)):
            with engine.connect() as connection, contextlib.suppress(sa.exc.OperationalError):
                connection.execute(sa.insert(scratch), [{"number": number} for number in range(300)])  # no small victim
                connection.execute(sa.select(core.feed).with_for_update())
                over.wait(random.uniform(0, 0.1))  # others have their locks, and come for this one
                connection.execute(sa.select(core.partition).with_for_update())

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(run)
        try:
            yield
        finally:
            over.set()
            running.result(timeout=60)
            engine.dispose()


@contextlib.contextmanager
def serializable(store):
    """Every transaction at the strictest isolation, where what obsvc reads beside its locks can fail too."""
    store.engine = store.engine.execution_options(isolation_level="SERIALIZABLE")
    yield


@pytest.mark.parametrize(("kind", "disturbance", "why"), [
    ("postgresql", locking_backwards, "deadlock"), ("postgresql", serializable, "serialization"),
    ("mariadb", locking_backwards, "deadlock"), ("mariadb", serializable, "deadlock"),
])
def test_reports_and_updates_of_one_stack_are_run_again_until_they_commit(kind, disturbance, why, request):
    """4 threads are workers and observers of one stack whose goal changes, until a transaction has been run again."""
    life = Life(store=new_store(clock=SystemClock(), url=request.getfixturevalue(f"{kind}_url")),
                job_retry_initial=0.01)
    rng, things, over = random.Random(1), Things(life), threading.Event()
    goal, before = random_goal(rng, 8), runs_again(why)
    life.create(text_of(goal))

    def work(number):
        while not over.is_set():
            for job in life.claim(limit=2, worker=f"w{number}").values():
                things.work(job)
            due.run_due(life.store)

    def changed():
        nonlocal goal
        goal = random_goal(rng, 8)
        life.update_stack(StackUpdate("s", text_of(goal)))
        return runs_again(why) > before

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        running = [pool.submit(work, number) for number in range(4)]
        try:
            with disturbance(life.store):
                wait_until(changed, bound=60, what=f"a {why}", interval=0.1)
            wait_until(lambda: life.stack().status == "UPDATE_COMPLETE", bound=60, what="the last goal is reached")
        finally:
            over.set()
        for one in running:
            one.result(timeout=60)
    ids = {name: node.resource_id for name, node in life.nodes().items()}
    assert ids.keys() == goal.keys()
    assert {name: one for one, (name, _) in things.there.items()} == ids and len(things.there) == len(ids)
    assert life.observed() == len(goal)
    life.store.close()


def test_due_work_is_carried_out_once_by_several_runs(life):
    life.store.run(lambda tx: [due.schedule(tx, "count", f"k{number}", tx.now) for number in range(50)])
    counted, lock = collections.Counter(), threading.Lock()

    @due.handler("count")
    def count(tx, key):
        with lock:
            counted[key] += 1

    try:
        run_all(lambda number: [due.run_due(life.store, 5) for _ in range(30)], 4)
    finally:
        del due._handlers["count"]
    assert len(counted) == 50 and set(counted.values()) == {1}


def test_one_name_is_taken_once(life):
    made, lock = [], threading.Lock()

    def create(number):
        try:
            stack = life.create(template(a=[], b=["a"]), name="same")
        except Conflict:
            return
        with lock:
            made.append(stack.stack_id)

    run_all(create, 6)
    assert len(made) == 1


def test_the_outbox_goes_out_once_each_with_two_emitters(life):
    class Bus:
        def __init__(self):
            self.seen = collections.Counter()

        def publish(self, routing_key, body):
            self.seen[wire.unpack(body)["message_id"]] += 1

    for number in range(30):
        life.create(template(a=[]), name=f"s{number}")
    bus = Bus()
    one = [Emitter(life.store, bus, topic="t", publisher_id="p") for _ in range(2)]
    run_all(lambda number: [one[number].run_once() for _ in range(10)], 2)
    assert len(bus.seen) >= 30 and set(bus.seen.values()) == {1}


def test_the_database_going_away_is_told_as_unavailable_and_work_goes_on_after(postgresql):
    url = postgresql.create_database("away")
    store: Store = new_store(clock=SystemClock(), url=url)
    life = Life(store=store)
    life.create(template(a=[]))
    postgresql.kill()
    with pytest.raises(Unavailable):
        due.run_due(store)
    postgresql.start()
    wait_until(lambda: life.claim(), bound=60, what="jobs are offered again")
    store.close()
