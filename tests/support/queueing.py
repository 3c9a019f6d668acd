"""What the tests of the work queue share."""
from __future__ import annotations

import random

from obsvc.model import Cause, Ref
from obsvc.observer.queue.work_queue import QueueSettings, WorkQueue
from obsvc.process.clock import ManualClock

A, B, C = (Ref("R", "compute.server", name) for name in "abc")


class TopJitter(random.Random):
    """The longest jitter, always."""

    def uniform(self, a, b):
        return b


def make_queue(clock: ManualClock) -> WorkQueue:
    return WorkQueue(QueueSettings(coalesce_interval=1.0, limit=3, backoff=0.5, backoff_max=30.0), clock=clock,
                     rng=TopJitter())


def notify(queue, ref, announced=None, *, urgent=False):
    return queue.add(ref, Cause.NOTIFIED, announced=announced, urgent=urgent)


def refs_due(queue):
    found = []
    while (look := queue.get()) is not None:
        found.append(look.ref)
        queue.done(look)
    return found
