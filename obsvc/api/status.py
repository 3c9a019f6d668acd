"""How the cluster stands, in one sentence and then in numbers.  Pure: from what was read to the document.

A *problem* is something that an operator should look into.  What passes by itself within the time of a hand-over
(partitions on their way from one member to another) is reported, and is no problem.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence

from obsvc.api.ring import Proposal
from obsvc.api_types import BusSummary, Status
from obsvc.engine_client.duties import DutyRecord
from obsvc.engine_client.ownership import MemberRecord, MemberState, PartitionRecord

#: Seconds that a duty's run, or a message, may be late before it counts as a problem.
LATE = 60.0

#: Names listed in one sentence; of more, only the first.
NAMED = 5


def status(
    members: Sequence[MemberRecord], partitions: Sequence[PartitionRecord], duties: Sequence[DutyRecord],
    proposal: Proposal, now: float,
) -> Status:
    """The document.  now: the engine's clock, by which all times here are given."""
    alive = [member for member in members if member.alive and member.beat.state is not MemberState.LEFT]
    owned = [partition for partition in partitions if partition.owner is not None]
    moving = [partition for partition in partitions
              if proposal.owners and partition.owner is not None
              and partition.owner.name != proposal.owner(partition.partition)]
    problems = [
        *_of_members(members, alive, proposal, now), *_of_partitions(partitions, owned, members),
        *_of_buses(alive), *_of_duties(duties, now),
    ]
    return Status(
        verdict=_verdict(alive, partitions, owned, moving, problems), ok=not problems, problems=tuple(problems),
        members=len(alive), members_caught_up=sum(member.beat.caught_up for member in alive),
        drained=tuple(sorted(member.beat.member.name for member in alive if member.drained_at is not None)),
        partitions=len(partitions), owned=len(owned), moving=len(moving),
        observed=sum(partition.observed for partition in partitions),
        unsettled=sum(member.beat.unsettled for member in alive),
        oldest_unsettled=max((member.beat.oldest_unsettled for member in alive), default=0.0), buses=_buses(alive),
        duties=len(duties), duties_led=sum(duty.leader is not None for duty in duties), engine_time=now,
    )


def _verdict(
    alive: Sequence[MemberRecord], partitions: Sequence[PartitionRecord], owned: Sequence[PartitionRecord],
    moving: Sequence[PartitionRecord], problems: Sequence[str],
) -> str:
    if not alive:
        return f"no member runs: {len(partitions)} partitions are nobody's, and nothing is observed"
    views = _views(alive)
    who = _count(len(alive), "member")
    agree = f"{who} agree on one view" if len(views) <= 1 else f"{who} have {len(views)} different views"
    if len(alive) == 1:
        agree = "1 member runs"
    whole = len(owned) == len(partitions)
    held = f"all {len(partitions)} partitions owned" if whole else f"{len(owned)} of {len(partitions)} partitions owned"
    more = [f"{len(moving)} on their way to another member"] if moving else []
    more += [f"{_count(len(problems), 'problem')}, the first: {problems[0]}"] if problems else []
    return "; ".join([agree, held, *more])


def _of_members(
    members: Sequence[MemberRecord], alive: Sequence[MemberRecord], proposal: Proposal, now: float
) -> Iterable[str]:
    if not alive:
        yield "no member runs: start 'obsvc observer'"
    if proposal.note is not None and alive:
        yield f"{proposal.note}: what is granted stays, nobody new takes over"
    for member in members:
        if not member.alive and member.granted:
            yield (f"{member.beat.member.name} has been silent for {now - member.last_beat_at:.0f} s and holds "
                   f"{_count(member.granted, 'partition')}")
    views = _views(alive)
    if len(views) > 1:
        groups = "; ".join(f"{_names(names)} see {_names(view)}" for view, names in sorted(views.items()))
        yield f"members disagree on who is there: {groups}"
    for member in alive:
        name, beat = member.beat.member.name, member.beat
        if beat.oldest_unsettled > LATE:
            yield f"{name} is behind: its oldest unsettled message is {beat.oldest_unsettled:.0f} s old"
        if beat.open_breakers:
            yield f"{name} has stopped asking {_names(beat.open_breakers)} for now: too many errors"


def _views(alive: Iterable[MemberRecord]) -> dict[tuple[str, ...], list[str]]:
    """Members by their view; one that has only just joined has none yet."""
    views: dict[tuple[str, ...], list[str]] = {}
    for member in alive:
        if member.beat.state is not MemberState.JOINING:
            views.setdefault(member.beat.view, []).append(member.beat.member.name)
    return views


def _of_partitions(
    partitions: Sequence[PartitionRecord], owned: Sequence[PartitionRecord], members: Iterable[MemberRecord]
) -> Iterable[str]:
    if len(owned) < len(partitions):
        nobody = [partition.partition for partition in partitions if partition.owner is None]
        yield f"{_count(len(nobody), 'partition')} owned by nobody: {_names(map(str, nobody))}"
    known = {member.beat.member for member in members}
    strange = {str(partition.owner) for partition in owned if partition.owner not in known}
    if strange:
        yield f"granted to members that never beat: {_names(sorted(strange))}"


def _of_buses(alive: Sequence[MemberRecord]) -> Iterable[str]:
    for name, summary in _buses(alive).items():
        if summary.connected < summary.members:
            error = f": {summary.last_error}" if summary.last_error else ""
            yield f"bus {name} is down for {summary.members - summary.connected} of {summary.members} members{error}"


def _of_duties(duties: Sequence[DutyRecord], now: float) -> Iterable[str]:
    leaderless = [duty.name for duty in duties if duty.leader is None]
    if leaderless:
        yield f"duties without a leader: {_names(leaderless)}"
    for duty in duties:
        due = duty.next_run_at if duty.running_since is None else duty.running_since
        if due is not None and now - due > max(LATE, duty.interval):
            yield f"duty {duty.name} is overdue by {now - due:.0f} s" + (
                f": {duty.last_error}" if duty.last_error else "")


def _buses(alive: Iterable[MemberRecord]) -> dict[str, BusSummary]:
    buses: dict[str, BusSummary] = {}
    for member in alive:
        for bus in member.beat.buses:
            before = buses.get(bus.name, BusSummary(0, 0))
            error = before.last_error if bus.connected else bus.last_error or before.last_error
            buses[bus.name] = BusSummary(before.members + 1, before.connected + bus.connected, error)
    return buses


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _names(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - NAMED} more" if len(listed) > NAMED else ""
    return (", ".join(listed[:NAMED]) or "nobody") + more
