"""How commands print, and how they read times and pairs."""
import argparse

import pytest

from obsvc.api_types import Partition
from obsvc.cmd.base import key_values, seconds
from obsvc.cmd.display import Brief, Instant, cell, fields
from obsvc.exceptions import InvalidInput
from obsvc.model import MemberId


def test_times_are_shown_as_times_and_stay_numbers_for_machines():
    shown = cell("started_at", 0.0)
    assert isinstance(shown, Instant)
    assert shown.human_readable() == "1970-01-01 00:00:00" and shown.machine_readable() == 0.0
    assert isinstance(cell("deadline", None), Brief) and isinstance(cell("name", 5), Brief)


@pytest.mark.parametrize(("value", "text"), [
    (None, ""), (True, "yes"), (1.25, "1.2"), ({"a": "b", "c": [1]}, "a=b, c=[1]"), (["x", 2], "x, 2"), ("t", "t"),
])
def test_values_are_brief(value, text):
    assert Brief(value).human_readable() == text


def test_an_owner_is_two_fields():
    row = fields(Partition(3, MemberId("a", "1"), "b", 7))
    assert (row["owner"], row["incarnation"], row["intended"]) == ("a", "1", "b")
    row = fields(Partition(3, None, None, 0))
    assert row["owner"] is None and row["incarnation"] is None


@pytest.mark.parametrize(("text", "value"), [
    ("90", 90.0), ("90s", 90.0), ("1.5m", 90.0), ("2h", 7200.0), ("1d", 86400.0)])
def test_times(text, value):
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "m", "-5", "5 minutes", "1e3"])
def test_what_is_no_time(text):
    with pytest.raises(argparse.ArgumentTypeError, match="expected a time"):
        seconds(text)


def test_pairs():
    assert key_values(["a=1", "b=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}
    with pytest.raises(InvalidInput, match="KEY=VALUE"):
        key_values(["=1"])
