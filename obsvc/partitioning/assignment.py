"""Partition → member name: a pure function of the set of members (DESIGN 2).

Rendezvous hashing with a bound on load.  Each member has wishes: the partitions in an order of its own, drawn from its
name.  A partition goes to the member that wishes for it most.  A member that gets more than its capacity keeps those
for which it wishes most; each of the others goes, in the order in which they were wanted, to a member with room: the
one with the least place in its order over the root of its room.  Wishes alone would fill those that are nearly full,
and what fills up is what moves with the next change; by the root of the room it is a tenth less (measured).

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


def capacity(members: int, partitions: int) -> int:
    """The most partitions that one of ``members`` may get: 1.1 × its share, rounded down.

    But never less than 1.05 × the share, rounded up, which is more where a share is less than 20 partitions: with less
    room than that most of them would move with each change.  More room than this is worse balance.
    """
    return max(11 * partitions // (10 * members), -(-21 * partitions // (20 * members)))


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
    free = list(room)
    for partition in shed:
        wish = wishes[partition]
        member = min((member for member, left in enumerate(room) if left),
                     key=lambda member: wish[member] ** 2 / free[member])
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
