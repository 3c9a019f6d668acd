"""``obsvc engine`` and ``obsvc db upgrade`` as processes: starts, wrong starts, stops, and the contract over HTTP."""
from __future__ import annotations

import base64
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import bcrypt
import psutil
import pytest

from obsvc.cmd import demo_summary
from obsvc.engine.upgrade import upgrade
from obsvc.engine_client import conformance
from obsvc.engine_client.contract import Empty
from obsvc.engine_client.http import HttpEngine
from obsvc.engine_client.observations import ChangesRequest, StartItem, StartRequest
from obsvc.exceptions import Unauthorized
from obsvc.model import Condition, Ref
from tests.support.processes.servers import PostgreSQL, free_port, wait_until

BOUND = 60.0


class Engine:
    """One engine process with a configuration of its own."""

    def __init__(self, folder: pathlib.Path, url: str, **options: object) -> None:
        self.port, self.url = free_port(), url
        self.config = folder / f"engine-{self.port}.conf"
        engine = {"bind_port": self.port, "poll_interval": 0.02, "drain_timeout": 0.5, "threads": 16, **options}
        lines = ["[database]", f"url = {url}", "[engine]", *(f"{name} = {value}" for name, value in engine.items())]
        self.config.write_text("\n".join(lines) + "\n")
        self.log = folder / f"engine-{self.port}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self._command(*words), capture_output=True, text=True, timeout=BOUND, check=False)

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "obsvc.cmd.main", "--config-file", str(self.config), *words]

    def upgrade(self, partitions: int = 16) -> Engine:
        upgrade(self.url, partitions=partitions)
        return self

    def start(self, *, ready: bool = True) -> Engine:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self._command("engine"), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        path, status = ("/readyz", 200) if ready else ("/healthz", 200)
        wait_until(lambda: self.get(path)[0] == status, bound=BOUND, what=f"engine on {self.port}, log {self.log}")
        return self

    def get(self, path: str) -> tuple[int, dict[str, object]]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as reply:
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def client(self, **options: str) -> HttpEngine:
        return HttpEngine([f"http://127.0.0.1:{self.port}"], timeout=10.0, user_agent="test", **options)

    def family(self) -> list[psutil.Process]:
        assert self.process is not None
        return psutil.Process(self.process.pid).children(recursive=True)

    def due_child(self) -> psutil.Process | None:
        found = [one for one in self.family() if "obsvc.engine.due_process" in one.cmdline()]
        return found[0] if found else None

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(BOUND)


@pytest.fixture
def make(tmp_path):
    made: list[Engine] = []

    def one(url: str | None = None, **options) -> Engine:
        made.append(Engine(tmp_path, url or f"sqlite:///{tmp_path / 'db' / 'obsvc.sqlite'}", **options))
        return made[-1]

    yield one
    for engine in made:
        engine.kill()


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The one line with which a wrong start ended."""
    assert done.returncode != 0
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and "Traceback" not in done.stderr, done.stderr
    return lines[0]


@pytest.mark.parametrize(
    "check", conformance.CHECKS,
    ids=lambda check: check.__name__)
def test_the_contract_holds_over_http_and_each_database(check, served):
    check(served)


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "mariadb"])
def served(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    if request.param == "sqlite":
        url = f"sqlite:///{folder / 'obsvc.sqlite'}"
    else:
        url = request.getfixturevalue(f"shared_{request.param}").create_database("conformance")
    engine = Engine(folder, url).upgrade().start()
    yield engine.client()
    engine.kill()


def test_a_schema_that_is_not_there(make):
    assert "run 'obsvc db upgrade'" in one_line(make().run("engine"))


def test_a_wrong_database_url(make):
    assert "[database] url: expected sqlite:" in one_line(make("oracle://a:geheim@b/c").run("engine"))
    assert "geheim" not in one_line(make("oracle://a:geheim@b/c").run("db", "upgrade"))


def test_another_p(make):
    engine = make()
    assert engine.run("db", "upgrade", "--partitions", "16").returncode == 0
    assert "made with 16 partitions, 32" in one_line(engine.run("db", "upgrade", "--partitions", "32"))


def test_noauth_on_another_address(make):
    engine = make(bind_host="0.0.0.0").upgrade()
    assert "expected a loopback address" in one_line(engine.run("engine"))


def test_a_port_in_use(make):
    engine = make().upgrade()
    with socket.socket() as other:
        other.bind(("127.0.0.1", engine.port))
        other.listen(1)
        assert f"port {engine.port}: Address already in use" in one_line(engine.run("engine"))


def test_a_user_file_that_is_not_there(make):
    engine = make(auth_strategy="http_basic", http_basic_auth_user_file="/nonexistent").upgrade()
    assert "/nonexistent" in one_line(engine.run("engine"))


def test_the_engine_has_users_of_its_own_and_takes_no_token(make, tmp_path):
    users = tmp_path / "htpasswd"
    users.write_text("observer:" + bcrypt.hashpw(b"open", bcrypt.gensalt(4)).decode() + "\n")
    engine = make(auth_strategy="http_basic", http_basic_auth_user_file=users).upgrade().start()
    assert engine.client(username="observer", password="open").info(Empty()).partitions == 16
    for wrong in ({}, {"username": "observer", "password": "shut"}, {"username": "tenant", "password": "open"}):
        with pytest.raises(Unauthorized):
            engine.client(**wrong).info(Empty())
    password = "Basic " + base64.b64encode(b"observer:open").decode()
    for token in ("X-Auth-Token", "X-Service-Token"):
        for headers, status in (({token: "t"}, 401), ({token: "t", "Authorization": password}, 403)):
            request = urllib.request.Request(f"http://127.0.0.1:{engine.port}/v1/info", b"{}", headers)
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(request, timeout=BOUND)
            assert caught.value.code == status


def test_a_bad_option_value(make):
    assert "threads" in one_line(make(threads="many").run("engine"))


def test_an_unreachable_database_is_waited_for(make, tmp_path):
    server = PostgreSQL()
    try:
        server.start()
        url = server.create_database("late")
        engine = make(url).upgrade()
        server.kill()
        engine.start(ready=False)
        status, answer = engine.get("/readyz")
        assert status == 503 and "can't be reached" in str(answer["reason"])
        assert "Traceback" not in engine.log.read_text()
        assert engine.log.read_text().count("the engine waits for its database") == 1
        server.start()
        wait_until(lambda: engine.get("/readyz")[0] == 200, bound=BOUND, what="the engine ready again")
        assert engine.client().info(Empty()).partitions == 16
    finally:
        server.__exit__()


def test_a_stop_answers_who_waits_and_leaves_no_process(make):
    engine = make().upgrade().start()
    family = engine.family()
    assert len(family) == 2
    client = engine.client()
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.changes, ChangesRequest(wait=40.0))
        assert engine.process is not None
        wait_until(lambda: _established(engine), bound=BOUND, what="the long poll")
        engine.process.send_signal(signal.SIGTERM)
        assert waiting.result(BOUND).deltas == ()
        assert engine.process.wait(BOUND) == 0
    _gone(family)


def _established(engine: Engine) -> bool:
    return any(
        one.status == "ESTABLISHED" and one.laddr.port == engine.port
        for process in engine.family() for one in process.net_connections()
    )


def _gone(family: list[psutil.Process]) -> None:
    """Wait until each has ended; a container's init may leave zombies of it."""
    wait_until(lambda: not any(_lives(one) for one in family), bound=BOUND, what=f"the end of {family}")


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_children_die_with_their_parent(make):
    engine = make().upgrade().start()
    family = engine.family()
    engine.kill()
    _gone(family)


