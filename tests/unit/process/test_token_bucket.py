"""A token bucket, in virtual time."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from obsvc.process.token_bucket import TokenBucket


def test_it_allows_a_burst_then_its_rate():
    bucket = TokenBucket(10.0, 10.0, 0.0)
    for _ in range(10):
        assert bucket.wait(0.0) == 0.0
        bucket.take(0.0)
    assert bucket.wait(0.0) == pytest.approx(0.1)
    assert bucket.wait(0.1) == 0.0


@given(st.floats(0.1, 200.0), st.lists(st.floats(0.0, 2.0), min_size=1, max_size=60))
def test_it_is_never_exceeded(rate, pauses):
    bucket, now, taken = TokenBucket(rate, rate, 0.0), 0.0, 0
    for pause in pauses:
        now += pause
        while bucket.wait(now) == 0.0:
            bucket.take(now)
            taken += 1
    assert taken <= max(1.0, rate) + rate * now + 1e-6


def test_another_rate_keeps_what_was_saved_as_far_as_the_new_burst_goes():
    bucket = TokenBucket(10.0, 10.0, 0.0)
    bucket.change_rate(2.0, 2.0, 0.0)
    for _ in range(2):
        assert bucket.wait(0.0) == 0.0
        bucket.take(0.0)
    assert bucket.wait(0.0) == pytest.approx(0.5)


def test_it_is_full_again_when_nothing_is_left_of_what_was_spent():
    bucket = TokenBucket(1.0, 2.0, 0.0)
    assert bucket.full(0.0)
    bucket.take(0.0)
    assert not bucket.full(0.5) and bucket.full(1.0)


def test_a_rate_of_nothing_is_refused():
    with pytest.raises(ValueError, match="above 0"):
        TokenBucket(0.0, 1.0, 0.0)
