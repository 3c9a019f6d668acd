"""When a membership view is to be doubted: a played backend, virtual time."""
from __future__ import annotations

from obsvc.model import MemberId
from obsvc.partitioning.membership import Membership
from obsvc.process.clock import ManualClock

ME, OTHER = MemberId("a", "1"), MemberId("b", "1")


class Played:
    """A backend with one group; ``group`` None: there is none."""

    etcd_client = None

    def __init__(self) -> None:
        self.group: set[bytes] | None = None

    def heartbeat(self) -> None:
        pass

    def members(self) -> set[bytes] | None:
        return None if self.group is None else set(self.group)

    def join(self) -> None:
        self.group = (self.group or set()) | {ME.encode()}


def joined(backend: Played) -> Membership:
    made = Membership(["etcd3+http://127.0.0.1:1"], "g", ME, clock=ManualClock(), connect=lambda *_: backend)
    made.beat()
    made.join()
    made.beat()
    return made


def test_a_group_that_nobody_made_yet_is_no_disturbance():
    """Else whoever leaves within a lease of the cluster's first start would be doubted."""
    membership = joined(Played())
    assert membership.view().members == (ME,) and not membership.view().disturbed


def test_a_wiped_backend_and_a_key_that_is_gone_are():
    backend = Played()
    membership = joined(backend)
    backend.group = {OTHER.encode()}
    membership.beat()
    assert membership.view().members == (ME, OTHER) and membership.view().disturbed
    backend = Played()
    membership = joined(backend)
    backend.group = None
    membership.beat()
    assert membership.view().disturbed
