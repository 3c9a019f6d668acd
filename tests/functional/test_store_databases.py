"""The engine's store on SQLite, PostgreSQL and MariaDB: schema, locks, races, retries."""
from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from obsvc import metrics
from obsvc.engine.database.databases import make_engine
from obsvc.engine.database.schema_version import check_schema
from obsvc.engine.database.store import Store
from obsvc.engine.schema import core
from obsvc.engine.schema.all import metadata
from obsvc.engine.service import EngineService
from obsvc.engine.upgrade import upgrade
from obsvc.engine_client.observations import (
    ChangesRequest,
    FindRequest,
    ObservationsRequest,
    ObservationStatus,
    PartitionsRequest,
    StartItem,
    StartRequest,
    StopRequest,
)
from obsvc.engine_client.ownership import ClaimReason, ClaimRequest, FollowRequest, ObservedRequest, PartitionClaim
from obsvc.engine_client.reports import (
    BuryRequest,
    DeadLetter,
    DeadLetterRequest,
    DeadLettersRequest,
    ReplayRequest,
    ReportRequest,
    Verdict,
)
from obsvc.exceptions import ConfigError, InvalidInput, NotFound, Unavailable
from obsvc.model import Condition, MemberId, Ref, partition
from tests.support.store_reports import PARTITIONS, claim_all, refs, report_of

A, B = MemberId("a", "1"), MemberId("b", "1")


