"""The changes feed under many writers: no reader misses a version, or sees one late, however slow a commit is; and what
becomes of one who was away for longer than changes are kept."""
from __future__ import annotations

import contextlib
import itertools
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from obsvc.engine.database import due
from obsvc.engine.database.store import Store, Transaction
from obsvc.engine.reports import upkeep
from obsvc.engine.schema import core
from obsvc.engine.service import EngineService
from obsvc.engine.upgrade import upgrade
from obsvc.engine_client.observations import ChangesRequest, ResourcesRequest, StartItem, StartRequest
from obsvc.engine_client.ownership import ClaimReason, ClaimRequest, PartitionClaim
from obsvc.engine_client.reports import Report, ReportRequest, Verdict
from obsvc.exceptions import FeedTruncated
from obsvc.model import Cause, Condition, MemberId, Ref, Snapshot, partition
from obsvc.process.clock import ManualClock
from tests.support.engine_store import new_store
from tests.support.processes.servers import wait_until

PARTITIONS = 16
WRITERS, READERS = 8, 4
MEMBER = MemberId("a", "1")

#: Seconds that a transaction waits at most before it takes its versions, and again before it commits.
SLOWEST = 0.02


@pytest.fixture
def engines(kind, request, tmp_path):
    """Two engines on one database, whose transactions are slowed at random before their last steps."""
    url = f"sqlite:///{tmp_path / 'obsvc.sqlite'}" if kind == "sqlite" else request.getfixturevalue(f"{kind}_url")
    upgrade(url, partitions=PARTITIONS)
    stores = [Store(url, pool_size=WRITERS + READERS) for _ in range(2)]
    for store in stores:
        _slow(store)
    services = [EngineService(store) for store in stores]
    yield services
    for service, store in zip(services, stores, strict=True):
        service.shutdown()
        store.close()


def _slow(store: Store) -> None:
    def pause() -> None:
        if random.random() < 0.5:
            time.sleep(random.uniform(0, SLOWEST))

    @sa.event.listens_for(store.engine, "before_cursor_execute")
    def before_versions(connection, cursor, statement, *_):
        if statement.startswith("UPDATE feed "):
            pause()

    @sa.event.listens_for(store.engine, "commit")
    def before_commit(connection):
        pause()


class Reader:
    """Follows the feed from ``since`` as any consumer does: passes on ``next``."""

    def __init__(self, service: EngineService, since: int) -> None:
        self.service, self.since, self.position = service, since, since
        self.seen: list[int] = []

    def follow(self, over: threading.Event) -> None:
        while not over.is_set():
            page = self.service.changes(ChangesRequest(since=self.position, wait=0.5, limit=random.choice([7, 500])))
            self.seen += [one.version for one in page.deltas]
            self.position = page.next


def write(service: EngineService, refs: list[Ref], held: dict[int, int], until: float) -> int:
    """Report changes of ``refs`` until then; how many were accepted."""
    accepted = 0
    for number in range(1, 10**9):
        if time.monotonic() > until:
            return accepted
        some = random.sample(refs, random.randint(1, len(refs)))
        batch = tuple(
            Report(ref, where, held[where], number, Snapshot(
                exists=True, condition=Condition.ACTIVE, status=f"S{number}"), Cause.NOTIFIED, 1000)
            for ref in some for where in [partition(ref, PARTITIONS)])
        verdicts = [one.verdict for one in service.report(ReportRequest(MEMBER, batch)).outcomes]
        assert set(verdicts) == {Verdict.ACCEPTED}
        accepted += len(verdicts)
    raise AssertionError("unreachable")


def run(engines: list[EngineService], seconds: float) -> tuple[int, list[Reader]]:
    """Everybody writes and reads for so long; how many versions there are, and the readers at their ends."""
    wanted = [Ref("R", "sim.resource", f"r-{number}") for number in range(WRITERS * 12)]
    engines[0].start(StartRequest(tuple(StartItem(ref) for ref in wanted)))
    claims = tuple(PartitionClaim(number, ClaimReason.VACANT) for number in range(PARTITIONS))
    held = {grant.partition: grant.generation
            for grant in engines[0].claim(ClaimRequest(MEMBER, "one", claims)).grants}
    readers = [Reader(engines[number % 2], 0) for number in range(READERS)]
    over = threading.Event()
    until = time.monotonic() + seconds
    with ThreadPoolExecutor(WRITERS + READERS) as pool:
        following = [pool.submit(reader.follow, over) for reader in readers]
        writing = [pool.submit(write, engines[number % 2], wanted[number::WRITERS], held, until)
                   for number in range(WRITERS)]
        try:
            made = sum(each.result(seconds + 60) for each in writing)
            with contextlib.suppress(AssertionError):  # who has missed one is told by the caller
                wait_until(lambda: all(reader.position >= made for reader in readers), bound=30, what="the readers")
        finally:
            over.set()
        for each in following:
            each.result(30)
    return made, readers


