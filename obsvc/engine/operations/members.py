"""What members ask of the engine: beats, claims, lists, reports, marks, dead letters."""
from __future__ import annotations

import threading
import time
from typing import Any

from obsvc import metrics
from obsvc.engine.database.store import Store
from obsvc.engine.database.waiters import Waiters
from obsvc.engine.observations import dead_letters, lists, trails, watches
from obsvc.engine.ownership import draining, grants
from obsvc.engine.reports import reporting
from obsvc.engine.settings import EngineSettings
from obsvc.engine_client import ownership, reports
from obsvc.engine_client.contract import CONTRACT_VERSION_MIN, Empty
from obsvc.engine_client.trails import TellTrailsRequest
from obsvc.exceptions import IncompatibleContract

#: Longest wait of one request, seconds: below what proxies and load balancers cut off.
WAIT_MAX = 50.0

#: Seconds before an owner is told again that a partition is asked for, should the first answer have been lost.
ASKED_AGAIN = 3.0


class MemberOperations:
    """The part of the engine's service that members call; safe from any thread."""

    store: Store
    settings: EngineSettings
    waiters: Waiters

    def beat(self, request: ownership.Beat) -> ownership.BeatReply:
        """Note what a member says of itself; IncompatibleContract where the two can't work together."""
        if request.contract_version < CONTRACT_VERSION_MIN:
            raise IncompatibleContract(
                f"expected contract version {CONTRACT_VERSION_MIN} or newer, {request.member} speaks "
                f"{request.contract_version}: upgrade that member"
            )
        if request.partitions != self.store.partitions:
            raise IncompatibleContract(
                f"this deployment has {self.store.partitions} partitions, {request.member} computes with "
                f"{request.partitions}: it must take the number from the engine"
            )
        granted, drained = self.store.run(
            lambda tx: (grants.beat(tx, request), draining.is_drained(tx, request.member.name))
        )
        return ownership.BeatReply(self.store.clock.time(), granted, drained)

    def drain_member(self, request: ownership.DrainRequest) -> ownership.DrainReply:
        """NotFound for a name that no member has (had lately); no effect where it is so already."""
        return self.store.run(lambda tx: draining.set_drained(tx, request))

    def claim(self, request: ownership.ClaimRequest) -> ownership.ClaimReply:
        return self.store.run(lambda tx: grants.claim(tx, request))

    def release(self, request: ownership.ReleaseRequest) -> ownership.ReleaseReply:
        return self.store.run(lambda tx: grants.release(tx, request))

    def observed(self, request: ownership.ObservedRequest) -> ownership.ObservedPage:
        return self.store.read(lambda tx: lists.observed(tx, request))

    def follow(self, request: ownership.FollowRequest) -> ownership.FollowReply:
        """Answers as soon as there is something new; an ask that was told lately is no news."""
        self.store.read(lambda tx: grants.check_partitions(tx, (number for number, _, _ in request.known)))
        last = ownership.FollowReply()

        def check() -> ownership.FollowReply | None:
            nonlocal last
            last = self.store.read(lambda tx: lists.changes_since(tx, request))
            news = last.changes or last.lost or last.explain or self._told.news(request.member, last.asked)
            return last if news else None

        found = self.waiters.wait({"partition"}, check, min(request.wait, WAIT_MAX)) or last
        self._told.told(request.member, found.asked)
        return found

    @property
    def _told(self) -> Told:
        return self.__dict__.setdefault("_told_asks", Told())

    def report(self, request: reports.ReportRequest) -> reports.ReportReply:
        if not request.reports:
            return reports.ReportReply(())
        return self.store.run(lambda tx: reporting.report(tx, request))

    def mark(self, request: reports.MarkRequest) -> reports.MarkReply:
        marks = self.store.run(lambda tx: watches.mark(tx, request.refs, request.reason))
        metrics.MARKS.labels(reason=request.reason[:32]).inc(sum(number is not None for number in marks))
        return reports.MarkReply(tuple(marks))

    def tell_trails(self, request: TellTrailsRequest) -> Empty:
        if request.trails:
            self.store.run(lambda tx: trails.tell(tx, request))
        return Empty()

    def bury(self, request: reports.BuryRequest) -> Empty:
        if request.letters:
            self.store.run(lambda tx: dead_letters.bury(tx, request.letters))
        return Empty()

    def dead_letters(self, request: reports.DeadLettersRequest) -> reports.DeadLettersPage:
        return self.store.read(lambda tx: dead_letters.page(tx, request))

    def dead_letter(self, request: reports.DeadLetterRequest) -> reports.DeadLetter:
        return self.store.read(lambda tx: dead_letters.one(tx, request.letter_id))

    def replay_dead_letter(self, request: reports.ReplayRequest) -> reports.ReplayReply:
        reply = self.store.run(lambda tx: dead_letters.replayed(tx, request))
        metrics.MARKS.labels(reason="replay").inc(sum(number is not None for number in reply.marks))
        return reply


class Told:
    """Which asks each member was told lately, so that its next ``follow`` waits instead of answering the same."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at: dict[tuple[Any, int], float] = {}

    def news(self, member: Any, asked: tuple[int, ...]) -> bool:
        """Whether one of ``asked`` was not told within ASKED_AGAIN seconds."""
        now = time.monotonic()
        with self._lock:
            return any(now - self._at.get((member, number), -ASKED_AGAIN) >= ASKED_AGAIN for number in asked)

    def told(self, member: Any, asked: tuple[int, ...]) -> None:
        now = time.monotonic()
        with self._lock:
            if len(self._at) > 10_000:
                self._at = {key: at for key, at in self._at.items() if now - at < ASKED_AGAIN}
            self._at.update({(member, number): now for number in asked})
