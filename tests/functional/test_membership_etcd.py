"""Membership on a real etcd: join, leave, lapse, wipe, restart, watch."""
from __future__ import annotations

import contextlib
import logging
import shutil
import threading

import etcd3gw
import pytest

from obsvc import metrics
from obsvc.exceptions import Unavailable
from obsvc.model import MemberId
from obsvc.partitioning.membership import Membership, read_members
from obsvc.partitioning.watch import EtcdWatch
from tests.support.processes.servers import Etcd, free_port, wait_until

GROUP = "obsvc-test"
LEASE = 3.0
BEAT = 0.3
BOUND = 20.0
A, B = MemberId("a", "1"), MemberId("b", "1")


@pytest.fixture
def members():
    """Makes memberships and stops them all at the end."""
    with contextlib.ExitStack() as stack:
        def make(urls, member, *, beat_interval=BEAT, join=True) -> Membership:
            made = Membership(urls, GROUP, member, lease=LEASE, beat_interval=beat_interval)
            stack.callback(made.stop)
            made.start()
            if join:
                made.join()
            return made

        yield make


def sees(membership: Membership, *expected: MemberId) -> None:
    wait_until(
        lambda: membership.view() is not None and membership.view().members == tuple(sorted(expected)),
        bound=BOUND, what=f"{membership.member} sees {expected}",
    )


def client(etcd: Etcd):
    return etcd3gw.client(host="127.0.0.1", port=etcd.port, timeout=5)


def key(member: MemberId) -> str:
    return f"tooz/groups/{GROUP}/{member}"


def rejoins() -> float:
    return metrics.REJOINS._value.get()


def test_two_members_see_each_other_join_and_leave(etcd, members):
    a = members([etcd.tooz_url], A)
    sees(a, A)
    b = members([etcd.tooz_url], B)
    sees(a, A, B)
    sees(b, A, B)
    assert read_members([etcd.tooz_url], GROUP) == [A, B]
    version = a.view().version
    assert b.leave(BOUND)
    sees(a, A)
    assert a.view().version > version
    b.join()
    sees(a, A, B)
    assert b.stop()
    sees(a, A)


def test_a_key_deleted_by_hand_is_joined_again_and_counted(etcd, members):
    a = members([etcd.tooz_url], A)
    sees(a, A)
    before = rejoins()
    assert client(etcd).delete(key(A))
    wait_until(lambda: client(etcd).get(key(A)), bound=BOUND, what="the key is back")
    wait_until(lambda: rejoins() > before, bound=BOUND, what="the re-join is counted")
    sees(a, A)
    wait_until(lambda: a.view().disturbed, bound=BOUND, what="the view says that it is to be doubted")


def test_a_lapsed_lease_is_joined_again_under_the_new_lease(etcd, members):
    a = members([etcd.tooz_url], A)
    sees(a, A)
    before = rejoins()
    lease = client(etcd).get(key(A), metadata=True)[0][1]["lease"]
    client(etcd).post(client(etcd).get_url("/lease/revoke"), json={"ID": lease})
    wait_until(lambda: rejoins() > before, bound=BOUND, what="the re-join is counted")
    found = wait_until(lambda: client(etcd).get(key(A), metadata=True), bound=BOUND, what="the key is back")
    assert found[0][1]["lease"] != lease


def test_another_connection_binds_the_key_to_its_own_lease(etcd, members):
    """As after a change of the backend URL: the key of the connection before must not lapse with its lease."""
    first = members([etcd.tooz_url], A)
    sees(first, A)
    lease = client(etcd).get(key(A), metadata=True)[0][1]["lease"]
    second = members([etcd.tooz_url], A)
    sees(second, A)
    wait_until(
        lambda: client(etcd).get(key(A), metadata=True)[0][1]["lease"] != lease, bound=BOUND, what="the new lease"
    )


def test_the_watch_wakes_a_member_long_before_its_next_beat(etcd, members):
    woken = threading.Event()
    a = members([etcd.tooz_url], A, beat_interval=600.0)
    sees(a, A)
    a.subscribe(lambda view: woken.set() if B in view.members else None)
    watch = wait_until(lambda: a._watch, bound=BOUND, what="a watch")
    assert watch.established.wait(BOUND)
    members([etcd.tooz_url], B, beat_interval=600.0)
    assert woken.wait(BOUND), "with a beat of ten minutes only the watch can have told"


def test_a_watch_that_is_opened_wakes_since_what_was_before_is_not_told(etcd):
    woken = threading.Event()
    watch = EtcdWatch(client(etcd), GROUP, woken.set).start()
    try:
        assert woken.wait(BOUND)
    finally:
        watch.stop()
        assert watch.join(BOUND)


def test_a_silent_member_is_gone_after_its_lease(etcd, members):
    a = members([etcd.tooz_url], A)
    b = members([etcd.tooz_url], B)
    sees(a, A, B)
    b.beat = lambda: None  # as a stopped process
    sees(a, A)
    del b.beat
    sees(a, A, B)


def test_a_restarted_etcd_is_one_line_and_nobody_is_lost(etcd, members, caplog):
    caplog.set_level(logging.INFO, "obsvc.partitioning")
    a = members([etcd.tooz_url], A)
    b = members([etcd.tooz_url], B)
    sees(a, A, B)
    version = a.view().version
    etcd.kill()
    wait_until(lambda: not a.connected and not b.connected, bound=BOUND, what="both notice")
    assert a.view().members == (A, B)
    seen_at = a.view().seen_at
    with pytest.raises(Unavailable, match=f"127.0.0.1:{etcd.port}"):
        read_members([etcd.tooz_url], GROUP)
    etcd.start()
    wait_until(lambda: a.connected and b.connected and a.view().seen_at > seen_at, bound=BOUND, what="both are back")
    sees(a, A, B)
    assert a.view().version == version, "no view without one of them was ever seen"
    away = [record for record in caplog.records if "backend is away" in record.getMessage()]
    assert len(away) == 2 and not any(record.exc_info for record in caplog.records)


def test_a_wiped_etcd_is_joined_again(etcd, members):
    a = members([etcd.tooz_url], A)
    b = members([etcd.tooz_url], B)
    sees(a, A, B)
    etcd.kill()
    shutil.rmtree(etcd.folder / "data")
    etcd.start()
    wait_until(lambda: client(etcd).get(key(A)) and client(etcd).get(key(B)), bound=BOUND, what="both are back")
    sees(a, A, B)
    sees(b, A, B)


def test_the_next_url_is_tried_when_one_does_not_answer(etcd, members):
    urls = [f"etcd3+http://127.0.0.1:{free_port()}", etcd.tooz_url]
    a = members(urls, A)
    sees(a, A)
    assert read_members(urls, GROUP) == [A]


def test_a_member_started_before_its_backend_waits_for_it(members, caplog):
    etcd = Etcd()
    with contextlib.ExitStack() as stack:
        a = members([etcd.tooz_url], A)
        wait_until(lambda: a.last_error, bound=BOUND, what="the error is known")
        assert str(etcd.port) in a.last_error and "\n" not in a.last_error
        stack.enter_context(etcd)
        sees(a, A)
        assert a.last_error is None
    assert not any(record.exc_info for record in caplog.records)
