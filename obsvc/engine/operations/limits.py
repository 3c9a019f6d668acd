"""How much one request may ask for."""
from __future__ import annotations

from obsvc.exceptions import InvalidInput

#: Rows of one page, and items of one start or stop, at most.
PAGE_MAX = 1000
ITEMS_MAX = 5000


def check_page(limit: int) -> None:
    """Raise InvalidInput unless a page may have ``limit`` rows."""
    if not 1 <= limit <= PAGE_MAX:
        raise InvalidInput(f"expected a limit of 1 to {PAGE_MAX}, got {limit}")
