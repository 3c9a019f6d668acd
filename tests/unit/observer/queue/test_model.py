"""Any order of calls keeps the queue's invariants (I7 of docs/design.md first of all)."""
from __future__ import annotations

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from obsvc.model import Cause, Ref
from obsvc.observer.queue.entry import Postponement
from obsvc.observer.queue.work_queue import QueueSettings, WorkQueue
from obsvc.process.clock import ManualClock
from tests.support.examples import examples

REFS = [Ref("R", kind, name) for kind in ("compute.server", "network.port") for name in "ab"]
refs = st.sampled_from(REFS)
states = st.sampled_from([None, "active", "stopped"])
delays = st.sampled_from([0.0, 0.3, 1.0, 5.0])


class Gate:
    def __init__(self):
        self.inside, self.closed = dict.fromkeys(("compute.server", "network.port"), 0), set()

    def enter(self, lane, now):
        if lane in self.closed or self.inside[lane] >= 2:
            return 1.0
        self.inside[lane] += 1
        return 0.0

    def leave(self, lane, now):
        self.inside[lane] -= 1
        assert self.inside[lane] >= 0

    def shut(self, lane, now):
        return lane in self.closed


class QueueMachine(RuleBasedStateMachine):
    """``requested``: refs with an add that no look which began after it has answered."""

    def __init__(self):
        super().__init__()
        self.clock, self.gate = ManualClock(), Gate()
        self.queue = WorkQueue(QueueSettings(), clock=self.clock, lane_of=lambda ref: ref.resource_type,
                               gate=self.gate, rng=random.Random(1))
        self.under_way, self.requested, self.instead_of = {}, set(), set()

    @rule(ref=refs, state=states, urgent=st.booleans())
    def notify(self, ref, state, urgent):
        self.queue.add(ref, Cause.NOTIFIED, announced=state, urgent=urgent)
        self.requested.add(ref)

    @rule(ref=refs, known=st.booleans())
    def under_way(self, ref, known):
        self.queue.add(ref, Cause.NOTIFIED, postpone=Postponement(2.0, 6.0, known=known))
        self.requested.add(ref)

    @rule(ref=refs, cause=st.sampled_from([Cause.STARTED, Cause.MARKED, Cause.TAKEOVER]))
    def add(self, ref, cause):
        self.queue.add(ref, cause)
        self.requested.add(ref)

    @rule(ref=refs, delay=delays, postponable=st.booleans())
    def add_after(self, ref, delay, postponable):
        self.queue.add_after(ref, delay, Cause.POLLED, postponable=postponable)
        self.requested.add(ref)

    @rule()
    def get(self):
        look = self.queue.get()
        if look is not None:
            assert look.ref not in self.under_way.keys() | self.instead_of, "I7: processed twice at once"
            assert look.ref in self.requested, "a look that nobody asked for"
            assert look.ref.resource_type not in self.gate.closed
            self.under_way[look.ref] = look
            self.requested.discard(look.ref)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), shown=states, under_way=st.booleans())
    def done(self, data, shown, under_way):
        look = self.under_way.pop(data.draw(st.sampled_from(sorted(self.under_way))))
        self.queue.done(look, shows=lambda state: state == shown, under_way=under_way)

    @rule(ref=refs)
    def instead(self, ref):
        waits = self.queue._core.entries.get(ref)
        taken = self.queue.replace_poll(ref)
        free = ref not in self.under_way.keys() | self.instead_of
        assert taken == (free and (waits is None or waits.cause is Cause.POLLED)), "it does for a poll alone"
        if taken:
            self.instead_of.add(ref)
            self.requested.discard(ref)

    @precondition(lambda self: self.instead_of)
    @rule(data=st.data())
    def reported(self, data):
        ref = data.draw(st.sampled_from(sorted(self.instead_of)))
        self.instead_of.discard(ref)
        self.queue.done(ref)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), back=st.booleans())
    def not_made(self, data, back):
        look = self.under_way.pop(data.draw(st.sampled_from(sorted(self.under_way))))
        if back:
            self.queue.put_back(look, delay=2.0)
        else:
            self.queue.retry(look)
        self.requested.add(look.ref)

    @rule(seconds=delays)
    def wait(self, seconds):
        self.clock.advance(seconds)

    @rule(lane=st.sampled_from(["compute.server", "network.port"]), closed=st.booleans())
    def door(self, lane, closed):
        (self.gate.closed.add if closed else self.gate.closed.discard)(lane)

    @invariant()
    def books_agree(self):
        core = self.queue._core
        processed = self.under_way.keys() | self.instead_of
        assert self.queue.processing == processed
        assert set(core.entries) == self.requested, "every add gets exactly one look"
        assert sum(self.gate.inside.values()) == len(self.under_way)
        ready = {ref for ref, entry in core.entries.items() if entry.ready}
        assert len(core.lanes) == len(ready) and not ready & processed
        placed = {ref for _, place, ref in core._heap if ref in core.entries and core.entries[ref].place == place}
        assert placed == set(core.entries) - ready - processed, "an entry that would never come due"

    def teardown(self):
        """Everything requested is looked at in the end."""
        self.gate.closed.clear()
        for look in [*self.under_way.values(), *self.instead_of]:
            self.queue.done(look)
        for _ in range(len(REFS)):
            self.clock.advance(60.0)
            while (look := self.queue.get()) is not None:
                self.requested.discard(look.ref)
                self.queue.done(look)
        assert not self.requested
        assert not self.queue.processing and self.queue.waiting == 0


QueueMachine.TestCase.settings = settings(max_examples=examples(120, quick=40), stateful_step_count=40, deadline=None)
TestQueueModel = QueueMachine.TestCase