@pytest.mark.parametrize(("kind", "seconds"), [
    ("sqlite", 5), ("postgresql", 5), ("mariadb", 5),
    *(pytest.param(kind, 60, marks=pytest.mark.long) for kind in ("postgresql", "mariadb"))])
@pytest.mark.timeout(300)
def test_no_version_is_missed_or_late_for_any_reader(engines, seconds):
    made, readers = run(engines, seconds)
    assert made > WRITERS
    for reader in readers:
        assert reader.seen == list(range(1, made + 1))
    print(f"{made} versions by {WRITERS} writers, {READERS} readers")


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_versions_that_are_taken_as_from_a_sequence_are_missed(engines, monkeypatch):
    """The proof of the test above: numbers that are in nobody's transaction are committed in another order."""
    def from_a_sequence(self: Transaction, count: int) -> int:
        with self._store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as apart, apart.begin():
            apart.execute(sa.text("SELECT 1"))
            table = core.feed
            if self.dialect == "postgresql":
                last = apart.execute(
                    sa.update(table).values(version=table.c.version + count).returning(table.c.version)).scalar_one()
            else:
                apart.execute(sa.text(f"UPDATE feed SET version = LAST_INSERT_ID(version + {count})"))
                last = apart.execute(sa.text("SELECT LAST_INSERT_ID()")).scalar_one()
        self.touched.add("feed")
        return last - count + 1

    monkeypatch.setattr(Transaction, "next_versions", from_a_sequence)
    made, readers = run(engines, 3)
    assert any(reader.seen != list(range(1, made + 1)) for reader in readers)


def test_due_work_forgets_in_batches_and_who_was_away_lists_and_then_follows(database_url, monkeypatch):
    monkeypatch.setattr(upkeep, "RETENTION_BATCH", 2)
    store = new_store(partitions=PARTITIONS, clock=ManualClock(), url=database_url)
    service, numbers = EngineService(store), itertools.count(1)
    service.prepare()
    one, other = Ref("R", "sim.resource", "one"), Ref("R", "sim.resource", "other")
    service.start(StartRequest((StartItem(one), StartItem(other))))
    claims = tuple(PartitionClaim(number, ClaimReason.VACANT) for number in range(PARTITIONS))
    held = {grant.partition: grant.generation
            for grant in service.claim(ClaimRequest(MEMBER, "one", claims)).grants}

    def change(ref: Ref) -> int:
        number, where = next(numbers), partition(ref, PARTITIONS)
        snapshot = Snapshot(exists=True, condition=Condition.ACTIVE, status=f"S{number}")
        report = Report(ref, where, held[where], number, snapshot, Cause.NOTIFIED, 1000)
        return service.report(ReportRequest(MEMBER, (report,))).outcomes[0].version

    def runs(seconds: float) -> int:
        store.clock.advance(seconds)
        return due.run_due(store)

    assert [change(one) for _ in range(5)] == [1, 2, 3, 4, 5]
    assert runs(store.settings.retention - 1) == 1, "nothing is old, and it goes on"
    assert len(service.changes(ChangesRequest(since=0)).deltas) == 5
    assert change(other) == 6
    for forgotten in (2, 4, 5):
        assert runs(upkeep.RETENTION_INTERVAL if forgotten == 2 else 1.0) == 1
        with pytest.raises(FeedTruncated, match=f"from {forgotten} to 6"):
            service.changes(ChangesRequest(since=forgotten - 1))
        assert [each.version for each in service.changes(ChangesRequest(since=forgotten)).deltas] == list(
            range(forgotten + 1, 7))
    assert runs(1.0) == 0, "no more is due before the next interval"
    listed = service.list_resources(ResourcesRequest(since=3))
    assert {each.ref: each.version for each in listed.resources} == {one: 5, other: 6} and listed.version == 6
    assert change(one) == 7
    assert [each.version for each in service.changes(ChangesRequest(since=listed.version)).deltas] == [7]
    service.shutdown()
    store.close()
