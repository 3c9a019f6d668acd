"""How the cluster stands, in one sentence and then in numbers.  Pure: what was read comes in, the document goes out.

A *problem* is something that somebody should look into; what passes by itself within a hand-over's time (partitions on
their way from one member to another) is told, and is none.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence

from obsvc.api.ring import Proposal
from obsvc.api_types import BusSummary, Status
from obsvc.engine_client.duties import DutyRecord
from obsvc.engine_client.ownership import MemberRecord, MemberState, PartitionRecord

#: Seconds that a duty's run, or a message, may be late before it counts as a problem.
LATE = 60.0

#: Names in one sentence; of more the first are named.
NAMED = 5


def status(
    members: Sequence[MemberRecord], partitions: Sequence[PartitionRecord], duties: Sequence[DutyRecord],
    proposal: Proposal, now: float,
) -> Status:
    """The document.  now: the engine's clock, by which all of these are told."""
    alive = [one for one in members if one.alive and one.beat.state is not MemberState.LEFT]
    owned = [one for one in partitions if one.owner is not None]
    moving = [one for one in partitions
              if proposal.owners and one.owner is not None and one.owner.name != proposal.owner(one.partition)]
    problems = [
        *_of_members(members, alive, proposal, now), *_of_partitions(partitions, owned, members),
        *_of_buses(alive), *_of_duties(duties, now),
    ]
    return Status(
        verdict=_verdict(alive, partitions, owned, moving, problems), ok=not problems, problems=tuple(problems),
        members=len(alive), members_caught_up=sum(one.beat.caught_up for one in alive),
        drained=tuple(sorted(one.beat.member.name for one in alive if one.drained_at is not None)),
        partitions=len(partitions), owned=len(owned), moving=len(moving),
        observed=sum(one.observed for one in partitions), unsettled=sum(one.beat.unsettled for one in alive),
        oldest_unsettled=max((one.beat.oldest_unsettled for one in alive), default=0.0), buses=_buses(alive),
        duties=len(duties), duties_led=sum(one.leader is not None for one in duties), engine_time=now,
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
    for one in members:
        if not one.alive and one.granted:
            yield (f"{one.beat.member.name} has been silent for {now - one.last_beat_at:.0f} s and holds "
                   f"{_count(one.granted, 'partition')}")
    views = _views(alive)
    if len(views) > 1:
        told = "; ".join(f"{_names(names)} see {_names(view)}" for view, names in sorted(views.items()))
        yield f"members disagree on who is there: {told}"
    for one in alive:
        name, beat = one.beat.member.name, one.beat
        if beat.oldest_unsettled > LATE:
            yield f"{name} is behind: its oldest unsettled message is {beat.oldest_unsettled:.0f} s old"
        if beat.open_breakers:
            yield f"{name} has stopped asking {_names(beat.open_breakers)} for now: too many errors"


def _views(alive: Iterable[MemberRecord]) -> dict[tuple[str, ...], list[str]]:
    """Who has which view; one that has only just begun has none yet."""
    views: dict[tuple[str, ...], list[str]] = {}
    for one in alive:
        if one.beat.state is not MemberState.JOINING:
            views.setdefault(one.beat.view, []).append(one.beat.member.name)
    return views


def _of_partitions(
    partitions: Sequence[PartitionRecord], owned: Sequence[PartitionRecord], members: Iterable[MemberRecord]
) -> Iterable[str]:
    if len(owned) < len(partitions):
        nobody = [one.partition for one in partitions if one.owner is None]
        yield f"{_count(len(nobody), 'partition')} owned by nobody: {_names(map(str, nobody))}"
    known = {one.beat.member for one in members}
    strange = {str(one.owner) for one in owned if one.owner not in known}
    if strange:
        yield f"granted to members that never beat: {_names(sorted(strange))}"


def _of_buses(alive: Sequence[MemberRecord]) -> Iterable[str]:
    for name, summary in _buses(alive).items():
        if summary.connected < summary.members:
            error = f": {summary.last_error}" if summary.last_error else ""
            yield f"bus {name} is down for {summary.members - summary.connected} of {summary.members} members{error}"


def _of_duties(duties: Sequence[DutyRecord], now: float) -> Iterable[str]:
    leaderless = [one.name for one in duties if one.leader is None]
    if leaderless:
        yield f"duties without a leader: {_names(leaderless)}"
    for one in duties:
        due = one.next_run_at if one.running_since is None else one.running_since
        if due is not None and now - due > max(LATE, one.interval):
            yield f"duty {one.name} is overdue by {now - due:.0f} s" + (
                f": {one.last_error}" if one.last_error else "")


def _buses(alive: Iterable[MemberRecord]) -> dict[str, BusSummary]:
    found: dict[str, BusSummary] = {}
    for one in alive:
        for bus in one.beat.buses:
            before = found.get(bus.name, BusSummary(0, 0))
            error = before.last_error if bus.connected else bus.last_error or before.last_error
            found[bus.name] = BusSummary(before.members + 1, before.connected + bus.connected, error)
    return found


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _names(names: Iterable[str]) -> str:
    some = list(names)
    more = f" and {len(some) - NAMED} more" if len(some) > NAMED else ""
    return (", ".join(some[:NAMED]) or "nobody") + more
