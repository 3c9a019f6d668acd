"""Watchers over real processes: cut off at random under load, over restarts of API and engine, and by command."""
from __future__ import annotations

import contextlib
import json
import random
import subprocess
import threading
import time

import pytest

from obsvc.client import Client
from obsvc.engine_client.contract import Engine
from obsvc.engine_client.http import HttpEngine
from obsvc.engine_client.observations import ChangesRequest
from obsvc.exceptions import FeedTruncated, TooManyRequests, Unavailable
from obsvc.model import Condition
from tests.chaos.proxy import MODES, PASS, Proxies
from tests.support.processes.deployment import Deployment, SimulatedCloud, obsvc
from tests.support.processes.reporting import StandIn, patiently
from tests.support.processes.servers import wait_until

#: Watchers by stream, and followers by long poll; each behind a proxy of its own.
WATCHERS, FOLLOWERS = 4, 2

#: Changes of one report, and seconds between two reports.
BATCH, PACE = 10, 0.05


@pytest.fixture(scope="module")
def deployment(tmp_path_factory):
    """An engine and an API; the tests report themselves."""
    folder = tmp_path_factory.mktemp("watch")
    made = Deployment(folder, database=f"sqlite:///{folder}/obsvc.sqlite", coordination=f"file://{folder}/members",
                      bus=f"filesystem://{folder}/bus", cloud=SimulatedCloud(folder, None), observers=0, workers=0,
                      partitions=16)
    made.upgrade_database()
    try:
        for name in ("engine-1", "api"):
            made.processes[name].start()
            made.wait_ready(name)
        yield made
    finally:
        made.__exit__()


@pytest.fixture(scope="module")
def engine(deployment) -> Engine:
    return HttpEngine([f"http://127.0.0.1:{deployment.engine_ports[0]}"], timeout=5)


@pytest.fixture
def stand_in(engine):
    return StandIn(engine)


class Reader:
    """Reads the feed on a thread of its own from ``since``; the versions in the order in which they came."""

    def __init__(self, read, since):
        self.seen: list[int] = []
        self.error: BaseException | None = None
        self._read, self._since = read, since
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            for change in self._read(self._since):
                self.seen.append(change.version)
        except Exception as error:  # noqa: BLE001 - told by the test
            self.error = error


def by_long_poll(client):
    """The feed as a client reads it that has nothing but ``changes``."""
    def read(since):
        while True:
            with contextlib.suppress(Unavailable, TooManyRequests):
                page = client.changes(since, wait=2.0)
                since = page.next
                yield from page.changes
    return read


def watched_under_faults(deployment, engine, stand_in, seconds: float, seed: int) -> None:
    """Every reader sees each change that was made in ``seconds`` of faults and load exactly once, in order."""
    refs = stand_in.observe("sim.resource", 40)
    since = patiently(lambda: engine.changes(ChangesRequest(since=None))).next
    proxies = Proxies(seed)
    ways = [f"reader-{number}/api" for number in range(WATCHERS + FOLLOWERS)]
    clients = [Client(f"http://127.0.0.1:{proxies.add(way, deployment.api_port)}") for way in ways]
    readers = [Reader(lambda after, client=client: client.watch(after, heartbeat=1.0), since)
               for client in clients[:WATCHERS]]
    readers += [Reader(by_long_poll(client), since) for client in clients[WATCHERS:]]
    made: list[int] = []
    over = threading.Event()
    load = threading.Thread(target=_load, args=(stand_in, refs, made, over), daemon=True)
    try:
        load.start()
        _disturb(deployment, proxies, ways, seconds, random.Random(seed))
        proxies.heal()
        over.set()
        load.join(90)
        assert not load.is_alive() and made == list(range(since + 1, since + 1 + len(made)))
        for reader in readers:
            wait_until(lambda reader=reader: reader.error or len(reader.seen) >= len(made), bound=60,
                       what="a reader has seen everything")
            assert (reader.error, reader.seen) == (None, made)
    finally:
        over.set()
        proxies.close()


def _load(stand_in, refs, made, over):
    at = 0
    while not over.is_set():
        made += stand_in.change([refs[(at + each) % len(refs)] for each in range(BATCH)])
        at += BATCH
        over.wait(PACE)


