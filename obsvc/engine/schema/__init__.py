"""The engine's tables: ``core`` (partitions, refs, observations, feed) and ``stacks``, on one metadata."""
