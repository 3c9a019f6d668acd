import pytest
from hypothesis import given
from hypothesis import strategies as st

from obsvc.process.backoff import Backoff


def test_it_doubles_up_to_its_cap():
    backoff = Backoff(0.5, 30.0, jitter=(1.0, 1.0))
    assert [backoff.delay(failures) for failures in range(1, 9)] == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_another_growth():
    assert [Backoff(1.0, 10.0, growth=1.5).without_jitter(failures) for failures in (1, 2, 3)] == [1.0, 1.5, 2.25]


def test_jitter_is_drawn_between_its_factors():
    backoff = Backoff(1.0, 30.0, jitter=(0.5, 1.5))
    assert backoff.delay(3, lambda least, most: least) == 2.0 and backoff.delay(3, lambda least, most: most) == 6.0


@given(st.floats(0.001, 100.0), st.floats(0.001, 1000.0), st.integers(0, 10_000))
def test_no_number_of_failures_is_too_many(first, most, failures):
    assert 0.0 <= Backoff(first, most).delay(failures) <= most


def test_it_does_not_change():
    with pytest.raises(AttributeError):
        Backoff(1.0, 2.0).first = 3.0
