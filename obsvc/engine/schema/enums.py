"""A column of one enum's words: stored as text, read as the enum's members."""
from __future__ import annotations

import enum
from typing import Any

import sqlalchemy as sa


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
        self._members = {str(word): word for word in words}  # a dictionary's answer costs a third of the enum's

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else (self._members.get(value) or self.words(value)).value

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> enum.StrEnum | None:
        return None if value is None else self._members.get(value) or self.words(value)

    def process_literal_param(self, value: str | None, dialect: sa.Dialect) -> str:
        raise NotImplementedError("these columns are compared with bound parameters alone")
