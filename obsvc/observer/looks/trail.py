"""What was done with each ref lately, and why: a few words for each event, in memory, bounded (for ``obsvc explain``).

:meth:`Trails.note` costs a lock, a look-up and an append.  The newest events of a ref are kept, for the refs that
something happened to last.  The words are our own, or such as betray no secret: event types, states, causes, verdicts;
nothing else of a payload.  Any thread may call; nothing blocks but the lock.
"""
from __future__ import annotations

import heapq
import operator
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from obsvc.engine_client.ownership import ObservedRef
from obsvc.engine_client.reports import ReportOutcome, Verdict
from obsvc.engine_client.trails import Trail, TrailAnswer, TrailEvent
from obsvc.model import Notification, Ref
from obsvc.observer.fetching.result import FetchResult
from obsvc.observer.looks.policy import LookPolicy
from obsvc.observer.looks.values import Decision
from obsvc.observer.queue.work_queue import DueLook, Waiting, WorkQueue
from obsvc.observer.state.holdings import Holdings
from obsvc.observer.state.values import RefStatus, Task
from obsvc.process.recency_map import RecencyMap

#: How many notifications and how many other events are kept of a ref: apart, so that a storm of notifications hides
#: nothing else.
NOTIFICATIONS, EVENTS = 16, 24

#: How many refs events are kept of: at three kilobytes a ref sixty megabytes at most.
REFS = 20_000

_Event = tuple[float, str, str]


class Trails:
    """The newest events of each ref.  wall: seconds since the epoch by the engine's clock."""

    def __init__(self, wall: Callable[[], float], *, events: int = EVENTS, notifications: int = NOTIFICATIONS,
                 refs: int = REFS) -> None:
        self._wall, self._lengths = wall, (notifications, events)
        self._lock = threading.Lock()
        self._kept: RecencyMap[Ref, tuple[deque[_Event], deque[_Event]]] = RecencyMap(refs)

    def note(self, ref: Ref, what: str, text: str) -> None:
        """Something happened to ``ref``."""
        at = self._wall()
        with self._lock:
            kept = self._kept.get(ref)
            if kept is None:
                kept = (deque(maxlen=self._lengths[0]), deque(maxlen=self._lengths[1]))
                self._kept.put(ref, kept)
            else:
                self._kept.move_to_end(ref)
            kept[what != "notified"].append((at, what, text))

    def notified(self, ref: Ref, notification: Notification, *, due: bool) -> None:
        """A notification named an observed ref of ours; due: it made a look due, else it joined one."""
        says = notification.event_type + (f" announces {notification.state}" if notification.state else "")
        if notification.under_way:
            says += ", something is under way"
        self.note(ref, "notified", f"{says}: {'a look is due' if due else 'joins the look that is due already'}")

    def observed(self, observed: Iterable[ObservedRef], text: str) -> None:
        """Their observations came to this member, or changed; text: how."""
        for ref in observed:
            wanted = f", wanted {', '.join(ref.wanted)}" if ref.wanted else ""
            mark = f", mark {ref.mark} ({ref.mark_reason})" if ref.mark is not None else ""
            self.note(ref.ref, "held", f"{text}{wanted}{mark}")

    def events(self, ref: Ref) -> tuple[TrailEvent, ...]:
        """Oldest first."""
        with self._lock:
            heard, others = self._kept.get(ref, ((), ()))
            return tuple(TrailEvent(*event) for event in heapq.merge(heard, others, key=operator.itemgetter(0)))


