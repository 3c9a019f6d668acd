"""Settle looks: an API can be behind its notification.  Pure; any thread.

One more look follows ``settle_delay`` after the newest notification, unless the snapshot shows, settled, the state that
it announced *and* differs from the one before (an API that is behind can show an old ``ACTIVE``), or the look was begun
that late.  A state that was announced and is not shown yet is looked for in shorter steps, a bounded number of times:
services rest in a state for a few tenths of a second between two operations (nova 34: 0.24 s of SHUTOFF, shown 0.2 s
after it was announced).  After that polling stands behind.
"""
from __future__ import annotations

from obsvc.model import Cause, Snapshot
from obsvc.observer.fetching.result import FetchResult
from obsvc.observer.looks.announcements import differs, has_moved_on, shows, shows_under_way
from obsvc.observer.looks.values import LookSettings, Moment, NextLook
from obsvc.observer.queue.entry import DueLook
from obsvc.observer.state.look_state import LookState, SettlePlan

#: Steps, in shares of ``settle_delay``, in which an announced state is looked for that is not shown yet.  0.15 s and
#: the time of a fetch: shorter than the shortest rest that was recorded; then growing.
ANNOUNCED_STEPS = (0.15, 0.15, 0.15, 0.15, 0.3, 0.6, 1.2, 2.4)


def settle(state: LookState, look: DueLook, fetched: FetchResult, snapshot: Snapshot, moment: Moment,
           settings: LookSettings) -> tuple[SettlePlan, NextLook | None]:
    """Which settle looks are still due after ``look`` has shown ``snapshot``, and the next of them."""
    not_before = _settle_time(state, look, snapshot, settings)
    if not_before is not None and fetched.began_at >= not_before:
        not_before = None
    sought, steps = _sought(state, look)
    if sought is not None and (shows(snapshot, sought) or has_moved_on(snapshot, sought)
                               or steps >= len(ANNOUNCED_STEPS)):
        sought = None
    delays = []
    if sought is not None:
        delays.append(settings.settle_delay * ANNOUNCED_STEPS[steps])
    if not_before is not None:
        delays.append(max(not_before - moment.now, 0.0))
    next_look = NextLook(min(delays), Cause.SETTLE, gathers=sought is None) if delays else None
    return SettlePlan(sought, steps + 1 if sought is not None else 0, not_before), next_look


def _sought(state: LookState, look: DueLook) -> tuple[str | None, int]:
    """The announced state to look for, the newest that was announced, and how many looks were made for it so far."""
    if look.news:
        newest = next((word for word in reversed(look.announced) if word is not None), None)
        if newest is not None and newest != state.settle.announced:
            return newest, 0
    return state.settle.announced, state.settle.steps


def _settle_time(state: LookState, look: DueLook, snapshot: Snapshot, settings: LookSettings) -> float | None:
    """The monotonic time of the settle look itself; None where none needs to follow."""
    if not look.news:
        return state.settle.not_before
    newest = look.announced[-1] if look.announced else None
    if look.no_change and shows_under_way(snapshot):
        return None  # nothing more was announced than it shows; polling stands behind
    if newest is not None and _is_enough(state.last, snapshot, newest):
        return None
    return look.news_at + settings.settle_delay


def _is_enough(before: Snapshot | None, snapshot: Snapshot, announced: str) -> bool:
    """Whether no settle look needs to follow: the change was seen, or is looked for in steps."""
    if shows(snapshot, announced):
        return differs(before, snapshot)
    return not has_moved_on(snapshot, announced)