def test_the_migrated_schema_is_what_the_code_declares(database_url):
    upgrade(database_url, partitions=PARTITIONS)
    engine = make_engine(database_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_upgrading_twice_changes_nothing_and_another_p_is_refused(database_url):
    assert "made" in upgrade(database_url, partitions=PARTITIONS)
    first = Store(database_url).deployment().database_id
    assert "up to date" in upgrade(database_url)
    assert Store(database_url).deployment().database_id == first
    with pytest.raises(ConfigError, match="made with 16 partitions, 32"):
        upgrade(database_url, partitions=32)


def test_two_upgrades_at_once_make_one_database(database_url):
    with ThreadPoolExecutor(2) as pool:
        lines = list(pool.map(lambda _: upgrade(database_url, partitions=PARTITIONS), range(2)))
    assert sorted("made" in line for line in lines) == [False, True]


def test_a_database_that_is_empty_or_newer_is_told_apart(database_url):
    store = Store(database_url)
    with pytest.raises(ConfigError, match="obsvc db upgrade"):
        check_schema(store)
    upgrade(database_url, partitions=PARTITIONS)
    check_schema(store)
    store.run(lambda tx: tx.execute(sa.text("update alembic_version set version_num = '9999'")))
    with pytest.raises(ConfigError, match="newer obsvc"):
        check_schema(store)
    with pytest.raises(ConfigError, match="newer obsvc"):
        upgrade(database_url)
    store.close()


def test_a_life_of_an_observation(service):
    (ref, other) = refs(2)
    started = service.start(StartRequest((
        StartItem(ref, Condition.ACTIVE, timeout=60.0, labels={"a": "ö"}, project_id="p"), StartItem(other),
    ))).observations
    again = service.start(StartRequest((StartItem(ref, Condition.ACTIVE, project_id="p"),))).observations
    assert again[0].observation_id == started[0].observation_id
    held = claim_all(service, A, "one")
    page = service.observed(ObservedRequest(A, tuple(held.items()), limit=1))
    assert page.next is not None and len(page.refs) == 1
    rest = service.observed(ObservedRequest(A, tuple(held.items()), after=page.next))
    assert {one.ref for one in (*page.refs, *rest.refs)} == {ref, other}
    assert sorted(number for number, _ in (*page.complete, *rest.complete)) == list(range(PARTITIONS))
    outcomes = service.report(ReportRequest(A, (report_of(ref, held, 1), report_of(other, held, 2)))).outcomes
    assert [one.verdict for one in outcomes] == [Verdict.ACCEPTED, Verdict.ACCEPTED]
    assert service.report(ReportRequest(A, (report_of(ref, held, 1),))).outcomes[0] == outcomes[0]
    assert service.report(ReportRequest(A, (report_of(ref, held, 3),))).outcomes[0].verdict is Verdict.UNCHANGED
    deltas = service.changes(ChangesRequest()).deltas
    assert [one.version for one in deltas] == [1, 2]
    listed = service.list_observations(ObservationsRequest(project_id="p")).observations
    assert [one.status for one in listed] == [ObservationStatus.MET] and listed[0].labels == {}
    (resource,) = service.find_resources(FindRequest(ref.resource_type, ref.resource_id)).resources
    assert resource.snapshot is not None and resource.snapshot.attributes == {"flavor": {"id": "ü"}}
    ids = tuple(one.observation_id for one in started)
    assert service.stop(StopRequest(ids)).stopped == ids
    assert service.stop(StopRequest(ids)).missing == ids
    assert service.report(ReportRequest(A, (report_of(ref, held, 4),))).outcomes[0].verdict is Verdict.NOT_OBSERVED
    known = tuple((number, generation, 0) for number, generation in held.items())
    follow = service.follow(FollowRequest(A, known, wait=0.0))
    assert {one for change in follow.changes for one in change.stopped} == {ref, other}


def test_refs_that_differ_in_case_or_a_trailing_space_are_two(service):
    wanted = [Ref("R", "t.x", "id"), Ref("R", "t.x", "ID"), Ref("R", "t.x", "id "), Ref("r", "t.x", "id")]
    service.start(StartRequest(tuple(StartItem(ref) for ref in wanted)))
    assert [one.ref for one in service.find_resources(FindRequest("t.x", "id")).resources] == [wanted[0], wanted[3]]
    assert sum(one.observed for one in service.partitions(PartitionsRequest()).partitions) == 4


def test_dead_letters_are_bounded(service, monkeypatch):
    monkeypatch.setattr("obsvc.engine.observations.dead_letters.KEPT", 10)
    for number in range(4):
        letters = tuple(DeadLetter("bus", "json", f"{number}.{i}", 0.0) for i in range(5))
        service.bury(BuryRequest(letters))
    kept = service.dead_letters(DeadLettersRequest(limit=10)).letters
    assert [one.detail for one in kept][:1] == ["3.4"] and len(kept) == 10


def test_a_number_beyond_what_the_database_holds_is_the_callers_fault(service):
    good = DeadLetter("bus", "json", "why", 0.0)
    with pytest.raises(InvalidInput, match="can't be stored"):
        service.bury(BuryRequest((good, DeadLetter("bus", "json", "why", 0.0, size=-194222884087304826352828416))))
    assert service.dead_letters(DeadLettersRequest(limit=1)).letters == ()


def test_a_dead_letter_is_kept_whole_and_noted_when_read_again(service):
    body = '{"a": "' + "ü" * 65_000 + '"}'
    service.bury(BuryRequest((DeadLetter("bus", "json", "why", 0.0, body=body, region="R", exchange="nova"),)))
    (listed,) = service.dead_letters(DeadLettersRequest(limit=1)).letters
    assert listed.body == "" and listed.letter_id is not None
    (ref,) = refs(1)
    service.start(StartRequest((StartItem(ref),)))
    reply = service.replay_dead_letter(ReplayRequest(listed.letter_id, (ref, Ref("R", "t.x", "unknown"))))
    assert [mark is None for mark in reply.marks] == [False, True]
    found = service.dead_letter(DeadLetterRequest(listed.letter_id))
    assert found.body == body and found.region == "R" and found.replayed_at == reply.replayed_at
    assert service.replay_dead_letter(ReplayRequest(listed.letter_id, ())).marks == ()
    with pytest.raises(NotFound):
        service.replay_dead_letter(ReplayRequest(listed.letter_id + 1, (ref,)))


def test_a_claim_waits_for_a_report_under_way_and_then_fences(service, store):
    """Fence against claim: a report that passed the fence commits before the claim is granted, never after."""
    (ref,) = refs(1)
    number = partition(ref, PARTITIONS)
    service.start(StartRequest((StartItem(ref),)))
    held = claim_all(service, A, "one")
    fenced, go, order = threading.Event(), threading.Event(), []

    def slow_report(tx):
        from obsvc.engine.reports import reporting

        reply = reporting.write_reports(tx, ReportRequest(A, (report_of(ref, held, 1),)))
        fenced.set()
        go.wait(20)
        tx.after_commit(lambda: order.append("report"))
        return reply

    def claim():
        fenced.wait(20)
        reply = service.claim(ClaimRequest(B, "two", (PartitionClaim(number, ClaimReason.VANISHED),)))
        order.append("claim")
        return reply

    with ThreadPoolExecutor(2) as pool:
        reporting_future = pool.submit(store.run, slow_report)
        claiming = pool.submit(claim)
        fenced.wait(20)
        assert not claiming.done()
        threading.Timer(0.3, go.set).start()
        assert reporting_future.result(30).outcomes[0].verdict is Verdict.ACCEPTED
        assert claiming.result(30).grants[0].generation == held[number] + 1
    assert order == ["report", "claim"]
    late = service.report(ReportRequest(A, (report_of(ref, held, 2, status="STOPPED"),)))
    assert late.outcomes[0].verdict is Verdict.STALE_GENERATION
    assert [one.status for one in service.changes(ChangesRequest()).deltas] == ["ACTIVE"]


def test_claims_race_and_generations_only_rise(service):
    members = [MemberId(f"m{number}", "1") for number in range(4)]

    def claim_often(member):
        return [
            grant.generation
            for attempt in range(5)
            for grant in service.claim(
                ClaimRequest(member, f"{member}{attempt}", (PartitionClaim(3, ClaimReason.VANISHED),))
            ).grants
        ]

    with ThreadPoolExecutor(4) as pool:
        granted = [generation for some in pool.map(claim_often, members) for generation in some]
    assert sorted(granted) == list(range(1, 21))


@pytest.mark.parametrize("kind, before", [
    ("postgresql", "SELECT 1"), ("mariadb", "SET SESSION innodb_snapshot_isolation = ON")])
def test_a_serialization_failure_is_run_again(request, kind, before):
    """One that has read finds, as it writes, that another has written meanwhile: the database refuses, for real."""
    url = request.getfixturevalue(f"{kind}_url")
    upgrade(url, partitions=PARTITIONS)
    opened = Store(url)
    opened.engine = opened.engine.execution_options(isolation_level="REPEATABLE READ")  # where this can happen
    table = core.partition
    one = table.c.partition_id == 1
    raised = sa.update(table).where(one).values(observation_version=table.c.observation_version + 1)
    seen = []
    retries = metrics.TRANSACTION_RETRIES.labels(reason="serialization")
    counted = retries._value.get()

    def work(tx):
        tx.execute(sa.text(before))
        seen.append(tx.execute(sa.select(table.c.observation_version).where(one)).scalar_one())
        if len(seen) == 1:
            with opened.engine.begin() as other:
                other.execute(raised)
        tx.execute(raised)

    try:
        opened.run(work)
        assert seen == [0, 1] and retries._value.get() == counted + 1
        assert opened.read(
            lambda tx: tx.execute(sa.select(table.c.observation_version).where(one)).scalar_one()) == 2
    finally:
        opened.close()


def test_a_dead_lock_is_run_again(store):
    """Two transactions that take two rows in opposite order both commit in the end."""
    barrier = threading.Barrier(2)
    runs = []

    def work(first: int, second: int):
        met = False

        def transaction(tx):
            nonlocal met
            runs.append(first)
            table = core.partition
            raised = table.c.observation_version + 1
            tx.execute(sa.update(table).where(table.c.partition_id == first).values(observation_version=raised))
            if not met and store.dialect != "sqlite":
                met = True
                barrier.wait(20)
            tx.execute(sa.update(table).where(table.c.partition_id == second).values(observation_version=raised))

        store.run(transaction)

    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(work, 1, 2), pool.submit(work, 2, 1)]:
            future.result(30)
    versions = store.read(
        lambda tx: tx.execute(
            sa.select(core.partition.c.observation_version).where(core.partition.c.partition_id.in_([1, 2]))
        ).scalars().all()
    )
    assert versions == [2, 2]
    assert len(runs) == (2 if store.dialect == "sqlite" else 3)


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_restart_of_the_database_is_survived(kind, request, monkeypatch):
    server = request.getfixturevalue(kind)
    url = server.create_database("restarted")
    upgrade(url, partitions=PARTITIONS)
    store = Store(url)
    service = EngineService(store)
    service.start(StartRequest((StartItem(refs(1)[0]),)))
    monkeypatch.setattr("obsvc.engine.database.store.LOST_PATIENCE", 0.2)
    server.kill()
    with pytest.raises(Unavailable, match="can't be reached"):
        service.partitions(PartitionsRequest())
    assert "can't be reached" in (service.ready() or "")
    monkeypatch.setattr("obsvc.engine.database.store.LOST_PATIENCE", 30.0)
    with ThreadPoolExecutor(1) as pool:  # asked while it is away, answered when it is back
        waiting = pool.submit(service.partitions, PartitionsRequest())
        server.start()
        assert sum(one.observed for one in waiting.result(60).partitions) == 1
    assert service.ready() is None
    store.close()


@pytest.mark.parametrize(
    "url", ["postgresql+psycopg://nobody@127.0.0.1:1/none", "mysql+pymysql://nobody@127.0.0.1:1/none"]
)
def test_an_unreachable_database_is_one_clear_line(url, monkeypatch):
    monkeypatch.setattr("obsvc.engine.database.store.LOST_PATIENCE", 0.1)
    with pytest.raises(Unavailable) as caught:
        check_schema(Store(url))
    assert "127.0.0.1:1" in caught.value.message and "\n" not in caught.value.message
    with pytest.raises(Unavailable) as caught:
        upgrade(url)
    assert "\n" not in caught.value.message


def test_a_nul_in_a_request_is_no_fault_of_ours(service):
    try:
        assert service.list_observations(ObservationsRequest(observation_id="a\0b")).observations == ()
    except InvalidInput as error:  # PostgreSQL takes none
        assert "NUL" in error.message
