"""Whether a service answers 404 for an unusual share of its resources at once.

A wrong endpoint, an emptied cell or a restored database answers 404 for resources that are alive.  One ref that
vanished is a deletion; most of a service's refs at once, without any announcement, raise a question.

Thread-safe.
"""
from __future__ import annotations

import threading
from collections.abc import Hashable

from obsvc.model import Ref
from obsvc.process.recency_map import RecencyMap

#: Seconds that an answer counts: longer than the confirming look takes, shorter than two rounds of polling.
WINDOW = 60.0

#: Fewer absences than this are never called unusual: small deployments delete all they have.
LEAST = 10

#: Share of the refs looked at within the window from which their absence is unusual.
SHARE = 0.5

#: Refs remembered for each lane.
KEPT = 1000


class AbsenceWatch:
    """The newest answer for each ref of each lane; note every answer, then ask."""

    def __init__(self, *, window: float = WINDOW, least: int = LEAST, share: float = SHARE) -> None:
        self._window, self._least, self._share = window, least, share
        self._lock = threading.Lock()
        self._answers: dict[Hashable, RecencyMap[Ref, tuple[float, bool]]] = {}
        self._unusual: set[Hashable] = set()

    def note(self, lane: Hashable, ref: Ref, now: float, *, absent: bool, expected: bool = False) -> bool:
        """Take in one answer; True while the lane's absences are unusual.

        expected: the deletion was announced or is waited for
        (:func:`~obsvc.observer.looks.announcements.expects_absence`).  Such an absence counts for nothing, either way.
        """
        with self._lock:
            answers = self._answers.setdefault(lane, RecencyMap(KEPT))
            if not (absent and expected):
                answers.put(ref, (now, absent))
            while answers and next(iter(answers.values()))[0] < now - self._window:
                answers.popitem(last=False)
            return self._judge(lane, answers)

    def _judge(self, lane: Hashable, answers: RecencyMap[Ref, tuple[float, bool]]) -> bool:
        missing = sum(1 for _, absent in answers.values() if absent)
        present = len(answers) - missing
        if lane in self._unusual:
            if present and present >= missing:
                self._unusual.discard(lane)
        elif missing >= self._least and missing >= self._share * len(answers):
            self._unusual.add(lane)
        return lane in self._unusual
