"""Templates and parameters as callers send them, read with what the installed worker plugins can make."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from obsvc.engine.stacks import preview
from obsvc.engine.templates import hot
from obsvc.engine_client.stacks import StackCreate, StackUpdate
from obsvc.exceptions import InvalidInput


class WorkerPlugins(Protocol):
    """What worker plugins say of resource types."""

    def types(self) -> frozenset[str]:
        """The resource types that templates may use."""
        ...

    def needs_replacement(self, kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
        """The changed properties of a type that can't be changed in place."""
        ...


class InstalledPlugins:
    """Those that are installed beside the engine; what is not, is not known."""

    def types(self) -> frozenset[str]:
        return hot.known_types()

    def needs_replacement(self, kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
        return preview.needs_replacement(kind, before, after)


class GoalReader:
    """Reads what a caller wants; any thread may call."""

    def __init__(self, plugins: WorkerPlugins) -> None:
        self.plugins = plugins

    def read(self, request: StackCreate | StackUpdate) -> tuple[hot.Template, dict[str, Any]]:
        """The request's template and the value of each parameter; InvalidInput where they can't be taken."""
        template = hot.parse(request.template, types=self.plugins.types())
        return template, hot.bind_parameters(template, request.parameters)


def check_timeout(timeout: float | None) -> None:
    """Raise InvalidInput unless it is a time."""
    if timeout is not None and not timeout > 0:
        raise InvalidInput(f"timeout: expected more than 0 seconds, got {timeout}")
