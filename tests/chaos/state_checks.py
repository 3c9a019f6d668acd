"""The invariants of state, looks, goals and requests, on a history: I3, I6, I7, I8, I10, I11, I12 of docs/design.md."""
from __future__ import annotations

import collections
from typing import Any

from obsvc.model import partition_of_id
from tests.chaos.findings import Findings
from tests.chaos.history import Event, History
from tests.chaos.ownership_checks import in_order

#: Looks for which a notification is the cause.
OF_NOTIFICATIONS = ("notified", "settle")

#: Looks that one hearing of a notification may cost: it, and the settle look.
LOOKS = 2

#: Threads that a process may have more than the leanest of its kind: pools fill as they are used.
THREADS = {"observer": 8, "worker": 8, "engine": 40, "api": 40}

#: Members whose queue may be in the broker: a queue outlives its member by ``queue_expires``.
MEMBERS = ("observer-1", "observer-2", "observer-3", "observer-4", "observer-5", "observer-old")


def copies_are_true(history: History, findings: Findings) -> None:
    """I3: the final actual state of every observed resource equals the cloud's."""
    truth = {each["id"]: each for each in history.one("truth").get("resources", ())}
    for copy in history.one("copies").get("copies", ()):
        real = truth.get(copy["id"], {"exists": False, "status": None, "name": None})
        same = copy["seen"] and copy["exists"] == real["exists"] and (
            not real["exists"] or (copy["status"], copy["name"]) == (real["status"], real["name"]))
        findings.expect("I3", same, f"{copy['id']}: the engine has {_short(copy)}, the cloud {_short(real)}")


def _short(state: Event) -> str:
    return f"{state['status']} {state['name']}" if state["exists"] else "nothing"


def stays_deleted(history: History, findings: Findings) -> None:
    """I6: no deleted resource comes back (the simulated cloud never uses an id again)."""
    gone: set[str] = set()
    for event in in_order(history.of("written")):
        if event["id"] in gone:
            findings.expect("I6", not event["exists"], f"{event['id']}: existed again by a report of {event['by']}")
        elif not event["exists"]:
            gone.add(event["id"])
            findings.facts["I6"] += 1


def one_at_a_time(history: History, findings: Findings) -> None:
    """I7: a ref is never processed twice at once in one process."""
    until: dict[tuple[str, int, str], float] = {}
    for event in sorted(history.of("fetched"), key=lambda each: each["began"]):
        for ref in event["refs"]:
            key = (event["who"], event["pid"], ref[2])
            findings.expect("I7", until.get(key, float("-inf")) <= event["began"],
                            f"{ref[2]} was fetched twice at once by {event['who']}")
            until[key] = max(until.get(key, event["t"]), event["t"])


def nothing_leaks(history: History, findings: Findings) -> None:
    """I8: what was started is stopped; no threads, queues, leases, jobs, processes stay."""
    end = history.one("ended_all")
    findings.expect("I8", end, "the run did not come to its end")
    for name, code in end.get("codes", {}).items():
        findings.expect("I8", code == 0, f"{name} ended with {code} when it was told to")
    findings.expect("I8", not end.get("left"), f"processes stayed: {end.get('left')}")
    findings.expect("I8", not end.get("keys"), f"membership keys stayed: {end.get('keys')}")
    findings.expect("I8", not end.get("leases"), f"{end.get('leases')} leases stayed in etcd")
    queues = {name.removesuffix(".overflow") for name in history.one("queues").get("queues", ())}
    strange = queues - {f"obsvc.{name}.cloud" for name in MEMBERS}
    findings.expect("I8", not strange, f"queues of nobody: {sorted(strange)}")
    goals = history.one("goals")
    findings.expect("I8", not goals.get("jobs"), f"jobs stay leased: {goals.get('jobs')}")
    observed = {each["resource_id"] for each in goals.get("observations", ())}
    for copy in history.one("copies").get("copies", ()):
        findings.expect("I8", copy["id"] in observed, f"{copy['id']} is kept though nobody observes it")
    _threads(history, findings)


def _threads(history: History, findings: Findings) -> None:
    first, last = history.one("began").get("threads", {}), history.one("threads").get("threads", {})
    for name, count in last.items():
        kind = name.partition("-")[0]
        leanest = min(number for known in (first, last) for other, number in known.items()
                      if other.partition("-")[0] == kind)
        findings.expect("I8", count <= leanest + THREADS.get(kind, 40),
                        f"{name} has {count} threads, another of its kind {leanest}")


