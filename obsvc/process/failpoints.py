"""Named points in the code at which a test can end or stop this very process.

Everywhere except in tests :func:`hit` is an empty function: the environment is read once, at import.  With
``OBSVC_FAILPOINTS=FOLDER`` a process that reaches the point NAME looks for the file ``FOLDER/NAME``, removes it, and
sends itself the signal that the file names (``KILL``, ``STOP``); without a file it goes on.

Nothing else happens at a point: no guard is removed and no error is simulated.  Any thread may call.
The points: ``claim``, ``fetch``, ``report``, ``mark``, ``ack``, ``commit``, ``create`` and ``emit``, each ``.before``
and ``.after``.  Of a job's life, in order: ``job.lease.after`` (engine), ``job.leased``, ``attempt.before``,
``attempt.after``, ``create.before``, ``create.after``, ``job.answer.before`` (worker), ``job.result.before``,
``job.result.commit``, ``job.result.after`` (engine), ``job.answered`` (worker).
"""
from __future__ import annotations

import os
import pathlib
import signal

VARIABLE = "OBSVC_FAILPOINTS"

_FOLDER = os.environ.get(VARIABLE)


def _off(name: str) -> None:
    """Nothing."""


def _on(name: str) -> None:
    order = pathlib.Path(_FOLDER or "", name)
    try:
        wanted = order.read_text().strip()
        order.unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.Signals[f"SIG{wanted}"])


#: ``hit(name)``: the process is at the point ``name``.
hit = _on if _FOLDER else _off
