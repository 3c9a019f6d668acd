"""What a process of a chaos run writes down of itself: wrapped around its own functions by ``tests.chaos.entry``.

One JSON line an event, by one write to a file opened for appending, so that a SIGKILL loses none that was begun
before it.  ``t`` is monotonic, so a process under libfaketime tells the true order too.
"""
from __future__ import annotations

import functools
import hashlib
import itertools
import os
import time
from collections.abc import Callable
from typing import Any

import msgspec

VARIABLE = "OBSVC_CHAOS_RECORD"

#: Operations whose requests and answers are kept; beats and lists are many and prove nothing that these do not.
KEPT = frozenset({"claim", "release", "report", "mark", "begin_duty", "sweep", "end_duty"})

_numbers = itertools.count(1)


class Recorder:
    """who: the process's name.  Any thread may call."""

    def __init__(self, path: str, who: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._who = {"who": who, "pid": os.getpid()}

    def note(self, kind: str, **fields: Any) -> None:
        os.write(self._file, msgspec.json.encode({"kind": kind, "t": time.monotonic(), **self._who, **fields}) + b"\n")

    def around(self, owner: type, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        """Replace a method by ``make(the method)``."""
        method = getattr(owner, name)
        setattr(owner, name, functools.wraps(method)(make(method)))


def install(command: str) -> None:
    """Record in this process, which is to run ``command``, if the environment says where."""
    path = os.environ.get(VARIABLE)
    if path is None or command != "observer":
        return
    recorder = Recorder(path, os.path.basename(path).removesuffix(".jsonl"))
    _calls(recorder)
    _fetches(recorder)
    _assignments(recorder)


def _calls(recorder: Recorder) -> None:
    from obsvc.engine_client.http import HttpEngine

    def make(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Any, operation: Any, request: Any) -> Any:
            if operation.name not in KEPT:
                return method(self, operation, request)
            number = next(_numbers)
            recorder.note("sent", number=number, op=operation.name, request=request)
            try:
                reply = method(self, operation, request)
            except Exception as error:
                recorder.note("failed", number=number, op=operation.name, error=type(error).__name__)
                raise
            recorder.note("answered", number=number, op=operation.name, request=request, reply=reply)
            return reply

        return call

    recorder.around(HttpEngine, "call", make)


def _fetches(recorder: Recorder) -> None:
    """Which refs are asked for, from when to when, and why."""
    from obsvc.observer.fetching.fetcher import Fetcher
    from obsvc.observer.looks.runner import LookRunner

    def one(method: Callable[..., Any]) -> Callable[..., Any]:
        def fetch(self: Any, ref: Any) -> Any:
            began = time.monotonic()
            try:
                return method(self, ref)
            finally:
                recorder.note("fetched", began=began, refs=[ref])

        return fetch

    def several(method: Callable[..., Any]) -> Callable[..., Any]:
        def fetch_many(self: Any, refs: Any) -> Any:
            began = time.monotonic()
            try:
                return method(self, refs)
            finally:
                recorder.note("fetched", began=began, refs=list(refs))

        return fetch_many

    def begun(method: Callable[..., Any]) -> Callable[..., Any]:
        def _begin(self: Any, look: Any) -> Any:
            found = method(self, look)
            if found is not None:
                recorder.note("look", ref=look.ref, cause=look.cause, attempt=look.attempt)
            return found

        return _begin

    recorder.around(Fetcher, "fetch", one)
    recorder.around(Fetcher, "fetch_many", several)
    recorder.around(LookRunner, "_begin", begun)


def _assignments(recorder: Recorder) -> None:
    from obsvc.partitioning import claimer

    assign = claimer.assign

    def recorded(members: Any, partitions: int) -> tuple[str, ...]:
        names = sorted(set(members))
        made = assign(members, partitions)
        digest = hashlib.sha256("\0".join(made).encode()).hexdigest()[:16]
        recorder.note("assigned", names=names, partitions=partitions, digest=digest)
        return made

    claimer.assign = recorded
