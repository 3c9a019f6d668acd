"""Membership over tooz's file driver, as standalone uses it: a killed process disappears within about a lease."""
from __future__ import annotations

import subprocess
import sys

from obsvc.model import MemberId
from obsvc.partitioning.membership import Membership, read_members
from tests.support.processes.servers import wait_until

LEASE = 2.0
BOUND = 20.0
A, B = MemberId("a", "1"), MemberId("b", "1")

OTHER = """
import sys, threading
from obsvc.model import MemberId
from obsvc.partitioning.membership import Membership
Membership([sys.argv[1]], "g", MemberId("b", "1"), lease=2.0, beat_interval=0.3).start().join()
threading.Event().wait()
"""


def test_a_killed_process_disappears_and_a_stopped_one_at_once(tmp_path):
    url = f"file://{tmp_path}"
    a = Membership([url], "g", A, lease=LEASE, beat_interval=0.2).start()
    a.join()
    other = subprocess.Popen([sys.executable, "-W", "ignore", "-c", OTHER, url])
    try:
        wait_until(lambda: a.view() and a.view().members == (A, B), bound=BOUND, what="both are seen")
        assert read_members([url], "g", lease=LEASE) == [A, B]
        other.kill()
        other.wait()
        wait_until(lambda: a.view().members == (A,), bound=BOUND, what="the killed one is gone")
        assert read_members([url], "g", lease=LEASE) == [A]
    finally:
        other.kill()
        other.wait()
        a.stop()
    assert read_members([url], "g", lease=LEASE) == []


def test_a_member_whose_file_was_removed_joins_again(tmp_path):
    a = Membership([f"file://{tmp_path}"], "g", A, lease=LEASE, beat_interval=0.2).start()
    a.join()
    try:
        [file] = wait_until(lambda: list(tmp_path.glob("groups/*/*.raw")), bound=BOUND, what="the member's file")
        file.unlink()
        wait_until(file.exists, bound=BOUND, what="the file is back")
    finally:
        assert a.stop()
