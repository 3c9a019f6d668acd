"""Python's collector of cycles, set for a process that takes in messages or requests all day.

Its defaults look for cycles every 700 objects and walk all that start-up made (the catalogue, modules) again and again:
some 8 % of an observer's CPU at full intake, and a tenth of an engine's that takes large batches of reports.  Little of
what a message makes is in a cycle; what is, is found later.
"""
from __future__ import annotations

import gc

#: Objects made, less those gone, between two looks at the youngest; and how many such looks before the older ones get
#: theirs.  20,000 small objects are a few megabytes.
THRESHOLDS = (20_000, 20, 20)


def freeze_gc() -> None:
    """To be called once the process is set up: what there is now stays, and is looked at no more."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
