"""What this member holds, and telling the worker: each grant once, its end once, in the order in which they happened.

Any thread may call.  The worker's ``granted`` and ``lost`` are called under a lock of this module: the worker must not
call back while it holds a lock that these two would wait for.
"""
from __future__ import annotations

import logging
import random
import threading
from collections.abc import Iterable, Mapping, Sequence

from obsvc import metrics
from obsvc.engine_client.ownership import Grant
from obsvc.model import Generation, PartitionId
from obsvc.partitioning import plan
from obsvc.partitioning.grants import Grants
from obsvc.partitioning.partition_worker import PartitionWorker
from obsvc.process.clock import Clock

LOG = logging.getLogger(__name__)


class Holding:
    """own: this member's name.  rest: seconds (about) for which a lost partition is left alone."""

    def __init__(self, own: str, worker: PartitionWorker, clock: Clock, rng: random.Random, *, rest: float) -> None:
        self.grants = Grants()
        self._own = own
        self._worker = worker
        self._clock = clock
        self._rng = rng
        self._rest = rest
        self._telling = threading.RLock()
        self._asked_lock = threading.Lock()
        self._asked: dict[PartitionId, float] = {}  # when that was last heard, monotonic seconds
        self._handing_over: set[tuple[PartitionId, Generation]] = set()
        self._idle = threading.Condition()

    def take(self, grant: Grant) -> None:
        """The engine granted it."""
        with self._asked_lock:
            self._asked.pop(grant.partition, None)
        with self._telling:
            before = self.grants.grant(grant.partition, grant.generation)
            if before is not None:
                self._worker.lost(grant.partition, before, "granted anew")
            self._worker.granted(grant)
        metrics.PARTITIONS_HELD.set(self.grants.count())

    def lose(self, partition: PartitionId, generation: Generation, why: str) -> None:
        """It belongs to another member; nothing happens unless it is held under this generation."""
        rest = self._rng.uniform(0.5, 1.5) * self._rest
        with self._telling:
            if not self.grants.drop(partition, generation, rest_until=self._clock.monotonic() + rest):
                return
            LOG.warning("partition %d (generation %d) is lost: %s", partition, generation, why)
            self._worker.lost(partition, generation, why)
        self._forget(partition, generation)
        self.tell_idle()

    def lose_all(
        self, partitions: Iterable[PartitionId], known: Mapping[PartitionId, Generation] | None, why: str
    ) -> None:
        """known: the generations that the engine was asked about, so that a newer grant is not mistaken for the old
        one."""
        held = self.grants.held()
        for partition in partitions:
            generation = (known or held).get(partition)
            if generation is not None:
                self.lose(partition, generation, why)

    def begin_release(self, partition: PartitionId, generation: Generation, *, taken: bool) -> bool:
        """The worker has released it; False when it is not held under this generation."""
        with self._telling:
            if not self.grants.begin_release(partition, generation, taken=taken):
                return False
        self._forget(partition, generation)
        return True

    def asked_for(self, partitions: Iterable[PartitionId]) -> None:
        """Other members wait for these."""
        now = self._clock.monotonic()
        with self._asked_lock:
            self._asked.update(dict.fromkeys(partitions, now))

    def hand_over(
        self, assignment: Sequence[str] | None, *, asked_after: float = float("-inf"), everything: bool = False
    ) -> None:
        """Tell the worker of each partition that is to be handed over now, once a grant.

        assignment: see :func:`plan.to_hand_over`.  asked_after: monotonic seconds; older requests don't count: the
        member that made them may be gone, or not want the partition any more.  everything: also what nobody asked for.
        """
        held = self.grants.held()
        with self._asked_lock:
            asked = set(held) if everything else {number for number, at in self._asked.items() if at >= asked_after}
        for partition in plan.to_hand_over(self._own, asked, held, assignment):
            key = (partition, held[partition])
            if key not in self._handing_over:
                self._handing_over.add(key)
                LOG.debug("partition %d (generation %d) is to be handed over", *key)
                self._worker.asked(partition)

    def wait_idle(self, timeout: float) -> bool:
        """Wait until nothing is held or being released; True if that happened within ``timeout`` seconds."""
        with self._idle:
            return self._idle.wait_for(self.grants.idle, timeout)

    def tell_idle(self) -> None:
        with self._idle:
            self._idle.notify_all()

    def _forget(self, partition: PartitionId, generation: Generation) -> None:
        with self._asked_lock:
            self._asked.pop(partition, None)
        self._handing_over.discard((partition, generation))
        metrics.PARTITIONS_HELD.set(self.grants.count())
