"""Python's garbage collector, tuned for a process that handles messages or requests all day.

By default it looks for cycles every 700 objects and walks everything that start-up created (the catalogue, modules)
again and again: some 8 % of an observer's CPU at full intake, and a tenth of an engine's that takes large batches of
reports. Few of the objects made for a message are part of a cycle; those that are, are found later.
"""
from __future__ import annotations

import gc

#: Net allocations between two collections of the youngest generation, and how many of these come before one of the next
#: older generation.  20,000 small objects are a few megabytes.
THRESHOLDS = (20_000, 20, 20)


def freeze_gc() -> None:
    """To be called once the process is set up: the objects that exist now are not collected any more."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
