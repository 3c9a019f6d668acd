"""Partition → member name: a pure function of the set of members (DESIGN 2).

Rendezvous hashing with a bound on load.  Each member has wishes: the partitions in an order of its own, drawn from its
name.  A partition goes to the member that wishes for it most.  A member that gets more than its capacity keeps those
for which it wishes most; each of the others goes to the member with room that wishes for it most, in the order in
which they were wanted.

Why wishes and no ring of points, such as tooz's: on a ring a member's load is left to chance, ±22 % at 50 members of
1024 partitions; with each member's wishes a permutation it is ±15 %.  The bound then moves a third as many partitions
from member to member when somebody joins or leaves (measured: docs/partitioning.md).

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

#: How much more than its share a member may get, in tenths.  Less room moves more partitions with each change, more
#: room is worse balance.
LOAD_BOUND_TENTHS = 11


def capacity(members: int, partitions: int) -> int:
    """The most partitions that one of ``members`` may get: ceil(1.1 × share)."""
    return -(-LOAD_BOUND_TENTHS * partitions // (10 * members))


def assign(members: Iterable[str], partitions: int) -> tuple[str, ...]:
    """The member name of each partition, by index; ``()`` without members.

    members: names, in any order; one given twice counts once.  partitions: P.
    """
    names = sorted(set(members))
    if not names:
        return ()
    wishes = list(zip(*(_wishes(name, partitions) for name in names), strict=True))
    room = [capacity(len(names), partitions)] * len(names)
    owners = [""] * partitions
    shed = []
    for strongest, partition in sorted((min(wishes[partition]), partition) for partition in range(partitions)):
        member = wishes[partition].index(strongest)
        if room[member]:
            room[member] -= 1
            owners[partition] = names[member]
        else:
            shed.append(partition)
    for partition in shed:
        member = min((member for member, left in enumerate(room) if left), key=wishes[partition].__getitem__)
        room[member] -= 1
        owners[partition] = names[member]
    return tuple(owners)


@functools.lru_cache(maxsize=256)
def _wishes(name: str, partitions: int) -> tuple[int, ...]:
    """How much a member wishes for each partition, by index; the least number is the strongest wish.

    The place of the partition in the member's order, and below it 32 bits of chance, so that hardly ever two members
    wish for one partition equally (then the first name has it).  Part of the agreement between members.
    """
    drawn = struct.unpack(f"<{partitions}Q", hashlib.shake_128(name.encode()).digest(8 * partitions))
    wishes = [0] * partitions
    for place, partition in enumerate(sorted(range(partitions), key=drawn.__getitem__)):
        wishes[partition] = place << 32 | drawn[partition] & 0xFFFFFFFF
    return tuple(wishes)
