"""A short run of ``tests.fuzz``: see there for what must hold.  And that the run would notice."""
import gc
import logging
import tracemalloc

import pytest

from obsvc.listeners import redact
from obsvc.messaging import wire
from tests.fuzz.corpus import CANARY, leaks, samples
from tests.fuzz.run import Fuzz
from tests.support.examples import examples

SAMPLES = samples()


@pytest.fixture
def fuzz():
    made = Fuzz(SAMPLES)
    yield made
    made.close()


def test_nothing_escapes_and_nothing_leaks(fuzz):
    result = fuzz.run(20, 0, examples(1500, quick=600), large_share=0)
    assert result.failures == []
    assert result.outcomes["understood: a resource"] > 100 and result.outcomes["dead letters"] > 100
    assert result.outcomes["unreadable: too_deep"] and result.outcomes["unreadable: not_json"]


def test_large_ones(fuzz):
    result = fuzz.run(21, 0, 12, large_share=1)
    assert result.failures == [] and result.largest > 1_000_000


def test_memory_does_not_grow(fuzz):
    for sample in SAMPLES:  # each of the catalogue's events is prepared when it comes first
        fuzz._decoder.peek(sample.body)
    fuzz.run(22, 0, 300, large_share=0)
    logging.disable(logging.CRITICAL)  # pytest keeps every record
    tracemalloc.start()
    try:
        fuzz.run(22, 300, 300, large_share=0)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        fuzz.run(22, 600, 300, large_share=0)
        gc.collect()
        # The matcher keeps up to 4096 event types; nothing else may be kept of 300 messages of kilobytes.
        assert tracemalloc.get_traced_memory()[0] - before < 100_000
    finally:
        tracemalloc.stop()
        logging.disable(logging.NOTSET)


def test_a_leak_would_be_noticed(fuzz, monkeypatch):
    monkeypatch.setattr(redact, "redact", lambda text: text)
    assert any("with a token" in failure for failure in fuzz.run(20, 0, 300, large_share=0).failures)


def test_an_error_would_be_noticed(fuzz, monkeypatch):
    monkeypatch.setattr(wire, "undecodable", lambda error: KeyError(str(error)))
    assert fuzz.run(20, 0, 100, large_share=0).failed


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "utf-8-sig", "utf-7"])
def test_another_encoding_hides_no_token(encoding):
    body = ('{"event_type": "x", "x": "' + CANARY + '"').encode(encoding)
    assert not leaks(redact.excerpt(body).replace("\N{REPLACEMENT CHARACTER}", ""))


@pytest.mark.parametrize("cut", [0, 3, 6, 50, 120])
def test_a_token_without_its_beginning_is_masked(cut):
    assert not leaks(redact.excerpt(f'{CANARY[cut:]}", "x": 1}}'.encode()))