def test_a_dead_due_child_is_started_again(make):
    engine = make().upgrade().start()
    first = wait_until(engine.due_child, bound=BOUND, what="the due child")
    os.kill(first.pid, signal.SIGKILL)
    wait_until(
        lambda: (again := engine.due_child()) is not None and again.pid != first.pid, bound=BOUND, what="another one"
    )


def test_two_engines_share_a_database_and_wake_each_other(make, postgresql_url):
    one, two = make(postgresql_url).upgrade().start(), make(postgresql_url).start()
    from concurrent.futures import ThreadPoolExecutor

    from obsvc.engine_client.observations import StartItem, StartRequest
    from obsvc.engine_client.ownership import ClaimReason, ClaimRequest, FollowRequest, PartitionClaim
    from obsvc.model import MemberId, Ref, partition

    ref, member = Ref("R", "compute.server", "x"), MemberId("a", "1")
    number = partition(ref, 16)
    claimed = one.client().claim(ClaimRequest(member, "c", (PartitionClaim(number, ClaimReason.VACANT),)))
    known = ((number, claimed.grants[0].generation, 0),)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(two.client().follow, FollowRequest(member, known, wait=40.0))
        wait_until(lambda: _established(two), bound=BOUND, what="the long poll")
        one.client().start(StartRequest((StartItem(ref),)))
        assert [seen.ref for seen in waiting.result(BOUND).changes[0].changed] == [ref]


def test_the_metrics_are_those_of_all_its_processes(make, postgresql_url):
    """Whichever of gunicorn's workers is asked, and with the child for due work; nothing of them is left at the end."""
    engine = make(postgresql_url, processes=3).upgrade().start()
    wait_until(lambda: len(engine.family()) == 4, bound=BOUND, what="three workers and the due child")

    def asked() -> float:
        return metrics(engine).get('obsvc_engine_request_seconds_count{operation="changes"}', 0.0)

    workers = [one for one in engine.family() if one.pid != engine.due_child().pid]
    for count in range(1, 31):
        engine.client().changes(ChangesRequest())  # each by a connection of its own, for any of the workers to take
        assert asked() == count
    item = StartItem(Ref("RegionOne", "compute.server", "1"), Condition.ACTIVE, timeout=0.1)
    engine.client().start(StartRequest((item,)))
    wait_until(lambda: metrics(engine).get('obsvc_due_total{kind="observation_deadline"}'), bound=BOUND,
               what="what the due child did")
    assert not any("pid=" in name for name in metrics(engine))
    workers[0].kill()
    wait_until(lambda: len(engine.family()) == 4 and workers[0] not in engine.family(), bound=BOUND,
               what="a worker in place of the killed one")
    assert asked() == 30, "what a dead worker counted stays"

    folder = pathlib.Path(engine.due_child().environ()["PROMETHEUS_MULTIPROC_DIR"])
    assert folder.is_dir()
    engine.process.terminate()
    engine.process.wait(BOUND)
    assert not folder.exists()


def metrics(engine: Engine) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{engine.port}/metrics", timeout=10) as reply:
        return demo_summary.parse_metrics(reply.read().decode())


def test_connections_wait_to_be_accepted_when_many_come_at_once(make):
    """All members come back at the same moment, and the worker has not got round to any of them yet."""
    engine = make().upgrade().start()
    wait_until(engine.due_child, bound=BOUND, what="the due child")
    [worker] = [one for one in engine.family() if one.pid != engine.due_child().pid]
    worker.suspend()
    try:
        with contextlib.ExitStack() as stack:
            for _ in range(100):
                stack.enter_context(socket.create_connection(("127.0.0.1", engine.port), timeout=BOUND))
    finally:
        worker.resume()
