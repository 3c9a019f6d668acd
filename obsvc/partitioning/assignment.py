"""Partition → member name: a pure function of the set of members (DESIGN 2).

tooz's consistent-hash ring with a bound on load, in two passes over the partitions in their fixed order: first each
goes to the member that follows it on the ring, while that one has room; then each that is left goes to the first
member clockwise that still has room.  (In one pass, what a full member sheds would push others out further on: the
two passes move 4 % less on average, and 30 % less at worst.)

Every member computes this by itself, so the result must not depend on the order in which members are listed, on the
process, or on Python's hash seed; tests pin values.  Any thread may call.

Source of the method: Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads" (2016).  What it
costs in balance and movement, measured: docs/partitioning.md.
"""
from __future__ import annotations

from collections.abc import Iterable

from tooz import hashring

#: Points of each member on the ring.  128: with fewer, the members' arcs differ so much that the load bound moves
#: many partitions; more only cost time.
VIRTUAL_NODES = 128


#: How much more than its share a member may get, in hundredths.  Less room moves more partitions with each change,
#: more room is worse balance.
LOAD_BOUND_PERCENT = 112


def capacity(members: int, partitions: int) -> int:
    """The most partitions that one of ``members`` may get: floor(1.12 × share), and enough for all of them.

    Rounded down, so that the bound is kept whatever the share: ceil(1.1 × share) is 1.14 × share at 45 members.
    """
    return max(-(-partitions // members), LOAD_BOUND_PERCENT * partitions // (100 * members))


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
    owners = [""] * partitions
    shed = []
    for partition in range(partitions):
        (node,) = ring.get_nodes(_key(partition))
        if room[node]:
            room[node] -= 1
            owners[partition] = node[:-1]
        else:
            shed.append(partition)
    full = {node for node, left in room.items() if not left}
    for partition in shed:
        (node,) = ring.get_nodes(_key(partition), ignore_nodes=full)
        room[node] -= 1
        owners[partition] = node[:-1]
        if not room[node]:
            full.add(node)
    return tuple(owners)


def _key(partition: int) -> bytes:
    """What of a partition is hashed onto the ring; part of the agreement between members."""
    return b"partition-%d" % partition
