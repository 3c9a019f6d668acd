"""The world's agenda and what it shows; the dials' distributions; the outgoing buffer."""
from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obsvc.exceptions import InvalidInput
from obsvc.process.clock import ManualClock
from obsvc.simcloud.dials import BuildTime, Dials, Panel, parse_build_time, turned
from obsvc.simcloud.notify import Notice, Notifier
from obsvc.simcloud.services.nova.courses import server_status, servers
from obsvc.simcloud.stats import caller_of
from obsvc.simcloud.world import World


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def world(clock) -> World:
    return World(clock, Panel(Dials()), seed=1)


def test_steps_run_in_time_order_and_equal_ones_as_planned(world, clock):
    ran = []
    for name, seconds in (("c", 2.0), ("a", 1.0), ("b", 1.0)):
        world.after(seconds, lambda name=name: ran.append(name))
    assert world.run_due() == pytest.approx(1.0)
    clock.advance(1.0)
    assert world.run_due() == pytest.approx(1.0)
    assert ran == ["a", "b"]
    clock.advance(5.0)
    assert world.run_due() is None
    assert ran == ["a", "b", "c"]


def test_a_new_course_ends_the_old_one(world, clock):
    thing = world.add("t", {"id": "1", "status": "NEW"}, project_id="p")
    first = world.begin(thing)
    world.after(1.0, lambda: world.change(thing, {"status": "OLD"}), course=(thing, first))
    second = world.begin(thing)
    world.after(2.0, lambda: world.change(thing, {"status": "NEWER"}), course=(thing, second))
    clock.advance(3.0)
    world.run_due()
    assert [each.status for each in thing.revisions] == ["NEW", "NEWER"]


def test_nothing_happens_to_what_is_gone(world, clock):
    thing = world.add("t", {"id": "1", "status": "NEW"}, project_id="p")
    course = world.begin(thing)
    world.after(1.0, lambda: world.change(thing, {"status": "BACK"}), course=(thing, course))
    world.remove(thing)
    world.remove(thing)
    clock.advance(2.0)
    world.run_due()
    world.change(thing, {"status": "BACK"})
    assert [each.status for each in thing.revisions] == ["NEW", "DELETED"]
    assert (world.get("t", "1"), world.shown("t", "1"), world.listed("t")) == (None, None, [])


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5)), max_size=12), st.floats(0, 20))
def test_the_api_shows_the_newest_revision_that_is_visible(moves, look_after):
    """moves: (pause before a change, api_behind at it)."""
    clock = ManualClock()
    panel = Panel(Dials())
    world = World(clock, panel)
    thing = world.add("t", {"id": "1", "status": "0"}, project_id="p")
    for number, (pause, behind) in enumerate(moves, 1):
        clock.advance(pause)
        panel.turn({"api_behind": behind})
        world.change(thing, {"status": str(number)})
    clock.advance(look_after)
    shown = world.shown("t", "1")[1]["status"]
    # Changes become visible in their order: one that is late holds back those after it.
    expected = "0"
    for revision in thing.revisions[1:]:
        if revision.visible_at > clock.time():
            break
        expected = revision.status
    assert shown == expected
    assert world.last_shown("1") == int(shown) + 1
    assert world.last_shown("1") is None


@given(st.sampled_from(["fixed", "uniform", "lognormal"]), st.floats(0, 50), st.floats(0, 50), st.integers())
def test_build_times_are_within_their_bounds(distribution, seconds, more, seed):
    build = BuildTime(distribution, seconds, seconds + more)
    drawn = build.draw(random.Random(seed))
    assert drawn >= 0
    if distribution == "fixed":
        assert drawn == seconds
    elif distribution == "uniform":
        assert seconds <= drawn <= seconds + more
    elif seconds + more > 0:
        assert drawn <= seconds + more


