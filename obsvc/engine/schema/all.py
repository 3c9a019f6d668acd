"""Every table, registered in one metadata object: what migrations and tests compare with."""
from __future__ import annotations

from obsvc.engine.schema import core, duties, selectors, stacks
from obsvc.engine.schema.base import metadata

__all__ = ["core", "duties", "metadata", "selectors", "stacks"]
