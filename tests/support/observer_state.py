"""What the tests of the observer's state share."""
from __future__ import annotations

from obsvc.engine_client.ownership import Grant, ObservedRef
from obsvc.model import Condition, Family, Generation, MemberId, Notification, PartitionId, Ref, Snapshot, Urgency
from obsvc.observer.state.holdings import Holdings
from obsvc.process.clock import ManualClock

PARTITIONS = 8


def ref(resource_id: str, region: str = "RegionOne") -> Ref:
    return Ref(region, "compute.server", resource_id)


def ref_in(number: int, nth: int = 0) -> Ref:
    """The ``nth`` ref that falls into partition ``number``."""
    from obsvc.model import partition

    found = (ref(f"id-{count}") for count in range(10_000))
    return [one for one in found if partition(one, PARTITIONS) == number][nth]


def grant(number: int, generation: int = 1, **fields) -> Grant:
    return Grant(PartitionId(number), Generation(generation), fields.pop("version", 0), **fields)


def observed(one: Ref, *, started_at: float = 1.0, mark: int | None = None, wanted: tuple = (Condition.ACTIVE,),
             last: Snapshot | None = None) -> ObservedRef:
    return ObservedRef(one, started_at, wanted, mark=mark, last=last)


def snapshot(condition: Condition = Condition.ACTIVE, fetched_at: float = 5.0) -> Snapshot:
    return Snapshot(exists=True, condition=condition, fetched_at=fetched_at, attributes={"name": "x"})


def holdings_with(*refs: Ref, generation: int = 1) -> Holdings:
    """A Holdings that owns the partitions of ``refs`` completely, with these observed."""
    from obsvc.model import partition

    holdings = make_holdings()
    for number in sorted({partition(one, PARTITIONS) for one in refs}):
        holdings.begin(grant(number, generation))
        holdings.load({number: Generation(generation)}, [observed(one) for one in refs])
        assert holdings.complete(number, Generation(generation), 1)
    return holdings


def make_holdings() -> Holdings:
    return Holdings(PARTITIONS, new_look=lambda _observed: "fresh", renewed_look=lambda _look, _observed: "renewed")


def notification(*refs: Ref, look: Urgency = Urgency.MERGE, state: str | None = None,
                 under_way: bool = False) -> Notification:
    return Notification("compute.instance.update", "nova", Family.UNVERSIONED, refs=refs, look=look, state=state,
                        under_way=under_way)


class FakeDelivery:
    """A delivery that counts how often it was settled."""

    def __init__(self, clock: ManualClock) -> None:
        self.arrived = clock.monotonic()
        self.settled = 0

    def settle(self) -> None:
        self.settled += 1


MEMBER = MemberId("obs-1", "aa")
OTHER = MemberId("obs-2", "bb")
