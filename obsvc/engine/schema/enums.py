"""A column of one enum's words: stored as text, read as the enum's members."""
from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa


class _Known(dict[str | None, Any]):
    """What each word stands for; None for None, ValueError for another text."""

    def __missing__(self, word: str | None) -> Any:
        if word is None:
            return None
        raise ValueError(f"expected one of {', '.join(map(str, self))}, got {word!r}")


class EnumText(sa.types.TypeDecorator[enum.StrEnum]):
    """The values of ``words`` as text of up to ``length`` characters.

    A text that ``words`` lacks raises ValueError when it is read: only this version's words are in the database.
    """

    impl = sa.String
    cache_ok = True

    def __init__(self, words: type[enum.StrEnum], length: int) -> None:
        super().__init__(length)
        self.words = words
        self.length = length
        self._members = _Known({word.value: word for word in words})
        self._texts = _Known({word.value: word.value for word in words})

    # A dictionary's own method, as each row of a stack passes here a few times.

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[Any], Any]:
        return self._texts.__getitem__

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Callable[[Any], Any]:
        return self._members.__getitem__
