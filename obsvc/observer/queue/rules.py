"""The work queue's rules, without threads: every method takes the time and returns at once.

State of a ref (each ref has at most one :class:`~obsvc.observer.queue.entry.Entry`, which is what makes it *dirty*):

====================  ========================================================================
idle                  no entry, not in ``processing``
waiting               entry with a due time to come, in the heap
ready                 entry in ``lanes``: due, not processed
processing            in ``processing``, no entry
processing and dirty  in ``processing`` with an entry, which is placed when the processing ends
====================  ========================================================================

Hence a ref is never processed twice at once, and whatever is added while it is processed is looked at once more
afterwards.  The idea of the dirty and processing sets is client-go's ``util/workqueue``.

Not thread-safe: :class:`obsvc.observer.queue.work_queue.WorkQueue` holds the lock.
"""
from __future__ import annotations

import heapq
import random
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from obsvc.model import Cause, Ref
from obsvc.observer.fetching.gate import ServiceLane
from obsvc.observer.queue.entry import DueLook, Entry, Postponement, Priority, priority_of
from obsvc.observer.queue.lanes import Gate, Lanes, OpenGate, one_lane
from obsvc.process.backoff import Backoff


@dataclass(frozen=True)
class QueueSettings:
    """coalesce_interval: seconds, see ``[observer]``.

    limit: due refs at which the queue calls itself full.
    settle_delay: seconds, see ``[observer]``: a notification-driven look that must wait is made this long after the
        newest notification, so that it is its settle look too; but no longer than ``coalesce_interval`` beyond that.
    backoff: seconds after the first failure; doubles up to ``backoff_max``, times a jitter of 0.5 to 1.
        0.5 s: most failures are one lost connection; 30 s: a ref whose service came back is seen within that.
    """

    coalesce_interval: float = 1.0
    limit: int = 20_000
    settle_delay: float = 0.0
    backoff: float = 0.5
    backoff_max: float = 30.0


