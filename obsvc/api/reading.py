"""Reading single resources at the engine: what many threads ask for at the same time goes as one request.

Changes come in bursts, and with them everybody who waited: a thousand requests would cost the engine a thousand times
what one does.  Nobody waits for others to come: one who finds no request under way sends his own, those who come
meanwhile go together in the next.

Any thread may call.
"""
from __future__ import annotations

import threading

from obsvc.engine_client.contract import ResourcesApi
from obsvc.engine_client.observations import ReadRequest, Resource
from obsvc.exceptions import NotFound, ObsvcError
from obsvc.model import Ref

#: Requests under way at once: one that hangs holds back no others.
AT_ONCE = 4

#: Refs in one request.
TOGETHER = 200


class _Asked:
    """One thread's question: answered, or its thread is to send the next request."""

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
        """Answer what is asked now, then have the next one lead."""
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
