"""Partition → member name: a pure function of the set of members (DESIGN 2).

tooz's consistent-hash ring with a bound on load: partitions are placed in a fixed order, each at the first member
clockwise that still has room.  Every member computes this by itself, so the result must not depend on the order in
which members are listed, on the process, or on Python's hash seed; tests pin values.  Any thread may call.

Source of the method: Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads" (2016).  What it
costs in balance and movement, measured: docs/partitioning.md.
"""
from __future__ import annotations

from collections.abc import Iterable

from tooz import hashring

#: Points of each member on the ring.  128: with fewer, the members' arcs differ so much that the load bound moves
#: many partitions; more only cost time.
VIRTUAL_NODES = 128


def capacity(members: int, partitions: int) -> int:
    """The most partitions that one of ``members`` may get: ceil(1.1 × share)."""
    return -(-11 * partitions // (10 * members))


def assign(members: Iterable[str], partitions: int, *, virtual_nodes: int = VIRTUAL_NODES) -> tuple[str, ...]:
    """The member name of each partition, by index; ``()`` without members.

    members: names, in any order; one given twice counts once.  partitions: P.
    virtual_nodes: points per member; all members of a deployment must have the same.
    """
    names = sorted(set(members))
    if not names:
        return ()
    ring = hashring.HashRing((), partitions=virtual_nodes)
    # tooz hashes a name's repetitions, so "1" and "11" would share points and which of the two gets them would hang
    # on the order: a closing NUL, which no name has, keeps every member's points its own.
    ring.add_nodes([name + "\0" for name in names])
    room = dict.fromkeys(ring.nodes, capacity(len(names), partitions))
    full: set[str] = set()
    owners = []
    for partition in range(partitions):
        (node,) = ring.get_nodes(b"partition-%d" % partition, ignore_nodes=full)
        room[node] -= 1
        if not room[node]:
            full.add(node)
        owners.append(node[:-1])
    return tuple(owners)
