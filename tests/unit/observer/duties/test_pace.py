"""The pace of sweeps: what holds of every policy decision."""
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from obsvc.observer.duties.pace import Evidence, PaceSettings, after_sweep, between, is_full, recall, trusted

settings_ = st.builds(
    lambda fast, more, growth, good, full: PaceSettings(fast, fast + more, growth, good, full),
    st.floats(0.1, 100), st.floats(0, 1000), st.floats(1.0, 10.0), st.floats(0.0, 1.0), st.integers(1, 20),
)
evidences = st.builds(Evidence, st.integers(0, 1000), st.integers(0, 1000), st.booleans(), st.booleans())
intervals = st.floats(0, 10_000)


@given(settings_, evidences, intervals)
def test_every_interval_is_between_fast_and_slow(settings, evidence, interval):
    for decided in (after_sweep(interval, evidence, settings), between(interval, evidence, settings)):
        assert settings.fast <= decided <= settings.slow


@given(settings_, evidences, intervals)
def test_what_cannot_be_relied_on_is_swept_fast_at_once(settings, evidence, interval):
    if not trusted(evidence, settings):
        assert after_sweep(interval, evidence, settings) == settings.fast
        assert between(interval, evidence, settings) == settings.fast


@given(settings_, evidences, intervals, st.integers(0, 100))
def test_worse_evidence_never_lengthens_the_interval(settings, evidence, interval, more):
    worse = Evidence(evidence.seen, evidence.missed + more, evidence.heard, evidence.failed)
    assert after_sweep(interval, worse, settings) <= after_sweep(interval, evidence, settings)
    assert between(interval, Evidence(evidence.seen, evidence.missed, heard=False), settings) <= between(
        interval, evidence, settings)


@given(st.floats(1, 100), st.floats(1.5, 10.0), st.floats(1, 100))
def test_good_sweeps_lengthen_it_up_to_slow(fast, growth, factor):
    settings = PaceSettings(fast, fast * factor, growth)
    interval = 0.0
    for _ in range(20):
        after = after_sweep(interval, Evidence(seen=5), settings)
        assert after >= interval
        interval = after
    assert interval == settings.slow


@given(settings_, intervals)
def test_between_two_sweeps_good_news_change_nothing(settings, interval):
    kept = between(interval, Evidence(), settings)
    assert between(kept, Evidence(seen=3), settings) == kept


def test_recall_is_the_share_of_changes_that_were_told_of():
    assert recall(Evidence()) is None
    assert recall(Evidence(7, 3)) == 0.7
    assert recall(Evidence(0, 2)) == 0.0
    assert trusted(Evidence(), PaceSettings())
    assert not trusted(Evidence(7, 3), PaceSettings())


@given(settings_, st.integers(-1, 40))
def test_what_is_gone_is_found_within_full_every_sweeps(settings, sweeps):
    full = is_full(sweeps, settings, can_filter=True, asked=False)
    assert full == (sweeps < 0 or sweeps + 1 >= settings.full_every)
    assert is_full(sweeps, settings, can_filter=False, asked=False)
    assert is_full(sweeps, settings, can_filter=True, asked=True)