class QueueCore:
    """See the module; ``now`` is always monotonic seconds and never goes back."""

    def __init__(
        self,
        settings: QueueSettings,
        *,
        lane_of: Callable[[Ref], ServiceLane] = one_lane,
        gate: Gate | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.settings = settings
        self._backoff = Backoff(settings.backoff, settings.backoff_max)
        self.gate: Gate = gate or OpenGate()

        #: The refs that need a look: every ref that was added and not taken since.  Each is in exactly one of
        #: ``processing``, ``lanes`` (its entry is ready) and ``_heap`` (its entry has a place there).
        self.entries: dict[Ref, Entry] = {}

        #: The refs being looked at, with their looks; None for one whose poll is replaced.  A ref may be in here and
        #: in ``entries``: it was added meanwhile, and is placed when its processing ends.
        self.processing: dict[Ref, DueLook | None] = {}

        #: The refs that are due and not processed, in the order of service.
        self.lanes = Lanes(lane_of)

        #: (due time, place, ref) of the entries that are not due yet.  Items whose place is no longer that of the
        #: ref's entry are outdated: they stay until they ripen, and are dropped then.
        self._heap: list[tuple[float, int, Ref]] = []

        #: The newest place that was given; each is given once.
        self._places = 0

        #: When the coalescing interval of a ref ends, in that order: all intervals are equally long.
        self._quiet: OrderedDict[Ref, float] = OrderedDict()

        #: Failed looks in a row, of the refs whose newest look failed.
        self._failures: dict[Ref, int] = {}

        #: Those of ``processing`` that share the request of another: they passed no gate, and leave none.
        self._ungated: set[Ref] = set()

        #: Those of ``processing`` that were forgotten meanwhile, and not added again since.
        self._forgotten: set[Ref] = set()

        self._rng = rng or random.Random()

    # -- adding ------------------------------------------------------------------------------------------------

    def add(self, ref: Ref, cause: Cause, now: float, *, announced: str | None = None, urgent: bool = False,
            priority: Priority | None = None, postpone: Postponement | None = None, no_change: bool = False) -> bool:
        """Ask for a look: now; or, for a notification that is not urgent, after the ref's coalescing interval; or, for
        one that may ``postpone`` it, as late as that allows.

        True when this made a new entry, False when it joined one.
        """
        notified = cause is Cause.NOTIFIED
        states = (announced,) if notified else ()
        entry, new = self._entry(ref, cause, now, priority, states, no_change=no_change or postpone is not None)
        waits = notified and (not urgent or ref in self._failures)
        if ref in self.processing:
            if postpone is not None:
                entry.postponement = postpone
            elif waits:
                entry.after_quiet = True
            elif notified:
                entry.urgent.append(announced)
            else:
                entry.no_later_than(now)
        elif not entry.ready:
            quiet_until = self._quiet.get(ref, now)
            if postpone is not None and postpone.known:
                entry.postpone_poll(now, postpone)
            elif waits and (quiet_until > now or entry.gather_due is not None):
                entry.gather_until(now, self._gathered(entry, now, quiet_until))
            else:
                entry.no_later_than(now)
            self._place(ref, entry, now)
        return new

    def _gathered(self, entry: Entry, now: float, quiet_until: float) -> float:
        """When a look that gathers notifications, the newest of ``now``, is to be made."""
        since = now if entry.gather_due is None else entry.gather_since
        latest = since + self.settings.settle_delay + self.settings.coalesce_interval
        return max(quiet_until, min(now + self.settings.settle_delay, latest))

    def add_after(self, ref: Ref, delay: float, cause: Cause, now: float, *,
                  priority: Priority | None = None, gathers: bool = False, postponable: bool = False) -> bool:
        """Ask for a look in ``delay`` seconds; one entry a ref, the earliest time wins.

        gathers: a notification that comes before moves it on, and is answered by it.  postponable: so does one that may
        postpone a poll, and only such a one.
        """
        entry, new = self._entry(ref, cause, now, priority, (), no_change=False)
        due = now + max(delay, 0.0)
        if ref in self.processing or not entry.ready:
            if gathers:
                entry.gather_until(now, due)
            elif postponable:
                entry.poll_by(now, due)
            else:
                entry.no_later_than(due)
        if ref not in self.processing and not entry.ready:
            self._place(ref, entry, now)
        return new

    def _entry(self, ref: Ref, cause: Cause, now: float, priority: Priority | None,
               announced: tuple[str | None, ...], *, no_change: bool) -> tuple[Entry, bool]:
        wanted = priority_of(cause) if priority is None else priority
        entry = self.entries.get(ref)
        new = entry is None
        if entry is None:
            entry = self.entries[ref] = Entry(cause, now, wanted)
            self._forgotten.discard(ref)
        if entry.ready and wanted < entry.priority:
            self.lanes.remove(ref, entry.priority)
            self.lanes.push(ref, wanted)
        entry.join(cause, now, wanted, announced, no_change=no_change)
        return entry, new

    def _place(self, ref: Ref, entry: Entry, now: float) -> None:
        """Put an entry whose ref is not processed where its due time says."""
        due = entry.due_at
        if due is not None and due > now:
            if entry.place and due == entry.placed_due:
                return
            self._places += 1
            entry.place, entry.placed_due = self._places, due
            heapq.heappush(self._heap, (due, entry.place, ref))
        else:
            entry.place = 0
            entry.ready = True
            self.lanes.push(ref, entry.priority)

    # -- taking ------------------------------------------------------------------------------------------------

    def take(self, now: float) -> tuple[DueLook | None, float]:
        """The next look, now in ``processing``; else None and the seconds until asking again (may be inf)."""
        self.ripen(now)
        ref, wait = self.lanes.take(self.gate, now)
        if ref is None:
            upcoming = self._heap[0][0] - now if self._heap else float("inf")
            return None, min(wait, upcoming)
        return self._begin(ref), 0.0

    def take_with(self, ref: Ref, most: int, may: Callable[[Ref], bool]) -> list[DueLook]:
        """Further looks that share the request of ``ref``, which is processed: due, of its type and region, and
        none that failed before.  They are processed from now on and pass no gate: a request is counted once."""
        def fits(other: Ref) -> bool:
            return (other.resource_type == ref.resource_type and other.region == ref.region
                    and other not in self._failures and may(other))

        taken = self.lanes.take_alike(self.lanes.lane_of(ref), fits, most)
        self._ungated.update(taken)
        return [self._begin(other) for other in taken]

    def _begin(self, ref: Ref) -> DueLook:
        entry = self.entries.pop(ref)
        look = DueLook(ref, entry.cause, entry.since, entry.announced, self._failures.get(ref, 0) + 1, entry.adds,
                       entry.news, entry.priority, entry.news_at, entry.no_change)
        self.processing[ref] = look
        return look

    def ripen(self, now: float) -> None:
        """Move what has become due to the lanes, and forget coalescing intervals that are over."""
        while self._heap and self._heap[0][0] <= now:
            _, place, ref = heapq.heappop(self._heap)
            entry = self.entries.get(ref)
            if entry is not None and entry.place == place:
                self._place(ref, entry, now)
        while self._quiet:
            ref, until = next(iter(self._quiet.items()))
            if until > now:
                return
            del self._quiet[ref]

    def replace_poll(self, ref: Ref) -> bool:
        """Take ``ref`` as processed, without a look: by something that makes its next poll needless.  Ends by
        :meth:`done`.  False where it is processed already, or waits for more than a poll."""
        entry = self.entries.get(ref)
        if ref in self.processing or (entry is not None and entry.cause is not Cause.POLLED):
            return False
        if entry is not None:
            if entry.ready:
                self.lanes.remove(ref, entry.priority)
            del self.entries[ref]
        self.processing[ref] = None
        return True

    # -- ending ------------------------------------------------------------------------------------------------

    def done(self, ref: Ref, now: float, *, shows: Callable[[str], bool] | None = None,
             under_way: bool = False) -> None:
        """The look was made: forget failures, begin the coalescing interval, place what was added meanwhile.

        shows: whether the look showed an announced state, so that urgent requests that it has answered need not hurry.
        under_way: the look showed that something is under way.
        """
        if self._leave(ref, now):
            self._failures.pop(ref, None)
            self._after_look(ref, now, shows, under_way=under_way)

    def retry(self, ref: Ref, now: float, *, after: float | None = None) -> float:
        """The look failed: it is made again after the ref's backoff, or ``after`` seconds if that is more.

        Answers the delay in seconds.
        """
        look = self.processing.get(ref)
        if not self._leave(ref, now) or look is None:
            return 0.0
        failures = self._failures[ref] = self._failures.get(ref, 0) + 1
        delay = max(self._backoff.delay(failures, self._rng.uniform), after or 0.0)
        entry = self.entries.get(ref)
        if entry is not None and entry.urgent:
            entry.urgent, entry.after_quiet = [], True  # haste does not help what just failed
        # A takeover's looks are accounted for apart, and its retries with them.
        self._give_back(look, now + delay, Cause.TAKEOVER if look.cause is Cause.TAKEOVER else Cause.RETRY)
        self._after_look(ref, now, None, under_way=False)
        return delay

    def put_back(self, ref: Ref, now: float, delay: float) -> None:
        """The look was not tried: as it was, again in ``delay`` seconds; no failure is counted."""
        look = self.processing.get(ref)
        if self._leave(ref, now) and look is not None:
            self._give_back(look, now + delay, look.cause)
            entry = self.entries[ref]
            entry.place_after_look(now, lambda _: now + delay, None, under_way=False)
            self._place(ref, entry, now)

    def _leave(self, ref: Ref, now: float) -> bool:
        """End the processing of ``ref``; False where there is nothing more to do for it."""
        if ref not in self.processing:
            return False
        if self.processing.pop(ref) is not None and ref not in self._ungated:
            self.gate.leave(self.lanes.lane_of(ref), now)
        self._ungated.discard(ref)
        if ref in self._forgotten:
            self._forgotten.discard(ref)
            return False
        return True

    def _give_back(self, look: DueLook, due: float, cause: Cause) -> None:
        """Make or join the entry of ``look``'s ref, with ``look`` as the older of the two."""
        entry = self.entries.get(look.ref)
        if entry is None:
            entry = self.entries[look.ref] = Entry(cause, look.since, look.priority)
        entry.join_older(look, cause)
        entry.no_later_than(due)

    def _after_look(self, ref: Ref, now: float, shows: Callable[[str], bool] | None, *,
                    under_way: bool) -> None:
        """Begin the coalescing interval of ``ref``, and place what was added while it was processed."""
        until = now + self.settings.coalesce_interval
        self._quiet.pop(ref, None)
        if until > now:
            self._quiet[ref] = until
        entry = self.entries.get(ref)
        if entry is not None:
            entry.place_after_look(now, lambda waiting: self._gathered(waiting, waiting.news_at, until), shows,
                                   under_way=under_way)
            self._place(ref, entry, now)

    # -- forgetting and looking on ------------------------------------------------------------------------------

    def forget(self, ref: Ref) -> None:
        """Nothing about ``ref`` is wanted any more; a look under way ends without another."""
        entry = self.entries.pop(ref, None)
        if entry is not None and entry.ready:
            self.lanes.remove(ref, entry.priority)
        self._failures.pop(ref, None)
        self._quiet.pop(ref, None)
        if ref in self.processing:
            self._forgotten.add(ref)

    def retry_now(self, lane: ServiceLane, now: float) -> int:
        """What failed in ``lane`` and waits for its backoff is due now; answers how many."""
        waiting = [
            ref for ref in self._failures
            if ref not in self.processing and (entry := self.entries.get(ref)) is not None and not entry.ready
            and self.lanes.lane_of(ref) == lane
        ]
        for ref in waiting:
            self.entries[ref].no_later_than(now)
            self._place(ref, self.entries[ref], now)
        return len(waiting)

    def backlog(self, now: float) -> int:
        """Refs due in lanes that are open: what a faster cloud would already have answered."""
        return sum(depth for lane, depth in self.lanes.depths().items() if not self.gate.shut(lane, now))
