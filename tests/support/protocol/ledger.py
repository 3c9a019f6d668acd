"""What must be true of every answer of the engine about ownership: kept apart from the code that gives it.

A :class:`Ledger` is told of each request that reached the engine, with the rows before and after.  It remembers who
was granted what, and what was written, and raises AssertionError at the first answer that breaks an invariant of
docs/design.md (named in each message).  It reads the database by SQL of its own and calls none of the functions it
judges.
"""
from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping

import sqlalchemy as sa

from obsvc.engine.schema import core
from obsvc.engine.settings import EngineSettings
from obsvc.engine_client.ownership import (
    Beat,
    BeatReply,
    ClaimReason,
    ClaimReply,
    ClaimRequest,
    FollowReply,
    FollowRequest,
    MemberState,
    ReleaseReply,
    ReleaseRequest,
)
from obsvc.engine_client.reports import Report, ReportReply, ReportRequest, Verdict
from obsvc.model import MemberId, Ref

WRITTEN = (Verdict.ACCEPTED, Verdict.UNCHANGED)


@dataclasses.dataclass(frozen=True)
class Row:
    """A partition as the database has it."""

    generation: int
    owner: MemberId | None
    claim_id: str | None


@dataclasses.dataclass(frozen=True)
class State:
    """What the database says at one moment.  copies: the version of the truth that each ref's copy shows."""

    partitions: Mapping[int, Row]
    copies: Mapping[Ref, int]
    feed: int


_PARTITION = ("partition_id", "generation", "owner_name", "owner_incarnation", "claim_id")
_PARTITIONS = sa.select(*[core.partition.c[name] for name in _PARTITION])
_COPIES = sa.select(*[core.resource.c[name] for name in ("region", "resource_type", "resource_id", "snapshot")])
_FEED = sa.select(core.feed.c.version)


def read_state(connection: sa.Connection) -> State:
    """What the database says now."""
    partitions = {
        number: Row(generation, MemberId(name, incarnation) if name else None, claim_id)
        for number, generation, name, incarnation, claim_id in connection.execute(_PARTITIONS)
    }
    copies = {
        Ref(*place): 0 if snapshot is None else int(json.loads(snapshot)["status"])
        for *place, snapshot in connection.execute(_COPIES)
    }
    return State(partitions, copies, connection.execute(_FEED).scalar_one())


