"""What is remembered of looks, for people: the trail of each ref, and the recall of notifications.

Any thread may call; nothing blocks.
"""
from __future__ import annotations

from obsvc.engine_client.reports import ReportOutcome, Verdict
from obsvc.observer.fetching.result import FetchResult
from obsvc.observer.looks.recall import Recall
from obsvc.observer.looks.trail import Trails, fetch_text, look_text, verdict_text
from obsvc.observer.looks.values import Decision
from obsvc.observer.queue.entry import DueLook
from obsvc.observer.state.values import Task


class LookHistory:
    """Hears of each step of each look."""

    def __init__(self, *, trails: Trails, recall: Recall) -> None:
        self._trails = trails
        self._recall = recall

    def begun(self, look: DueLook, task: Task) -> None:
        """The look begins."""
        self._recall.begun(look.ref, look.cause, task.observed.mark_reason)
        self._trails.note(look.ref, "look", look_text(look, task))

    def fetched(self, fetched: FetchResult, decision: Decision | None) -> None:
        """Its request has ended.  decision: what follows; None where the ref is no longer ours."""
        self._trails.note(fetched.ref, "seen", fetch_text(fetched, decision))

    def answered(self, task: Task, fetched: FetchResult, outcome: ReportOutcome) -> None:
        """The engine has answered its report."""
        self._trails.note(task.ref, "verdict", verdict_text(task, outcome))
        if outcome.verdict in (Verdict.ACCEPTED, Verdict.UNCHANGED):
            changed = outcome.verdict is Verdict.ACCEPTED and task.observed.last is not None
            self._recall.reported(task.ref, fetched.began_at, changed=changed)
