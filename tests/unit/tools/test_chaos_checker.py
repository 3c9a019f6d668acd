"""The chaos suite's checker on hand-made histories: a clean one passes, each violation is reported as what it is."""
import copy
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from obsvc.model import partition_of_id
from tests.chaos import check, schedule, unguarded
from tests.chaos.findings import INVARIANTS
from tests.chaos.history import History, read_lines
from tests.chaos.proxy import MODES

P = 2
A, B = "a@1", "b@2"
MEMBER_A = {"name": "a", "incarnation": "1"}
ONE, TWO = "one", "two"
MARKED = {"obsvc_marker": "m1"}

Change = Callable[[dict[str, Any]], None]


def _note(kind: str, order: int, **fields: Any) -> dict[str, Any]:
    return {"kind": kind, "t": float(order), "order": order, **fields}


def _owner(order: int, partition: int, before: int, generation: int, old: str | None, new: str | None) -> Any:
    return _note("owner", order, partition=partition, before=before, generation=generation, **{"from": old, "to": new},
                 why="x")


def _written(order: int, of: str, generation: int, sequence: int, before: tuple[int, int], by: str,
             *, exists: bool = True) -> dict[str, Any]:
    return _note("written", order, id=of, type="sim.resource", partition=partition_of_id(of, P), generation=generation,
                 sequence=sequence, before=before[0], sequence_before=before[1], by=by, verdict="accepted",
                 exists=exists, condition="active", granted=generation, owner=by)


def _clean() -> dict[str, Any]:
    """The events of a history in which all is well, by a name for each."""
    of_one, of_two = partition_of_id(ONE, P), partition_of_id(TWO, P)
    assert of_one != of_two
    report = {"ref": ["R", "sim.resource", ONE], "partition": of_one, "generation": 2, "sequence": 3}
    return {
        "run": _note("run", 0, partitions=P),
        "began": _note("began", 1, threads={"observer-1": 20}),
        "grant_1": _owner(2, of_one, 0, 1, None, A),
        "grant_2": _owner(3, of_two, 0, 1, None, A),
        "written_1": _written(4, ONE, 1, 1, (0, 0), A),
        "release": _owner(5, of_one, 1, 1, A, None),
        "grant_again": _owner(6, of_one, 1, 2, None, A),
        "written_2": _written(7, ONE, 2, 3, (1, 1), A),
        "deleted": _written(8, TWO, 1, 4, (0, 0), A, exists=False),
        "claim": _note("answered", 9, op="claim", request={"member": MEMBER_A},
                       reply={"grants": [{"partition": of_one, "generation": 2}]}),
        "report": _note("answered", 10, op="report", request={"member": MEMBER_A, "reports": [report]},
                        reply={"outcomes": [{"verdict": "accepted", "version": 1}]}),
        "duty": _note("answered", 10, op="begin_duty", reply={"verdict": "accepted"},
                      request={"member": MEMBER_A, "name": ONE, "generation": 2}),
        "delta": _note("delta", 11, version=1, id=ONE),
        "assigned_1": _note("assigned", 12, who="a", names=["a", "b"], partitions=P, digest="d"),
        "assigned_2": _note("assigned", 13, who="b", names=["a", "b"], partitions=P, digest="d"),
        "fetched_1": _note("fetched", 15, who="a", pid=1, began=14.0, refs=[["R", "sim.resource", ONE]]),
        "fetched_2": _note("fetched", 16, who="a", pid=1, began=15.0, refs=[["R", "sim.resource", ONE]]),
        "look": _note("look", 15, who="a", pid=1, ref=["R", "sim.resource", ONE], cause="notified", attempt=1),
        "fault": _note("fault", 20, id=1, number=6, variant="restart", target="", detail="", alone=True, settled=True),
        "fault_over": _note("fault_over", 30, id=1),
        "started": _note("started", 31, id=ONE, observation="o1"),
        "stopped": _note("request", 32, what="stop", about=["o9"], outcome="done"),
        "started_9": _note("started", 31, id=ONE, observation="o9"),
        "stack": _note("request", 33, what="create_stack", about=["s"], outcome="done"),
        "copies": _note("copies", 40, copies=[
            {"id": ONE, "seen": True, "exists": True, "status": "ACTIVE", "name": "x", "marked": False},
            {"id": TWO, "seen": True, "exists": False, "status": None, "name": None, "marked": False}]),
        "truth": _note("truth", 41, resources=[
            {"id": ONE, "exists": True, "status": "ACTIVE", "name": "x", "metadata": MARKED},
            {"id": TWO, "exists": False, "status": "DELETED", "name": "y", "metadata": {}}]),
        "partitions": _note("partitions", 42, members=["a", "b"], partitions=[
            {"partition": number, "owner": {"name": "ab"[number % 2]}, "intended": "ab"[number % 2]}
            for number in range(P)]),
        "goals": _note("goals", 43, jobs=[], stacks=[{"stack_id": "1", "name": "s", "status": "CREATE_COMPLETE"}],
                       nodes=[{"stack_id": "1", "name": "n", "status": "COMPLETE", "marker": "m1",
                               "resource_id": ONE}],
                       observations=[{"observation_id": "o1", "resource_id": ONE},
                                     {"observation_id": "o2", "resource_id": TWO}]),
        "threads": _note("threads", 44, threads={"observer-1": 21}),
        "queues": _note("queues", 45, queues=["obsvc.observer-1.cloud", "obsvc.observer-1.cloud.overflow"]),
        "emitted": _note("emitted", 46, counts={ONE: 1}),
        "ended_all": _note("ended_all", 50, codes={"observer-1": 0}, left={}, keys=[], leases=0),
    }


