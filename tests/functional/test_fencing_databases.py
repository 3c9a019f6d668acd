"""Fencing under the real locks of SQLite, PostgreSQL and MariaDB: who comes late is refused, and is told about."""
from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from obsvc import metrics
from obsvc.engine.ownership import grants
from obsvc.engine.reports import reporting
from obsvc.engine_client.observations import ChangesRequest, PartitionsRequest, StartItem, StartRequest
from obsvc.engine_client.ownership import ClaimReason, ClaimRequest, PartitionClaim, ReleaseRequest
from obsvc.engine_client.reports import ReportRequest, Verdict
from obsvc.model import MemberId, partition
from tests.support.store_reports import PARTITIONS, claim_all, refs, report_of

A, AGAIN, B = MemberId("a", "1"), MemberId("a", "2"), MemberId("b", "1")
(REF,) = refs(1)
NUMBER = partition(REF, PARTITIONS)


def refused(operation: str, reason: str) -> float:
    return metrics.REFUSED.labels(operation=operation, reason=reason)._value.get()


def begun(service):
    """REF is observed, and its partition A's."""
    service.start(StartRequest((StartItem(REF),)))
    return claim_all(service, A, "one")


def claim(service, member, claim_id, reason=ClaimReason.VANISHED):
    return service.claim(ClaimRequest(member, claim_id, (PartitionClaim(NUMBER, reason),)))


def report(service, member, held, sequence, status="ACTIVE"):
    (outcome,) = service.report(ReportRequest(member, (report_of(REF, held, sequence, status=status),))).outcomes
    return outcome


def statuses(service):
    return [delta.status for delta in service.changes(ChangesRequest()).deltas]


def owner(service):
    return service.partitions(PartitionsRequest((NUMBER,))).partitions[0].owner


def held_open(store, work):
    """Run ``work(tx)`` in a transaction that stays open until ``go`` is set; (future, go) once work is done."""
    done, go = threading.Event(), threading.Event()

    def slow(tx):
        reply = work(tx)
        done.set()
        assert go.wait(30)
        return reply

    pool = ThreadPoolExecutor(1)
    future = pool.submit(store.run, slow)
    pool.shutdown(wait=False)
    assert done.wait(30)
    return future, go


def test_a_report_waits_for_a_claim_under_way_and_is_refused_then(service, store, caplog):
    held = begun(service)
    before = refused("report", "old_generation")
    request = ClaimRequest(B, "two", (PartitionClaim(NUMBER, ClaimReason.VANISHED),))
    claiming, go = held_open(store, lambda tx: grants.claim(tx, request))
    with ThreadPoolExecutor(1) as pool, caplog.at_level(logging.WARNING, "obsvc.engine.ownership.grants"):
        reporting_ = pool.submit(report, service, A, held, 1)
        threading.Event().wait(0.3)  # the chance to be taken, without the lock
        assert not reporting_.done()
        go.set()
        assert claiming.result(30).grants[0].generation == held[NUMBER] + 1
        assert reporting_.result(30).verdict is Verdict.STALE_GENERATION
    assert statuses(service) == [] and refused("report", "old_generation") == before + 1
    (line,) = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert f"partition {NUMBER} under generation {held[NUMBER]} (old_generation)" in line and str(B) in line


def test_a_member_that_slept_through_two_owners_is_refused_and_its_release_lets_nothing_go(service):
    held = begun(service)
    claim(service, B, "two")
    claim(service, MemberId("c", "1"), "three")
    before = refused("release", "old_generation")
    assert report(service, A, held, 1).verdict is Verdict.STALE_GENERATION
    assert service.release(ReleaseRequest(A, ((NUMBER, held[NUMBER]),))).not_held == (NUMBER,)
    assert owner(service) == MemberId("c", "1") and refused("release", "old_generation") == before + 1


def test_a_late_release_waits_for_a_claim_under_way_and_lets_nothing_go(service, store):
    held = begun(service)
    request = ClaimRequest(B, "two", (PartitionClaim(NUMBER, ClaimReason.VANISHED),))
    claiming, go = held_open(store, lambda tx: grants.claim(tx, request))
    with ThreadPoolExecutor(1) as pool:
        releasing = pool.submit(service.release, ReleaseRequest(A, ((NUMBER, held[NUMBER]),)))
        threading.Event().wait(0.3)
        assert not releasing.done()
        go.set()
        claiming.result(30)
        assert releasing.result(30).not_held == (NUMBER,)
    assert owner(service) == B


