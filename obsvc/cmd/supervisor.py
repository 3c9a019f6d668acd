"""Keeps a set of child processes running: the process tree of ``standalone`` and ``demo``.

Each child is a command of its own, so that it can be seen, stopped and killed like any other process.  One that
ends is started again after a pause that grows; one that was told to end stays ended.  Children die with this
process, however it dies (``PR_SET_PDEATHSIG`` through util-linux's setpriv).

Every method may be called from any thread; children are started by the one monitor thread, since the kernel ties
the death signal to the thread that forked.
"""
from __future__ import annotations

import dataclasses
import logging
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence

from obsvc.process.backoff import Backoff
from obsvc.process.threads import Loop

LOG = logging.getLogger(__name__)

#: Seconds between two looks at the children.
CHECK_INTERVAL = 0.1

#: Pauses before a child that ended is started again, and seconds that it must have run for them to begin anew.
RESTART = Backoff(0.5, 30.0, jitter=(1.0, 1.0))
STEADY_AFTER = 30.0


@dataclasses.dataclass(frozen=True)
class Child:
    """One process: ``name`` is unique; ``log`` None: its standard error is ours."""

    name: str
    argv: tuple[str, ...]
    log: pathlib.Path | None = None
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    stop_bound: float = 45.0


@dataclasses.dataclass
class _State:
    child: Child
    wanted: bool = True
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    next_start: float = 0.0
    ended: int = 0  # times in a row, soon after a start
    restarts: int = -1


class Supervisor:
    """See the module's docstring.  Use: ``add`` children, ``start``, later ``stop``."""

    def __init__(self) -> None:
        self._states: dict[str, _State] = {}
        self._lock = threading.Lock()
        self._monitor = Loop("supervisor", self._watch)

    def add(self, child: Child) -> None:
        """Start ``child`` now (or with :meth:`start`) and keep it running."""
        with self._lock:
            if child.name in self._states:
                raise ValueError(f"expected a new name, {child.name} is a child already")
            self._states[child.name] = _State(child)

    def start(self) -> Supervisor:
        self._monitor.start()
        return self

    def pid(self, name: str) -> int | None:
        """The child's process id; None while it does not run."""
        with self._lock:
            process = self._states[name].process
            return process.pid if process is not None and process.poll() is None else None

    def restarts(self) -> dict[str, int]:
        """How often each child was started again after it ended by itself."""
        with self._lock:
            return {name: max(state.restarts, 0) for name, state in self._states.items()}

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to one child and do not start it again."""
        with self._lock:
            state = self._states[name]
            state.wanted = False
            if state.process is not None:
                state.process.send_signal(number)

    def stop(self, order: Sequence[Sequence[str]] = ()) -> None:
        """End all children gracefully: the groups of names in ``order`` one after the other, then the rest."""
        with self._lock:
            for state in self._states.values():
                state.wanted = False
        named = {name for group in order for name in group}
        for group in [*order, [name for name in self._states if name not in named]]:
            self._end([self._states[name] for name in group if name in self._states])
        self._monitor.stop()
        self._monitor.join(5)

    def _end(self, states: Sequence[_State]) -> None:
        with self._lock:
            running = [(state.child, state.process) for state in states if state.process is not None]
        for _, process in running:
            process.terminate()
        for child, process in running:
            try:
                process.wait(child.stop_bound)
            except subprocess.TimeoutExpired:
                LOG.warning("%s did not end within %.0f s: it is killed", child.name, child.stop_bound)
                process.kill()
                process.wait()

    def _watch(self, stop: threading.Event) -> None:
        while not stop.is_set():
            with self._lock:
                for state in self._states.values():
                    self._look(state, time.monotonic())
            stop.wait(CHECK_INTERVAL)

    def _look(self, state: _State, now: float) -> None:
        if state.process is not None:
            code = state.process.poll()
            if code is None:
                return
            state.process = None
            if now - state.started_at > STEADY_AFTER:
                state.ended = 0
            if state.wanted:
                state.ended += 1
                pause = RESTART.delay(state.ended)
                state.next_start = now + pause
                LOG.error("%s ended with code %s; it starts again in %.1f s", state.child.name, code, pause)
        if state.wanted and now >= state.next_start:
            state.process = _start(state.child)
            state.started_at = now
            state.restarts += 1


def _start(child: Child) -> subprocess.Popen[bytes]:
    log = child.log.open("ab") if child.log is not None else None
    try:
        return subprocess.Popen(
            [*_die_with_parent(), *child.argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env={**os.environ, **child.environment},
        )
    finally:
        if log is not None:
            log.close()


def _die_with_parent() -> list[str]:
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []


def obsvc_command(*words: str, config_files: Sequence[pathlib.Path | str] = (), debug: bool = False) -> tuple[str, ...]:
    """The argument vector of an ``obsvc`` subcommand run by this interpreter."""
    options = [option for path in config_files for option in ("--config-file", str(path))]
    return (sys.executable, "-m", "obsvc", *(["--debug"] if debug else []), *options, *words)
