"""``itertools.batched``, which Python has from 3.12 on."""
from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def batched(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """``items`` in tuples of ``size``, the last of them perhaps shorter."""
    if size < 1:
        raise ValueError(f"expected a size of at least 1, got {size}")
    iterator = iter(items)
    while batch := tuple(itertools.islice(iterator, size)):
        yield batch