def _checked(events: dict[str, Any]) -> Any:
    return check.check(History(events.values()))


def test_a_clean_history_has_no_violation_and_every_invariant_looked_at_something():
    findings = _checked(_clean())
    assert findings.violations == []
    assert all(findings.facts[name] for name in INVARIANTS), findings.facts
    assert findings.faults == {6: 1}


def _set(event: str, **fields: Any) -> Change:
    return lambda events: events[event].update(fields)


def _drop(event: str) -> Change:
    return lambda events: events.pop(event) and None


def _within(event: str, path: tuple[Any, ...], value: Any) -> Change:
    def change(events: dict[str, Any]) -> None:
        found = events[event]
        for step in path[:-1]:
            found = found[step]
        found[path[-1]] = value

    return change


def _comes_back(events: dict[str, Any]) -> None:
    events["back"] = _written(9, TWO, 1, 5, (1, 4), A)


def _many_looks(events: dict[str, Any]) -> None:
    for number in range(40):
        events[f"look-{number}"] = dict(events["look"])


def _moves(events: dict[str, Any]) -> None:
    events["moved"] = _owner(25, 0, 2, 3, A, B)


VIOLATIONS: list[tuple[str, str, Change]] = [
    ("I1", "a write under an old generation", _set("written_2", granted=3, owner=B)),
    ("I1", "a write under another's generation", _set("written_2", owner=B)),
    ("I1", "a generation given twice", _set("grant_again", generation=1)),
    ("I1", "a generation that fell", _set("grant_again", before=0, generation=1)),
    ("I1", "a look that is older than the one before", _set("written_2", generation=1, sequence=0, granted=1)),
    ("I2", "two owners of one generation", lambda events: events.update(twice=_owner(3, 0, 0, 1, None, B))),
    ("I2", "a report of another accepted", _within("report", ("request", "member"), {"name": "b", "incarnation": "2"})),
    ("I2", "a grant answered that is another's", _within("claim", ("reply", "grants", 0, "generation"), 1000)),
    ("I2", "a duty led by another", _within("duty", ("request", "member"), {"name": "b", "incarnation": "2"})),
    ("I3", "a change missed", _within("copies", ("copies", 0, "name"), "old")),
    ("I3", "a deletion missed", _within("copies", ("copies", 1, "exists"), True)),
    ("I3", "never seen", _within("copies", ("copies", 0, "seen"), False)),
    ("I4", "a partition without an owner", _within("partitions", ("partitions", 0, "owner"), None)),
    ("I4", "an owner that the ring does not intend", _within("partitions", ("partitions", 0, "intended"), "b")),
    ("I4", "a member that is in no view", _set("partitions", members=["a", "b", "c"])),
    ("I4", "no partitions told", _set("partitions", partitions=[])),
    ("I5", "two assignments of one view", _set("assigned_2", digest="e")),
    ("I6", "a deleted resource that comes back", _comes_back),
    ("I7", "two fetches of a ref at once", _set("fetched_2", began=14.5)),
    ("I8", "a process that does not end well", _within("ended_all", ("codes", "observer-1"), -9)),
    ("I8", "processes that stay", _set("ended_all", left={"engine-1": [5]})),
    ("I8", "keys that stay", _set("ended_all", keys=["k"])),
    ("I8", "leases that stay", _set("ended_all", leases=1)),
    ("I8", "a queue of nobody", _set("queues", queues=["obsvc.stranger.cloud"])),
    ("I8", "threads that stay", _set("threads", threads={"observer-1": 40})),
    ("I8", "a job that stays leased", _within("goals", ("jobs",), [{"job_id": "j"}])),
    ("I8", "a copy that nobody observes", _within("goals", ("observations",), [{"observation_id": "o1",
                                                                              "resource_id": ONE}])),
    ("I8", "a run that did not end", _drop("ended_all")),
    ("I9", "a partition moved by a bounce", _moves),
    ("I10", "more looks than notifications can cost", _many_looks),
    ("I11", "two copies of a node", _within("truth", ("resources", 1), {"id": TWO, "exists": True, "status": "ACTIVE",
                                                                       "name": "y", "metadata": MARKED})),
    ("I11", "a node without a copy", _within("truth", ("resources", 0, "exists"), False)),
    ("I11", "a copy of no node", _within("goals", ("nodes",), [])),
    ("I11", "a stack that failed", _within("goals", ("stacks", 0, "status"), "CREATE_FAILED")),
    ("I12", "an observation lost", _within("started", ("observation",), "o7")),
    ("I12", "an observation that was stopped", _within("goals", ("observations", 0, "observation_id"), "o9")),
    ("I12", "a stack lost", _within("stack", ("about",), ["t"])),
    ("I12", "an accepted report without its delta", _set("delta", id=TWO)),
    ("I12", "a gap in the feed", _set("delta", version=2)),
]


