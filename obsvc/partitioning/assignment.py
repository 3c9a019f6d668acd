"""Partition → member name: a pure function of the set of members.

Rendezvous hashing with bounded loads.  Each member ranks all partitions in an order drawn from its name.  A partition
goes to the member that ranks it highest.  A member that gets more than its capacity keeps those that it ranks highest;
the others go, in the order of their ranks, to members with room left: each to the member with the smallest quotient of
rank and square root of room.  By rank alone, members that are nearly full would be filled up, and partitions of full
members are the ones that move with the next change; the square root moves a tenth fewer (measured).

Why ranks and not a ring of points such as tooz's: on a ring a member's load is left to chance, ±22 % with 50 members
and 1024 partitions; with a permutation for each member it is ±15 %.  Bounding it then moves a third as many partitions
between members that neither join nor leave (measured: docs/partitioning.md).

Every member computes this by itself, so the result must not depend on the order in which members are listed, on the
process, or on Python's hash seed; tests pin values.  Any thread may call.

Sources: Thaler, Ravishankar, "Using name-based mappings to increase hit rates" (1998), for rendezvous hashing;
Eisenbud and others, "Maglev" (2016), for a permutation of the slots for each member; Mirrokni, Thorup, Zadimoghaddam,
"Consistent Hashing with Bounded Loads" (2016), for the bound.
"""
from __future__ import annotations

import functools
import hashlib
import struct
from collections.abc import Iterable


def capacity(members: int, partitions: int) -> int:
    """The maximum number of partitions of one member out of ``members``: 1.1 × its share, rounded down.

    But at least 1.05 × the share, rounded up, which is more for shares of less than 20 partitions: with less room, most
    of them would move with each change.  With more, the balance would be worse.
    """
    return max(11 * partitions // (10 * members), -(-21 * partitions // (20 * members)))


def assign(members: Iterable[str], partitions: int) -> tuple[str, ...]:
    """The member name of each partition, by index; ``()`` without members.

    members: names, in any order; duplicates count once.  partitions: P.
    """
    names = sorted(set(members))
    if not names:
        return ()
    ranks = list(zip(*(_ranks(name, partitions) for name in names), strict=True))
    room = [capacity(len(names), partitions)] * len(names)
    owners = [""] * partitions
    excess = []
    for highest, partition in sorted((min(ranks[partition]), partition) for partition in range(partitions)):
        member = ranks[partition].index(highest)
        if room[member]:
            room[member] -= 1
            owners[partition] = names[member]
        else:
            excess.append(partition)
    free = list(room)
    for partition in excess:
        rank = ranks[partition]
        member = min((member for member, left in enumerate(room) if left),
                     key=lambda member: rank[member] ** 2 / free[member])
        room[member] -= 1
        owners[partition] = names[member]
    return tuple(owners)


@functools.lru_cache(maxsize=256)
def _ranks(name: str, partitions: int) -> tuple[int, ...]:
    """A member's rank of each partition, by index; the smallest number is the highest rank.

    The position of the partition in the member's order, followed by 32 random bits, so that two members hardly ever
    rank a partition equally (then the first name gets it).  Members must agree on this: changing it is a protocol
    change.
    """
    drawn = struct.unpack(f"<{partitions}Q", hashlib.shake_128(name.encode()).digest(8 * partitions))
    ranks = [0] * partitions
    for place, partition in enumerate(sorted(range(partitions), key=drawn.__getitem__)):
        ranks[partition] = place << 32 | drawn[partition] & 0xFFFFFFFF
    return tuple(ranks)