def _disturb(deployment, proxies, ways, seconds, chance):
    """Cut readers off at random all the time; meanwhile the API is killed, then the engine, then both are restarted."""
    began = time.monotonic()
    restarts = [("api", "kill"), ("engine-1", "kill"), ("api", "stop"), ("engine-1", "stop")]
    due = [began + seconds * (number + 1) / (len(restarts) + 1) for number in range(len(restarts))]
    while restarts or time.monotonic() < began + seconds:
        for way in ways:
            proxies.turn(way, chance.choice([*MODES.values(), PASS, PASS]))
        if due and time.monotonic() >= due[0]:
            due.pop(0)
            name, end = restarts.pop(0)
            process = deployment.processes[name]
            process.kill() if end == "kill" else process.stop()
            process.start()
            deployment.wait_ready(name)
        time.sleep(chance.uniform(0.1, 1.5))


def test_every_change_comes_exactly_once_whatever_is_cut_or_killed(deployment, engine, stand_in):
    watched_under_faults(deployment, engine, stand_in, 12.0, seed=1)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [11, 12, 13])
def test_every_change_comes_exactly_once_over_a_minute_and_more(deployment, engine, stand_in, seed):
    watched_under_faults(deployment, engine, stand_in, 75.0, seed)


def test_a_change_is_at_its_watchers_while_they_watch(deployment, stand_in):
    refs = stand_in.observe("sim.resource", 3)
    client = Client(deployment.api_url)
    since = client.changes(0, limit=1).next  # no filter: somewhere in the past is enough
    one, two = (Reader(lambda after, ref=ref: client.watch(after, resource_id=ref.resource_id), since)
                for ref in refs[:2])
    stand_in.change(refs)
    [second] = stand_in.change(refs[1:2])
    wait_until(lambda: len(one.seen) == 1 and len(two.seen) == 2, bound=30, what="the changes of each")
    assert two.seen[1] == second and not {*one.seen} & {*two.seen}


def test_obsvc_watch_prints_each_change_on_a_line(deployment, stand_in):
    refs = stand_in.observe("sim.resource", 2)
    since = max(stand_in.change(refs))
    first, second = stand_in.change(refs)
    words = ("watch", "--since", str(since), "--limit", "2", "--type", "sim.resource")
    lines = [json.loads(line) for line in deployment.run(*words, "-f", "json").stdout.splitlines()]
    assert [each["version"] for each in lines] == [first, second] and lines[0]["resource_id"] == refs[0].resource_id
    text = deployment.run(*words).stdout.splitlines()
    assert len(text) == 2 and refs[0].resource_id in text[0] and "active -> pending" in text[0]


def test_obsvc_wait_ends_when_the_resource_is_as_wanted(deployment, stand_in):
    [ref] = stand_in.observe("sim.resource", 1)
    waiting = subprocess.Popen(
        [*obsvc("wait", ref.resource_type, ref.resource_id, "--for", "active", "--timeout", "60", "-f", "json"),
         "--api-url", deployment.api_url], stdout=subprocess.PIPE, text=True)
    client = Client(deployment.api_url)
    wait_until(lambda: [each for each in client.observations(resource_id=ref.resource_id) if each.goal == "active"],
               bound=30, what="the command's observation")
    stand_in.become([ref], Condition.ACTIVE)
    told, _ = waiting.communicate(timeout=60)
    assert waiting.returncode == 0 and json.loads(told)["condition"] == "active"
    left = [each.goal for each in client.observations(resource_id=ref.resource_id)]
    assert left == [None], "its own observation is stopped, the other one stays"
    done = deployment.run("wait", ref.resource_type, ref.resource_id, "--for", "deleted", "--timeout", "0.5",
                          check=False)
    assert done.returncode == 1 and "waiting" in done.stdout


def test_a_version_that_is_gone_is_made_up_for_by_a_listing(deployment, engine, stand_in):
    refs = stand_in.observe("sim.resource", 2)
    versions = stand_in.change(refs)
    client = Client(deployment.api_url)
    newest = patiently(lambda: engine.changes(ChangesRequest(since=None))).next
    with pytest.raises(FeedTruncated):
        client.changes(newest + 1000)
    changes = iter(client.watch(newest + 1000, resource_type="sim.resource"))
    found = []
    while len({each.resource_id for each in found} & {each.resource_id for each in refs}) < 2:
        found.append(next(changes))
    assert {each.cause for each in found} == {"listed"} and [each.version for each in found][-2:] == versions
    [live] = stand_in.change(refs[:1])
    assert next(changes).version == live
