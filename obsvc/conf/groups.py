"""The shape in which the modules of this package hand out their options: (group, its options)."""
from __future__ import annotations

from collections.abc import Sequence

from oslo_config import cfg

OptionGroups = list[tuple[str, Sequence[cfg.Opt]]]
