"""What a row of the table of routes says: a path, the class that answers it, and its operations."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from obsvc.api.context import Api
from obsvc.api.schemas.queries import Query


@dataclass(frozen=True)
class Operation:
    """One method of a route.  Its description is its responder's docstring.

    rule: the policy rule without ``obsvc:``; None: open to everybody, and its query is ignored.  query: the query
    parameters that it takes; None: none.  body, reply: types as JSON has them; None: none; a tuple: one of those;
    ``Any``: any.  raises: statuses in addition to those that every operation may answer.  headers: of the request, each
    described in ``obsvc.api.openapi.HEADERS``.  events: names and types where the reply is a stream of server-sent
    events.  conditional: answered with an ETag.
    """

    method: str
    summary: str
    rule: str | None
    reply: Any = None
    status: int = 200
    query: type[Query] | None = None
    body: Any = None
    raises: tuple[int, ...] = ()
    headers: tuple[str, ...] = ()
    events: tuple[tuple[str, Any], ...] = ()
    conditional: bool = False


@dataclass(frozen=True)
class Route:
    """A path, the class that answers it, and its operations.  suffix: of its responders, as falcon has it."""

    path: str
    resource: Callable[[Api], object]
    operations: tuple[Operation, ...]
    suffix: str | None = None

    def responder(self, method: str) -> str:
        """The name of the responder of ``method``."""
        return f"on_{method.lower()}" + (f"_{self.suffix}" if self.suffix else "")