def test_of_two_processes_with_one_name_the_one_granted_last_alone_writes(service):
    first = begun(service)
    before = refused("report", "other_incarnation")
    again = {NUMBER: claim(service, AGAIN, "one").grants[0].generation}  # by chance with the same claim id
    assert again[NUMBER] == first[NUMBER] + 1
    assert report(service, A, first, 1, "OLD").verdict is Verdict.STALE_GENERATION
    assert report(service, A, again, 1, "STOLEN").verdict is Verdict.STALE_GENERATION
    assert report(service, AGAIN, again, 1, "NEW").verdict is Verdict.ACCEPTED
    assert statuses(service) == ["NEW"] and refused("report", "other_incarnation") == before + 2


def test_processes_with_one_name_that_claim_at_once_get_a_generation_each(service):
    members = [MemberId("a", str(number)) for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        granted = list(pool.map(lambda one: claim(service, one, "one").grants[0].generation, members))
    assert sorted(granted) == list(range(1, 7))
    assert owner(service) == members[granted.index(6)]
    service.start(StartRequest((StartItem(REF),)))
    with ThreadPoolExecutor(6) as pool:
        verdicts = list(pool.map(
            lambda one: report(service, one[0], {NUMBER: one[1]}, 1).verdict, zip(members, granted, strict=True)))
    assert sorted(verdicts) == [Verdict.ACCEPTED] + [Verdict.STALE_GENERATION] * 5


def test_a_report_sent_again_while_the_first_is_under_way_makes_one_delta(service, store):
    """Its sender's time was over: four copies of it reach the engine, one of them still in its transaction."""
    held = begun(service)
    request = ReportRequest(A, (report_of(REF, held, 1),))
    before = metrics.REPEATED._value.get()
    first, go = held_open(store, lambda tx: reporting.write_reports(tx, request))
    with ThreadPoolExecutor(3) as pool:
        again = [pool.submit(service.report, request) for _ in range(3)]
        threading.Event().wait(0.3)
        assert not any(one.done() for one in again)
        go.set()
        answers = [first.result(30), *(one.result(30) for one in again)]
    assert {one.outcomes[0].verdict for one in answers} == {Verdict.ACCEPTED}
    assert {one.outcomes[0].version for one in answers} == {1}
    assert statuses(service) == ["ACTIVE"] and metrics.REPEATED._value.get() == before + 3


def test_a_replay_of_all_that_was_ever_sent_changes_nothing(service):
    held = begun(service)
    sent = [ReportRequest(A, (report_of(REF, held, number, status=f"S{number}"),)) for number in (1, 2, 3)]
    first = [service.report(one).outcomes[0] for one in sent]
    before = refused("report", "superseded")
    again = [service.report(one).outcomes[0] for one in sent]
    assert [one.verdict for one in again] == [Verdict.SUPERSEDED, Verdict.SUPERSEDED, Verdict.ACCEPTED]
    assert again[2] == first[2] and refused("report", "superseded") == before + 2
    assert statuses(service) == ["S1", "S2", "S3"]


@pytest.mark.parametrize("generation", [7, 1_000_000])
def test_a_generation_that_was_never_granted_is_refused(service, generation):
    """As after a restore of the database from a backup: the member must claim anew."""
    begun(service)
    before = refused("report", "unknown_generation")
    assert report(service, A, {NUMBER: generation}, 1).verdict is Verdict.STALE_GENERATION
    assert refused("report", "unknown_generation") == before + 1


def test_claims_and_reports_race_and_nothing_is_written_under_an_old_generation(service):
    """Two claim from each other, and report under what they were granted last, as fast as they can."""
    service.start(StartRequest((StartItem(REF),)))
    written, lock = [], threading.Lock()

    def fight(member):
        for turn in range(12):
            held = {NUMBER: claim(service, member, f"{member}{turn}").grants[0].generation}
            for sequence in range(3):
                outcome = report(service, member, held, 3 * turn + sequence + 1, f"{held[NUMBER]}.{sequence}")
                if outcome.verdict is Verdict.ACCEPTED:
                    with lock:
                        written.append((outcome.version, held[NUMBER]))

    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(fight, member) for member in (A, B)]:
            future.result(120)
    generations = [generation for _, generation in sorted(written)]
    assert generations == sorted(generations) and len(generations) >= 1
    assert len(statuses(service)) == len(written)