@pytest.mark.parametrize(("invariant", "what", "change"), VIOLATIONS, ids=[what for _, what, _ in VIOLATIONS])
def test_a_violation_is_reported(invariant, what, change):
    events = copy.deepcopy(_clean())
    change(events)
    assert invariant in {name for name, _ in _checked(events).violations}


def test_a_fault_that_was_not_injected_is_not_counted():
    events = _clean()
    events["fault_over"]["error"] = "refused"
    assert _checked(events).faults == {}
    del events["fault_over"]
    assert _checked(events).faults == {}


def test_a_bounce_into_a_cluster_that_moves_proves_nothing():
    events = _clean()
    _moves(events)
    events["fault"]["settled"] = False
    findings = _checked(events)
    assert findings.facts["I9"] == 0 and "I9" not in dict(findings.violations)


def test_a_bounce_on_a_machine_that_stalls_proves_nothing():
    events = _clean()
    _moves(events)
    events["stall"] = _note("stall", 22, seconds=2.0)
    findings = _checked(events)
    assert findings.facts["I9"] == 0 and "I9" not in dict(findings.violations)


def test_a_half_written_line_is_left_out(tmp_path):
    path = tmp_path / "history.jsonl"
    path.write_text(json.dumps(_note("run", 0)) + "\n" + '{"kind": "fau')
    assert [event["kind"] for event in read_lines(path)] == ["run"]


def test_the_command_checks_a_kept_history(tmp_path, capsys):
    path = tmp_path / "history.jsonl"
    path.write_text("\n".join(json.dumps(event) for event in _clean().values()))
    assert check.main([str(path)]) == 0
    assert json.loads(capsys.readouterr().out)["violations"] == {}


def test_a_plan_is_the_seed_s_and_twenty_have_each_fault_five_times():
    assert schedule.plan(7, 180) == schedule.plan(7, 180) != schedule.plan(8, 180)
    numbers = [fault.number for seed in range(1, 21) for fault in schedule.plan(seed, 180)]
    assert all(numbers.count(number) >= 5 for number in schedule.NUMBERS)


def test_every_cut_of_a_plan_is_a_mode_of_the_proxy():
    faults = [fault for seed in range(50) for fault in schedule.plan(seed, 180)]
    ways = {fault.variant.partition("-then-")[0] for fault in faults if fault.number in (4, 5)}
    ways |= {fault.variant for fault in faults if fault.number == 7} - {"fenced"}
    assert ways and ways <= set(MODES)


@pytest.mark.parametrize("guard", unguarded.GUARDS)
def test_a_guard_that_is_to_be_taken_out_is_there(guard):
    program = f"from tests.chaos import unguarded; unguarded.GUARDS[{guard!r}][1]()"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=120,
                          check=False)
    assert done.returncode == 0, done.stderr
