"""The ledger: nothing is acknowledged that is not settled, nothing settled is forgotten, no tag is given out twice."""
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from obsvc.listeners.settlement import Ackable, Ledger


def test_prefix_stops_at_the_oldest_unsettled():
    ledger = Ledger()
    first, second, third = (ledger.arrived(tag) for tag in (7, 8, 9))
    ledger.settle(second)
    assert ledger.take() == Ackable(())
    ledger.settle(first)
    assert ledger.take() == Ackable((7, 8))
    assert ledger.unacknowledged == ledger.unsettled == 1
    ledger.settle(third)
    assert ledger.take() == Ackable((9,))


def test_singles_pass_a_stuck_delivery():
    ledger = Ledger()
    stuck, done = ledger.arrived(1), ledger.arrived(2)
    ledger.settle(done)
    assert ledger.take(singles=True) == Ackable((), (2,))
    ledger.settle(stuck)
    assert ledger.take() == Ackable((1,))


def test_settling_twice_or_after_the_channel_died_changes_nothing():
    ledger = Ledger()
    entry = ledger.arrived(1)
    assert ledger.settle(entry) and not ledger.settle(entry)
    ledger.reset()
    again = ledger.arrived(1)  # tags begin anew with each channel
    assert not ledger.settle(entry)
    assert ledger.take() == Ackable(())
    assert ledger.settle(again)


def test_what_passed_is_acknowledged_with_what_is_around_it():
    ledger = Ledger()
    first = ledger.arrived(1)
    ledger.skipped(2)
    third = ledger.arrived(3)
    ledger.skipped(4)
    assert (ledger.unacknowledged, ledger.settled, ledger.unsettled) == (4, 2, 2)
    assert ledger.take() == Ackable(())
    ledger.settle(first)
    assert ledger.take() == Ackable((1, 2))
    assert ledger.take(singles=True) == Ackable((), (4,))
    ledger.skipped(5)
    ledger.settle(third)
    assert ledger.take() == Ackable((3, 5))
    assert ledger.unacknowledged == ledger.settled == 0


def test_the_oldest_is_the_one_that_holds_back_the_others():
    ledger = Ledger()
    assert ledger.oldest() is None
    ledger.skipped(1)
    first, second = ledger.arrived(2, 10.0), ledger.arrived(3, 20.0)
    ledger.take()
    assert ledger.oldest() == 10.0
    ledger.settle(first)
    ledger.take()
    assert ledger.oldest() == 20.0
    ledger.settle(second)
    ledger.take()
    assert ledger.oldest() is None


class LedgerMachine(RuleBasedStateMachine):
    """Against a model: a list of what arrived on this channel and sets of what was settled and acknowledged."""

    def __init__(self):
        super().__init__()
        self.ledger = Ledger()
        self.entries, self.settled, self.acknowledged, self.old = [], set(), set(), []

    @rule()
    def arrive(self):
        self.entries.append(self.ledger.arrived(len(self.entries) + 1))

    @rule()
    def pass_by(self):
        self.ledger.skipped(len(self.entries) + 1)
        self.settled.add(len(self.entries))
        self.entries.append(None)

    @precondition(lambda self: any(entry is not None for entry in self.entries))
    @rule(data=st.data())
    def settle(self, data):
        index = data.draw(st.sampled_from([n for n, entry in enumerate(self.entries) if entry is not None]))
        fresh = index not in self.settled
        assert self.ledger.settle(self.entries[index]) == fresh
        self.settled.add(index)

    @precondition(lambda self: self.old)
    @rule(data=st.data())
    def settle_old(self, data):
        assert not self.ledger.settle(data.draw(st.sampled_from(self.old)))

    @rule(singles=st.booleans())
    def take(self, singles):
        ackable = self.ledger.take(singles=singles)
        tags = [tag - 1 for tag in (*ackable.prefix, *ackable.singles)]
        assert len(set(tags)) == len(tags) and not self.acknowledged & set(tags)
        assert set(tags) <= self.settled
        self.acknowledged |= set(tags)
        if ackable.prefix:  # acknowledged with "multiple": all before it must be settled
            assert set(range(ackable.prefix[-1])) <= self.settled
        unsettled = [index for index in range(len(self.entries)) if index not in self.settled]
        oldest = unsettled[0] if unsettled else len(self.entries)
        assert set(range(oldest)) <= self.acknowledged
        if singles:
            assert self.settled == self.acknowledged

    @rule()
    def reset(self):
        self.ledger.reset()
        self.old.extend(entry for entry in self.entries if entry is not None)
        self.entries, self.settled, self.acknowledged = [], set(), set()

    @invariant()
    def counts(self):
        assert self.ledger.unsettled == len(self.entries) - len(self.settled)
        assert self.ledger.unacknowledged == len(self.entries) - len(self.acknowledged)
        assert self.ledger.settled == len(self.settled) - len(self.acknowledged)


TestLedger = LedgerMachine.TestCase
