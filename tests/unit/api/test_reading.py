"""Reads of single resources: together where they come together, each as fresh as if it went alone."""
from __future__ import annotations

import threading

import pytest

from obsvc.api.reading import AT_ONCE, TOGETHER, Reader
from obsvc.engine_client.observations import Resource, ResourcesReply
from obsvc.exceptions import NotFound, ObsvcError, Unavailable
from obsvc.model import PartitionId, Ref, Version
from tests.support.processes.servers import wait_until


def ref(number):
    return Ref("RegionOne", "compute.server", str(number))


class Engine:
    """Answers a request only when it is let: by its number, in the order in which they came."""

    def __init__(self):
        self.requests: list[tuple[Ref, ...]] = []
        self._lock = threading.Lock()
        self._gates: list[threading.Event] = [threading.Event() for _ in range(AT_ONCE + 3)]
        self.version = 1
        self.error: BaseException | None = None

    def read_resources(self, request):
        with self._lock:
            number = len(self.requests)
            self.requests.append(request.refs)
        version = self.version  # as of the request
        assert self._gates[number].wait(10)
        if self.error is not None:
            raise self.error
        return ResourcesReply(tuple(
            Resource(each, PartitionId(0), Version(version)) for each in request.refs if each != ref("missing")))


    def let(self, *numbers):
        for number in numbers:
            self._gates[number].set()


class Reading:
    """A read on a thread of its own."""

    def __init__(self, reader, which):
        self.found = self.error = None
        self._thread = threading.Thread(target=self._run, args=(reader, which), daemon=True)
        self._thread.start()

    def _run(self, reader, which):
        try:
            self.found = reader.read(which)
        except BaseException as error:  # noqa: BLE001 - told by the test
            self.error = error

    def end(self):
        self._thread.join(10)
        assert not self._thread.is_alive()
        return self


@pytest.fixture
def engine():
    return Engine()


@pytest.fixture
def reader(engine):
    return Reader(engine)


def busy(engine, reader, count=AT_ONCE):
    """As many requests under way as may be."""
    first = []
    for number in range(count):
        first.append(Reading(reader, ref(number)))
        wait_until(lambda number=number: len(engine.requests) == number + 1, bound=10, what="a request")
    return first


def queued(reader, count):
    wait_until(lambda: len(reader._asked) == count, bound=10, what=f"{count} wait for the next request")


def test_one_alone_goes_at_once(engine, reader):
    engine.let(0)
    assert reader.read(ref(1)).ref == ref(1)
    assert engine.requests == [(ref(1),)]


def test_those_who_come_meanwhile_go_together_in_the_next_and_see_what_is_then(engine, reader):
    first = busy(engine, reader)
    later = [Reading(reader, ref(each)) for each in ("a", "b", "a")]
    queued(reader, 3)
    engine.version = 2
    engine.let(*range(AT_ONCE + 1))
    assert [each.end().found.version for each in first] == [1] * AT_ONCE
    assert [each.end().found.version for each in later] == [2, 2, 2]
    assert [each.found.ref for each in later] == [ref("a"), ref("b"), ref("a")]
    assert len(engine.requests) == AT_ONCE + 1 and sorted(engine.requests[-1]) == [ref("a"), ref("b")]


def test_a_request_is_bounded_and_the_rest_goes_in_another(engine, reader):
    first = busy(engine, reader)
    later = [Reading(reader, ref(f"later-{number}")) for number in range(TOGETHER + 1)]
    queued(reader, len(later))
    engine.let(*range(AT_ONCE + 2))
    for each in (*first, *later):
        assert each.end().found is not None
    assert sorted(map(len, engine.requests[AT_ONCE:])) == [1, TOGETHER]


def test_what_is_not_there_is_missing_for_its_own_reader_alone(engine, reader):
    first = busy(engine, reader)
    there, missing = Reading(reader, ref("there")), Reading(reader, ref("missing"))
    queued(reader, 2)
    engine.let(*range(AT_ONCE + 1))
    assert there.end().found.ref == ref("there") and isinstance(missing.end().error, NotFound)
    assert all(each.end().found for each in first)


@pytest.mark.parametrize(("failure", "told"), [(Unavailable("away"), Unavailable), (RuntimeError("bug"), ObsvcError)])
def test_a_failure_reaches_all_of_its_request_and_the_next_goes_on(engine, reader, failure, told):
    first = busy(engine, reader)
    later = [Reading(reader, ref(each)) for each in ("a", "b")]
    queued(reader, 2)
    engine.let(*range(AT_ONCE))
    assert all(each.end().found for each in first)
    wait_until(lambda: len(engine.requests) == AT_ONCE + 1, bound=10, what="the next request")
    engine.error = failure
    engine.let(AT_ONCE)
    errors = {type(each.end().error) for each in later}
    assert errors == {type(failure), told}
    engine.error = None
    engine.let(AT_ONCE + 1)
    assert reader.read(ref("c")).ref == ref("c")
