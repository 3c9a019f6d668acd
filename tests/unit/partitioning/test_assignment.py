"""The assignment: complete, bounded, and the same everywhere."""
from __future__ import annotations

import os
import pathlib
import statistics
import subprocess
import sys
import zlib
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from obsvc.partitioning import table
from obsvc.partitioning.assignment import assign, capacity
from tests.support.examples import QUICK, profile

NAMES = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(st.sets(NAMES, min_size=1, max_size=12), st.randoms())
def test_every_partition_has_one_member_within_the_bound_whatever_the_order(names, random):
    listed = list(names)
    random.shuffle(listed)
    owners = assign(listed, 64)
    assert owners == assign(sorted(names), 64)
    assert len(owners) == 64 and set(owners) <= names
    assert max(Counter(owners).values()) <= capacity(len(names), 64)


def test_without_members_nothing_is_assigned():
    assert assign([], 1024) == ()


def test_one_member_owns_everything():
    assert assign(["only"], 8) == ("only",) * 8


@pytest.mark.parametrize("seed", ["0", "1", "77"])
def test_the_hash_seed_of_the_process_does_not_matter(seed):
    code = (
        "import zlib; from obsvc.partitioning.assignment import assign;"
        "print(zlib.crc32(','.join(assign({'1', '11', 'a', 'aa', 'b'}, 256)).encode()))"
    )
    here = zlib.crc32(",".join(assign(["1", "11", "a", "aa", "b"], 256)).encode())
    env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONWARNINGS": "ignore"}
    out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True, timeout=60)
    assert int(out.stdout) == here


def test_values_that_members_agree_on_are_pinned():
    """A change of these moves partitions in every deployment, and members of both versions would disagree."""
    assert assign(["a", "b", "c"], 16) == tuple("cabccbbbacbccaab")
    for members, checksum in ((10, 1810826808), (50, 3104691068)):
        owners = assign([f"obs-{number}" for number in range(members)], 1024)
        assert zlib.crc32(",".join(owners).encode()) == checksum


def test_balance_and_movement_from_3_to_50_members():
    for size in (3, 5, 10, 25, 50):
        found = [table.step(family, size) for family in table.FAMILIES]
        assert max(step.balance for step in found) <= 1.12
        assert statistics.mean(ratio for step in found for ratio in step.joined) <= 1.4
        assert statistics.mean(ratio for step in found for ratio in step.left) <= 1.4


def test_the_documented_table_is_the_computed_one():
    text = (pathlib.Path(__file__).parents[3] / "docs" / "partitioning.md").read_text()
    documented = text.split("<!-- table: python -m obsvc.partitioning.table -->\n")[1].split("<!-- end of table -->")[0]
    if profile() == QUICK:
        documented, _, last = documented.rstrip("\n").rpartition("\n")  # the last row is of all sizes: most of the work
        assert last.startswith("| 3 to 50 |")
        assert documented == "\n".join([*table.HEAD, *(table.row(size) for size in table.ROWS)])
    else:
        assert documented == table.render()
