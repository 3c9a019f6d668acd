"""The assignment: complete, bounded, and the same everywhere."""
from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from obsvc.partitioning.assignment import assign, capacity

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


def test_names_that_repeat_each_other_share_no_points():
    names = ["1", "11", "111"]
    assert len(Counter(assign(names, 1024))) == 3
    assert assign(names, 1024) == assign(list(reversed(names)), 1024)


@pytest.mark.parametrize("seed", ["0", "1", "77"])
def test_the_hash_seed_of_the_process_does_not_matter(seed):
    code = (
        "import zlib; from obsvc.partitioning.assignment import assign;"
        "print(zlib.crc32(','.join(assign({'1', '11', 'a', 'aa', 'b'}, 256)).encode()))"
    )
    here = __import__("zlib").crc32(",".join(assign(["1", "11", "a", "aa", "b"], 256)).encode())
    env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONWARNINGS": "ignore"}
    out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True, timeout=60)
    assert int(out.stdout) == here