def due_text(status: RefStatus, task: Task | None, *, processing: bool, waiting: Waiting | None,
             shut: Sequence[str]) -> str:
    """One sentence: what is due, or why nothing is.  waiting: the next look; shut: services that are left alone."""
    if status is RefStatus.NOT_OWNED:
        return "this member does not own its partition"
    if status is RefStatus.LOADING:
        return "the list of its partition is being read: what is notified meanwhile is kept"
    if status is RefStatus.HANDING_OVER:
        return "its partition is being handed over: the next owner looks at what is due"
    if status is RefStatus.NOT_OBSERVED or task is None:
        return "nobody observes it: its notifications are dropped, and remembered for a while"
    left = f"; left alone for now: {', '.join(shut)}" if shut else ""
    if processing:
        return f"a look is being made now{left}"
    if waiting is not None and waiting.seconds <= 0:
        return f"a look is due ({waiting.cause}) and waits for its turn{left}"
    if waiting is not None:
        return f"the next look is due in {waiting.seconds:.1f} s ({waiting.cause}){left}"
    if task.observed.mark is not None:
        return "a mark waits, and no look is due: its owner is told of it again"
    return ("no look is due: it is settled and no goal is waited for; a notification, a mark, a sweep or a gap of a "
            "bus makes the next one")


def look_text(look: DueLook, task: Task) -> str:
    """A look that begins."""
    again = f", try {look.attempt}" if look.attempt > 1 else ""
    mark = f", mark {task.observed.mark}" if task.observed.mark is not None else ""
    return f"{look.cause}, {look.adds} reasons{mark}, under generation {task.generation}{again}"


def fetch_text(fetched: FetchResult, decision: Decision | None) -> str:
    """What a fetch brought, and what follows from it."""
    snapshot = fetched.snapshot
    result = fetched.outcome.value
    if snapshot is not None:
        result = f"{snapshot.status} ({snapshot.condition}{'' if snapshot.settled else ', under way'})"
    elif fetched.reason:
        result += f" ({fetched.reason})"
    if decision is None:
        return f"{result}: not ours any more"
    if decision.retry:
        return f"{result}: says nothing, it is tried again"
    following = f", next look in {decision.next.delay:.1f} s ({decision.next.cause})" if decision.next else ""
    report = "reported" if decision.report is not None else "not reported"
    return f"{result}: {decision.why}, {report}{following}"


def verdict_text(task: Task, outcome: ReportOutcome) -> str:
    """What the engine said to a report."""
    version = f" as version {outcome.version}" if outcome.verdict is Verdict.ACCEPTED else ""
    wanted = f", still wanted: {', '.join(outcome.wanted)}" if outcome.wanted else ""
    return f"{outcome.verdict}{version}, under generation {task.generation}{wanted}"


class Breakers(Protocol):
    """Which services are left alone (:class:`obsvc.observer.fetching.gate.ServiceGate`)."""

    def open_breakers(self, now: float) -> Sequence[str]:
        """``region/service`` of each, at ``now`` (monotonic seconds)."""


class TrailAnswers:
    """Tells the trails that ``follow`` asks for."""

    def __init__(self, *, trails: Trails, holdings: Holdings, queue: WorkQueue, breakers: Breakers, policy: LookPolicy
                 ) -> None:
        self._trails = trails
        self._holdings = holdings
        self._queue = queue
        self._breakers = breakers
        self._policy = policy

    def tell(self, refs: Sequence[Ref]) -> tuple[TrailAnswer, ...]:
        """The trail of each of ``refs`` whose partition is held."""
        trails = []
        for ref in refs:
            generation = self._holdings.generation(self._holdings.partition_of(ref))
            if generation is not None:
                trails.append(TrailAnswer(ref, generation, self._trail(ref)))
        return tuple(trails)

    def _trail(self, ref: Ref) -> Trail:
        processing, waiting = self._queue.next_look(ref)
        moment = self._policy.moment()
        sentence = due_text(
            self._holdings.ref_status(ref), self._holdings.task(ref), processing=processing, waiting=waiting,
            shut=self._breakers.open_breakers(moment.now),
        )
        events = self._trails.events(ref)
        if waiting is None:
            return Trail(moment.wall, sentence, None, None, events)
        return Trail(moment.wall, sentence, moment.wall + max(0.0, waiting.seconds), waiting.cause.value, events)