class Ledger:
    """settings: the engine's, whose time-outs the answers must keep."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._granted: dict[tuple[int, int], tuple[MemberId, str | None]] = {}
        self._newest: dict[int, int] = {}
        self._written: dict[Ref, tuple[int, int]] = {}
        self._answers: dict[tuple[Ref, int, int], tuple[Verdict, int | None]] = {}
        self._beats: dict[MemberId, tuple[float, MemberState]] = {}
        self._asks: dict[int, list[float]] = {}
        self.refused = 0

    def rows(self, state: State) -> None:
        """I1: generations only rise; I2: one generation is granted to one process, once."""
        for number, row in state.partitions.items():
            newest = self._newest.get(number, 0)
            assert row.generation >= newest, f"I1: partition {number} fell from {newest} to {row.generation}"
            self._newest[number] = row.generation
            if row.owner is not None:
                grant = self._granted.setdefault((number, row.generation), (row.owner, row.claim_id))
                assert grant == (row.owner, row.claim_id), (
                    f"I2: partition {number} generation {row.generation} was granted as {grant} and as "
                    f"{(row.owner, row.claim_id)}"
                )

    def beat(self, before: State, request: Beat, reply: BeatReply, after: State, now: float) -> None:
        self._beats[request.member] = (now, request.state)
        mine = tuple(
            (number, row.generation) for number, row in sorted(after.partitions.items()) if row.owner == request.member
        )
        assert reply.granted == mine, f"I2: {request.member} is told {reply.granted}, it is granted {mine}"
        assert before == after

    def follow(self, before: State, request: FollowRequest, reply: FollowReply, after: State, now: float) -> None:
        lost = tuple(
            number for number, generation, _ in sorted(request.known)
            if not self._holds(before.partitions[number], request.member, generation)
        )
        assert reply.lost == lost, f"I2: {request.member} is told that it lost {reply.lost}, it lost {lost}"

    def claim(self, before: State, request: ClaimRequest, reply: ClaimReply, after: State, now: float) -> None:
        reasons = {claim.partition: claim.reason for claim in request.claims}
        granted, asked = {one.partition for one in reply.grants}, {one.partition for one in reply.asked}
        assert not granted & asked and granted | asked == reasons.keys()
        for grant in reply.grants:
            was, is_now = before.partitions[grant.partition], after.partitions[grant.partition]
            assert (is_now.generation, is_now.owner) == (grant.generation, request.member), (
                f"I2: {request.member} is told of {grant}, the engine has {is_now}"
            )
            if is_now.generation == was.generation:
                assert (was.owner, was.claim_id) == (request.member, request.claim_id), (
                    f"I2: {request.member} gets the grant of {was} again"
                )
                continue
            assert is_now.generation == was.generation + 1
            assert (was.owner, was.claim_id) != (request.member, request.claim_id), (
                f"partition {grant.partition} is changed by a claim sent again, from {was} to {is_now}"
            )
            self._check_taken(grant.partition, was.owner, request.member, reasons[grant.partition], now)
            self._asks.pop(grant.partition, None)
        for one in reply.asked:
            assert after.partitions[one.partition] == before.partitions[one.partition]
            assert self._alive(one.owner, now), f"I4: {one.owner} is silent, and partition {one.partition} waits for it"
            assert reasons[one.partition] is not ClaimReason.VANISHED
            self._asks.setdefault(one.partition, []).append(now)
        self._others_stay(before, after, granted)

    def _check_taken(self, number: int, owner: MemberId | None, by: MemberId, reason: ClaimReason, now: float) -> None:
        """A live owner that nobody calls vanished is asked first, and given ``drain_timeout`` to hand over."""
        if owner is None or owner.name == by.name or reason is ClaimReason.VANISHED or not self._alive(owner, now):
            return
        since = last = None
        for at in self._asks.get(number, []):
            if last is None or at - last > self._settings.drain_timeout + self._settings.member_timeout:
                since = at
            last = at
        assert since is not None and now - since >= self._settings.drain_timeout, (
            f"partition {number} was taken from {owner}, which is alive, by {by} ({reason}); asked since {since}"
        )

    def _alive(self, member: MemberId, now: float) -> bool:
        at, state = self._beats.get(member, (float("-inf"), MemberState.LEFT))
        return state is not MemberState.LEFT and now - at <= self._settings.member_timeout

    def release(self, before: State, request: ReleaseRequest, reply: ReleaseReply, after: State, now: float) -> None:
        let_go = set()
        for number, generation in request.held:
            if self._holds(before.partitions[number], request.member, generation):
                assert number in reply.released and after.partitions[number].owner is None
                let_go.add(number)
        for number in let_go:
            self._asks.pop(number, None)
        self._others_stay(before, after, let_go)

    @staticmethod
    def _others_stay(before: State, after: State, touched: set[int]) -> None:
        for number, row in before.partitions.items():
            if number not in touched:
                assert after.partitions[number] == row, (
                    f"I2: partition {number} went from {row} to {after.partitions[number]} by a request of no owner"
                )

    def report(self, before: State, request: ReportRequest, reply: ReportReply, after: State, now: float) -> None:
        """I1, and: an equal report is answered as the first time, and an older look never replaces a newer one."""
        assert before.partitions == after.partitions
        news, copies = 0, dict(before.copies)
        for report, outcome in zip(request.reports, reply.outcomes, strict=True):
            row = before.partitions[report.partition]
            if not self._holds(row, request.member, report.generation):
                assert outcome.verdict is Verdict.STALE_GENERATION, (
                    f"I1: {outcome.verdict} for {request.member} under generation {report.generation}, granted is {row}"
                )
                self.refused += 1
                continue
            news += self._one(report, outcome.verdict, outcome.version, copies)
        assert after.feed - before.feed == news, f"{after.feed - before.feed} deltas were made for {news} news"
        assert after.copies == copies, f"expected copies {copies}, got {after.copies}"

    def _one(self, report: Report, verdict: Verdict, version: int | None, copies: dict[Ref, int]) -> int:
        """1 where the report makes a delta."""
        place, shown = (report.generation, report.sequence), int(report.snapshot.status or 0)
        newest = self._written.get(report.ref, (0, 0))
        if place < newest:
            assert verdict is Verdict.SUPERSEDED, f"{place} of {report.ref} is {verdict} after {newest}"
            self.refused += 1
            return 0
        if place == newest:
            answer = self._answers[report.ref, *place]
            assert (verdict, version) == answer, f"{place} of {report.ref} was {answer}, sent again it is {verdict}"
            return 0
        assert verdict in WRITTEN, f"{place} of {report.ref} is {verdict} after {newest}, by its owner"
        assert shown >= copies[report.ref], f"I1: the copy of {report.ref} goes back to {shown}"
        assert (verdict is Verdict.ACCEPTED) == (shown != copies[report.ref]), f"{report.ref} is {verdict}: {shown}"
        self._written[report.ref], self._answers[report.ref, *place] = place, (verdict, version)
        copies[report.ref] = shown
        return int(verdict is Verdict.ACCEPTED)

    @staticmethod
    def _holds(row: Row, member: MemberId, generation: int) -> bool:
        return row.owner == member and row.generation == generation
