"""A member without buses and clouds: it owns everything, and reports what a test or a benchmark wants to change."""
from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable, Sequence
from typing import TypeVar

from obsvc.engine_client.contract import CONTRACT_VERSION, Empty, Engine
from obsvc.engine_client.observations import StartItem, StartRequest
from obsvc.engine_client.ownership import Beat, ClaimReason, ClaimRequest, MemberState, ObservedRequest, PartitionClaim
from obsvc.engine_client.reports import Report, ReportRequest
from obsvc.exceptions import Unavailable
from obsvc.model import Cause, Condition, MemberId, PartitionId, Ref, Snapshot, partition

T = TypeVar("T")

#: Seconds that an engine may be away.
PATIENCE = 60.0


class StandIn:
    """Owns every partition.  Calls are sent again as they were while the engine is away, as a member's are."""

    def __init__(self, engine: Engine, *, project_id: str | None = None) -> None:
        self._engine, self._project_id = engine, project_id
        self._sequence = itertools.count(1)
        self.member = MemberId("stand-in", uuid.uuid4().hex[:8])
        self._partitions = engine.info(Empty()).partitions
        engine.beat(Beat(self.member, CONTRACT_VERSION, self._partitions, MemberState.ACTIVE, time.time()))
        claims = tuple(PartitionClaim(PartitionId(number), ClaimReason.VANISHED) for number in range(self._partitions))
        self._generations = {grant.partition: grant.generation
                             for grant in engine.claim(ClaimRequest(self.member, uuid.uuid4().hex, claims)).grants}
        self._next: dict[Ref, Condition] = {}

    def observe(self, resource_type: str, count: int) -> list[Ref]:
        """That many refs, observed without a goal."""
        refs = [Ref("RegionOne", resource_type, str(uuid.uuid4())) for _ in range(count)]
        items = [StartItem(ref, project_id=self._project_id) for ref in refs]
        for at in range(0, count, 1000):
            self._engine.start(StartRequest(tuple(items[at:at + 1000])))
        return refs

    def change(self, refs: Sequence[Ref]) -> list[int]:
        """Each of them changes; the versions."""
        found = []
        for ref in refs:
            self._next[ref] = Condition.PENDING if self._next.get(ref) is Condition.ACTIVE else Condition.ACTIVE
            found.append(self._report(ref, self._next[ref]))
        return self._send(found)

    def become(self, refs: Sequence[Ref], condition: Condition) -> list[int]:
        """Each is seen to be so by a look that began just now; the versions."""
        marks = self._marks()
        return self._send([self._report(ref, condition, marks.get(ref)) for ref in refs])

    def _marks(self) -> dict[Ref, int | None]:
        found: dict[Ref, int | None] = {}
        after = None
        while True:
            page = self._engine.observed(
                ObservedRequest(self.member, tuple(sorted(self._generations.items())), after, 5000))
            found |= {each.ref: each.mark for each in page.refs}
            after = page.next
            if after is None:
                return found

    def _report(self, ref: Ref, condition: Condition, mark: int | None = None) -> Report:
        number = partition(ref, self._partitions)
        snapshot = Snapshot(True, condition, str(condition).upper(), project_id=self._project_id,
                            fetched_at=time.time())
        return Report(ref, number, self._generations[number], next(self._sequence), snapshot, Cause.NOTIFIED, mark)

    def _send(self, reports: Sequence[Report]) -> list[int]:
        reply = patiently(lambda: self._engine.report(ReportRequest(self.member, tuple(reports))))
        wrong = [each.verdict for each in reply.outcomes if each.version is None]
        assert not wrong, f"expected every report to be a change, got {wrong}"
        return [each.version for each in reply.outcomes if each.version is not None]


def patiently(do: Callable[[], T]) -> T:
    """``do()`` as soon as the engine answers."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return do()
        except Unavailable:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
