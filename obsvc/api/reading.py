"""Reading single resources from the engine, with the reads of many threads combined into one request.

Changes come in bursts, and wake everybody who waits for them: a thousand requests would cost the engine a thousand
times as much as one.  No thread waits for others to join: one that finds no request under way sends its own, and those
that come meanwhile share the next.

Any thread may call.
"""
from __future__ import annotations

import threading

from obsvc.engine_client.contract import ResourcesApi
from obsvc.engine_client.observations import ReadRequest, Resource
from obsvc.exceptions import NotFound, ObsvcError
from obsvc.model import Ref

#: Requests under way at once, so that one that hangs does not hold up the others.
AT_ONCE = 4

#: Refs in one request.
TOGETHER = 200


class _Asked:
    """One thread's question: it is either answered, or its thread sends the next request."""

    def __init__(self, ref: Ref) -> None:
        self.ref = ref
        self.woken = threading.Event()
        self.leads = False
        self.found: Resource | None = None
        self.error: ObsvcError | None = None


class Reader:
    def __init__(self, engine: ResourcesApi) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._asked: list[_Asked] = []  # empty while fewer than AT_ONCE are under way
        self._under_way = 0

    def read(self, ref: Ref) -> Resource:
        """The engine's copy, as of a request that is sent from now on; NotFound where nobody observes it."""
        mine = _Asked(ref)
        with self._lock:
            self._asked.append(mine)
            if self._under_way < AT_ONCE:
                self._under_way += 1
                mine.leads = True
        if not mine.leads:
            mine.woken.wait()
        if mine.leads:
            self._lead()
        if mine.error is not None:
            raise mine.error
        if mine.found is None:
            raise NotFound(f"{ref} is not observed: start an observation of it first")
        return mine.found

    def _lead(self) -> None:
        """Answer the questions asked so far, then let the next thread lead."""
        with self._lock:
            together, self._asked = self._asked[:TOGETHER], self._asked[TOGETHER:]
        error: ObsvcError | None = ObsvcError("the request was cut off: send it again")
        try:
            refs = tuple(dict.fromkeys(question.ref for question in together))
            by_ref = {resource.ref: resource for resource in self._engine.read_resources(ReadRequest(refs)).resources}
            for question in together:
                question.found = by_ref.get(question.ref)
            error = None
        except ObsvcError as failed:
            error = failed
        finally:
            for question in together:
                question.error, question.leads = error, False
                question.woken.set()
            with self._lock:
                if self._asked:
                    self._asked[0].leads = True
                    self._asked[0].woken.set()
                else:
                    self._under_way -= 1