def looks_are_bounded(history: History, findings: Findings) -> None:
    """I10: fetches per change are bounded; takeover looks are counted apart, and retries.

    A notification is heard once more for each change of its partition's owner (from the new owner's queue or memory)
    and for each fault of the broker or of a way to it (delivered again).
    """
    emitted, partitions = history.one("emitted").get("counts", {}), history.one("run").get("partitions", 1)
    moves = collections.Counter(event["partition"] for event in history.of("owner"))
    again = sum(fault["number"] == 14 or fault["detail"] == "bus" for fault in history.of("fault"))
    looks: collections.Counter[str] = collections.Counter()
    for event in history.of("look"):
        if event["attempt"] > 1:
            findings.counts["retries"] += 1
        elif event["cause"] in OF_NOTIFICATIONS:
            looks[event["ref"][2]] += 1
        else:
            findings.counts[f"{event['cause']} looks"] += 1
    for each, count in looks.items():
        hearings = emitted.get(each, 0) * 2 * (1 + again + moves[partition_of_id(each, partitions)])
        findings.expect("I10", count <= LOOKS * hearings,
                        f"{each}: {count} looks for {emitted.get(each, 0)} notifications")
    total, heard = sum(looks.values()), sum(emitted.get(each, 0) for each in looks)
    findings.counts["looks for notifications"] += total
    findings.counts["notifications"] += heard
    findings.expect("I10", total <= LOOKS * heard, f"{total} looks for {heard} notifications over all")


def goals_are_met(history: History, findings: Findings) -> None:
    """I11: each goal ends with one live copy of each node, and none of what is not wanted."""
    goals = history.one("goals")
    wanted = {each["stack_id"]: each for each in goals.get("stacks", ()) if not each["status"].startswith("DELETE")}
    live: dict[str, list[str]] = {}
    for each in history.one("truth").get("resources", ()):
        marker = (each.get("metadata") or {}).get("obsvc_marker")
        if marker and each["exists"]:
            live.setdefault(marker, []).append(each["id"])
    markers = set()
    for node in goals.get("nodes", ()):
        if node["stack_id"] in wanted:
            markers.add(node["marker"])
            copies = live.get(node["marker"], [])
            findings.expect("I11", copies == [node["resource_id"]],
                            f"node {node['name']} is {node['resource_id']}, in the cloud live {copies}")
    for marker, ids in live.items():
        findings.expect("I11", marker in markers, f"{ids} live in the cloud and belong to no stack")
    for each in goals.get("stacks", ()):
        findings.expect("I11", each["status"].endswith("_COMPLETE"), f"stack {each['name']} is {each['status']}")


def nothing_accepted_is_lost(history: History, findings: Findings) -> None:
    """I12: no accepted request is lost: what the API said is done, is; each accepted report has its delta."""
    _observations(history, findings)
    _stacks(history, findings)
    deltas = {event["version"]: event["id"] for event in history.of("delta")}
    findings.expect("I12", sorted(deltas) == list(range(1, len(deltas) + 1)), "the feed's versions have gaps")
    for event in history.of("answered"):
        if event["op"] != "report":
            continue
        for report, outcome in zip(event["request"]["reports"], event["reply"]["outcomes"], strict=True):
            if outcome["verdict"] == "accepted" and outcome.get("version"):
                findings.expect("I12", deltas.get(outcome["version"]) == report["ref"][2],
                                f"{report['ref'][2]} was accepted as version {outcome['version']}, of which the feed "
                                f"has {deltas.get(outcome['version'])}")


def _observations(history: History, findings: Findings) -> None:
    there = {each["observation_id"] for each in history.one("goals").get("observations", ())}
    stopped = {about: event["outcome"] for event in history.of("request") if event["what"] == "stop"
               for about in event["about"]}
    for event in history.of("started"):
        outcome = stopped.get(event["observation"])
        if outcome == "done":
            findings.expect("I12", event["observation"] not in there, f"observation of {event['id']} was stopped, "
                                                                      "and is there")
        elif outcome != "unknown":
            findings.expect("I12", event["observation"] in there, f"observation of {event['id']} was started, and is "
                                                                  "not there")


def _stacks(history: History, findings: Findings) -> None:
    status: dict[str, Any] = {each["name"]: each["status"] for each in history.one("goals").get("stacks", ())}
    asked = {(event["what"], about): event["outcome"] for event in history.of("request") for about in event["about"]}
    for (what, name), outcome in asked.items():
        if what == "create_stack" and outcome == "done":
            found, gone = status.get(name), asked.get(("delete_stack", name))
            fine = {"done": (None, "DELETE_COMPLETE"), "unknown": (None, "DELETE_COMPLETE", "CREATE_COMPLETE")}
            findings.expect("I12", found in fine.get(str(gone), ("CREATE_COMPLETE",)),
                            f"stack {name} was made (its deletion: {gone}), and is {found}")


CHECKS = (copies_are_true, stays_deleted, one_at_a_time, nothing_leaks, looks_are_bounded, goals_are_met,
          nothing_accepted_is_lost)
