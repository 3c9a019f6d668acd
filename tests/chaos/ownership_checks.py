"""The invariants of ownership, on a history: I1, I2, I4, I5, I9 of docs/design.md."""
from __future__ import annotations

from obsvc.model import partition_of_id
from tests.chaos.findings import Findings
from tests.chaos.history import Event, History

#: Verdicts of reports that were written.
WRITTEN = ("accepted", "unchanged")

#: What only the leader of a duty may do: the owner of the duty's partition.
LED = ("begin_duty", "sweep", "end_duty")


def name_of(member: str | None) -> str | None:
    """The name of ``name@incarnation``."""
    return member and member.rpartition("@")[0]


def member_of(told: Event) -> str:
    return f"{told['name']}@{told['incarnation']}"


def in_order(events: list[Event]) -> list[Event]:
    """The database's notes in its order."""
    return sorted(events, key=lambda each: each["order"])


def generations(history: History, findings: Findings) -> None:
    """I1: no write accepted under an old generation; generations only rise; looks of a ref are taken in order."""
    newest: dict[int, int] = {}
    for event in in_order(history.of("owner") + history.of("written")):
        number = event["partition"]
        known = newest.get(number, 0)
        if event["kind"] == "owner":
            wanted = event["before"] + (event["to"] is not None)
            findings.expect("I1", event["generation"] == wanted and event["before"] >= known,
                            f"partition {number}: generation {event['before']} to {event['generation']} for "
                            f"{event['to']}, {known} was the newest")
            newest[number] = max(known, event["generation"])
            continue
        where = f"{event['id']} (partition {number}) by {event['by']} under {event['generation']}"
        findings.expect("I1", event["generation"] == event["granted"] and event["by"] == event["owner"]
                        and event["generation"] >= known,
                        f"{where}: written while {event['granted']} was granted to {event['owner']}")
        findings.expect("I1", (event["generation"], event["sequence"]) > (event["before"], event["sequence_before"]),
                        f"{where}: sequence {event['sequence']} was written after ({event['before']}, "
                        f"{event['sequence_before']})")


def owners(history: History, findings: Findings) -> None:
    """I2: never two owners in effect: one member a (partition, generation), by grants, by answers and by writes.

    A duty's leader is the owner of its partition, so this is also: never two leaders in effect.
    """
    granted: dict[tuple[int, int], str] = {}
    for event in in_order(history.of("owner")):
        if event["to"] is None:
            continue
        key = (event["partition"], event["generation"])
        findings.expect("I2", key not in granted, f"{key} was granted to {granted.get(key)} and to {event['to']}")
        granted.setdefault(key, event["to"])
    for event in history.of("written"):
        key = (event["partition"], event["generation"])
        findings.expect("I2", granted.get(key) == event["by"],
                        f"{event['id']}: written under {key} by {event['by']}, the owner is {granted.get(key)}")
    for event in history.of("answered"):
        member = member_of(event["request"]["member"]) if event["request"].get("member") else None
        for key in _told_owned(event, history.one("run")["partitions"]):
            findings.expect("I2", granted.get(key) == member,
                            f"{event['op']}: {member} was answered as the owner under {key}, the owner is "
                            f"{granted.get(key)}")


def _told_owned(event: Event, partitions: int) -> list[tuple[int, int]]:
    """The (partition, generation) that an answer of the engine treats the asker as the owner of."""
    if event["op"] == "claim":
        return [(grant["partition"], grant["generation"]) for grant in event["reply"]["grants"]]
    if event["op"] == "report":
        pairs = zip(event["request"]["reports"], event["reply"]["outcomes"], strict=True)
        return [(report["partition"], report["generation"]) for report, outcome in pairs
                if outcome["verdict"] in WRITTEN]
    if event["op"] in LED and event["reply"]["verdict"] == "accepted":
        return [(partition_of_id(event["request"]["name"], partitions), event["request"]["generation"])]
    return []


def owned_once(history: History, findings: Findings) -> None:
    """I4: after healing every partition is owned exactly once, by a living member, as the ring intends.

    The ring knows the group alone: a member that was put out of it and never came back is missed by nobody but here.
    """
    last, wanted = history.one("partitions"), history.one("run").get("partitions", 0)
    found = {each["partition"]: each for each in last.get("partitions", ())}
    for number in range(wanted):
        each = found.get(number) or {"owner": None, "intended": None}
        owner = each["owner"] and each["owner"]["name"]
        findings.expect("I4", owner is not None and owner == each["intended"] and owner in last["members"],
                        f"partition {number} is owned by {owner}, intended for {each['intended']}")
    intended = {each["intended"] for each in found.values()}
    for name in last.get("members", ()):
        findings.expect("I4", name in intended, f"{name} runs, and no partition is intended for it")


def same_assignment(history: History, findings: Findings) -> None:
    """I5: all members compute the same assignment from the same view."""
    made: dict[tuple[object, ...], tuple[str, str]] = {}
    for event in history.of("assigned"):
        view = (*event["names"], event["partitions"])
        digest, who = made.setdefault(view, (event["digest"], event["who"]))
        findings.expect("I5", digest == event["digest"],
                        f"{event['who']} computed {event['digest']} for {event['names']}, {who} {digest}")


def nothing_moves(history: History, findings: Findings) -> None:
    """I9: a bounce of etcd or of the broker moves no partition.

    Only where everything had settled before, and where the machine did not stall: then leases lapse by themselves.
    """
    over = {event["id"]: event["t"] for event in history.of("fault_over")}
    for fault in history.of("fault"):
        if not fault["alone"] or fault["id"] not in over:
            continue
        if not fault["settled"]:
            findings.counts["I9 faults before which ownership had not settled"] += 1
            continue
        if any(fault["t"] <= event["t"] <= over[fault["id"]] for event in history.of("stall")):
            findings.counts["I9 faults during which the machine stalled"] += 1
            continue
        moved = sorted({event["partition"] for event in history.of("owner")
                        if fault["t"] <= event["t"] <= over[fault["id"]]
                        and name_of(event["from"]) != name_of(event["to"])})
        findings.expect("I9", not moved, f"fault {fault['id']} ({fault['number']} {fault['variant']}) moved the "
                                         f"partitions {moved}")


CHECKS = (generations, owners, owned_once, same_assignment, nothing_moves)
