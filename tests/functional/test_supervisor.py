"""The supervisor: what ends is started again, what was killed on purpose is not, and nothing is left behind."""
import os
import signal
import sys

import pytest

from obsvc.cmd.supervisor import Child, Supervisor
from tests.support.processes.servers import wait_until

FOREVER = (sys.executable, "-c", "import signal; signal.pause()")


@pytest.fixture
def supervisor():
    made = Supervisor().start()
    yield made
    made.stop()


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_child_that_ends_is_started_again(supervisor):
    supervisor.add(Child("one", FOREVER))
    first = wait_until(lambda: supervisor.pid("one"), bound=10, what="the first start")
    os.kill(first, signal.SIGKILL)
    second = wait_until(lambda: supervisor.restarts() == {"one": 1} and supervisor.pid("one"), bound=10,
                        what="the second start")
    assert second != first


def test_a_child_killed_on_purpose_stays_ended(supervisor):
    supervisor.add(Child("one", FOREVER))
    supervisor.add(Child("two", FOREVER))
    pid = wait_until(lambda: supervisor.pid("one"), bound=10, what="the start")
    supervisor.kill("one")
    wait_until(lambda: supervisor.pid("one") is None, bound=10, what="its end")
    second = wait_until(lambda: supervisor.pid("two"), bound=10, what="the other's start")
    os.kill(second, signal.SIGKILL)
    wait_until(lambda: supervisor.restarts()["two"] == 1, bound=10, what="the other's new start")
    assert supervisor.pid("one") is None and _gone(pid) and supervisor.restarts()["one"] == 0


def test_stop_ends_every_child(supervisor):
    supervisor.add(Child("one", FOREVER))
    supervisor.add(Child("two", FOREVER))
    pids = [wait_until(lambda n=name: supervisor.pid(n), bound=10, what=name) for name in ("one", "two")]
    supervisor.stop([["two"]])
    assert all(_gone(pid) for pid in pids)