@pytest.mark.parametrize(("text", "build"), [
    ("2.5", BuildTime("fixed", 2.5)),
    ("fixed:1", BuildTime("fixed", 1.0)),
    ("uniform:1,4", BuildTime("uniform", 1.0, 4.0)),
    ("lognormal:2,0.5", BuildTime("lognormal", 2.0, 0.0, 0.5)),
    ("lognormal:2,0.5,9", BuildTime("lognormal", 2.0, 9.0, 0.5)),
])
def test_build_times_are_read(text, build):
    assert parse_build_time(text) == build


@pytest.mark.parametrize("text", ["", "x", "uniform:4,1", "uniform:1", "fixed:-1", "lognormal:1", "normal:1,2", "1,2"])
def test_wrong_build_times_are_refused(text):
    with pytest.raises(InvalidInput):
        parse_build_time(text)


def test_part_of_a_build_time_can_be_turned():
    dials = turned(Dials(build=BuildTime("uniform", 1.0, 4.0)), {"build": {"most": 9.0}})
    assert dials.build == BuildTime("uniform", 1.0, 9.0)


@pytest.mark.parametrize(("agent", "user", "caller"), [
    ("obsvc/0.1.0 (observer obs-1)", "obsvc", "observer obs-1"),
    ("obsvc/0.1.0 (worker w-1) keystoneauth1/5.9 python-requests/2.32 CPython/3.11", None, "worker w-1"),
    ("python-requests/2.32 (linux) obsvc/1 (api)", None, "api"),
    ("Mozilla/5.0 (X11; Linux)", "admin", "admin"),
    (None, None, "-"),
    ("obsvc/0.1.0 ()", "demo", "demo"),
])
def test_the_caller_is_what_the_agent_says_in_parentheses(agent, user, caller):
    assert caller_of(agent, user) == caller


def _notice(number: int) -> Notice:
    return Notice("x", "p", f"event.{number}", {})


def test_a_full_buffer_drops_the_oldest_and_counts(clock):
    notifier = Notifier(lambda *_: None, clock, Panel(Dials()), buffer=3)
    for number in range(5):
        notifier.emit(_notice(number))
    assert (notifier.waiting, notifier.counts.dropped, notifier.counts.emitted) == (3, 2, 5)
    taken = []
    while (message := notifier.take()) is not None:
        taken.append(b"event.4" in message.body or b"event.3" in message.body or b"event.2" in message.body)
        notifier.done(message)
    assert taken == [True] * 3


def test_a_message_stays_until_it_is_confirmed(clock):
    notifier = Notifier(lambda *_: None, clock, Panel(Dials()))
    notifier.emit(_notice(1))
    assert notifier.take() is notifier.take()
    notifier.done(notifier.take())
    assert notifier.take() is None and notifier.counts.published == 1


def test_the_log_of_notifications_pages(clock):
    notifier = Notifier(None, clock, Panel(Dials()))
    for number in range(5):
        notifier.emit(_notice(number))
    assert [each.event_type for each in notifier.log(0, 2)] == ["event.0", "event.1"]
    assert [each.seq for each in notifier.log(3, 10)] == [4, 5]
    assert notifier.waiting == 0


def test_every_course_is_whole_and_in_order():
    for name, course in servers().items():
        moments = [when for step in course.steps for when, _, _ in step.messages]
        assert course.takes > 0 and min(moments) == 0.0 and max(moments) == 1.0, name
        starts = [step.messages[0][0] for step in course.steps]
        assert starts == sorted(starts), name
    assert servers()["create"].messages == 22
    assert servers()["delete"].messages == 12


@pytest.mark.parametrize(("vm_state", "task", "status"), [
    ("building", "spawning", "BUILD"), ("active", None, "ACTIVE"), ("active", "rebooting_hard", "HARD_REBOOT"),
    ("active", "resize_prep", "RESIZE"), ("resized", None, "VERIFY_RESIZE"), ("stopped", None, "SHUTOFF"),
    ("deleted", None, "DELETED"), ("strange", None, "UNKNOWN"),
])
def test_the_status_follows_from_state_and_task(vm_state, task, status):
    assert server_status(vm_state, task) == status
