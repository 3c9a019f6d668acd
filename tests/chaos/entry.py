"""``python -m tests.chaos.entry COMMAND …``: the command ``obsvc`` with the run's recorder around it.

``--contract N`` before the command: a member that says it speaks contract version N (fault 10).
"""
from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

from tests.chaos import recorder

COMMANDS = ("observer", "worker", "engine", "api")


def main(arguments: Sequence[str], *changes: Callable[[str], None]) -> int:
    """Run the command.  changes: called with its name when it is about to serve, what makes a process ready is done."""
    from obsvc.cmd.main import main as obsvc

    words = list(arguments)
    found = [recorder.install, *changes]
    if words[:1] == ["--contract"]:
        version, words = int(words[1]), words[2:]
        found.append(lambda command: _speak(version))
    _before_serving(next(word for word in words if word in COMMANDS), found)
    return obsvc(words)


def _before_serving(command: str, changes: Sequence[Callable[[str], None]]) -> None:
    """Not sooner: some commands have things to do before the first of obsvc's modules is imported."""
    service = getattr(importlib.import_module(f"obsvc.cmd.{command}"), command.capitalize())
    serve = service.serve

    def changed(self: Any, *parts: Any) -> Any:
        for change in changes:
            change(command)
        return serve(self, *parts)

    service.serve = changed


def _speak(version: int) -> None:
    """Every beat says ``version``."""
    import msgspec

    from obsvc.engine_client.http import HttpEngine

    call = HttpEngine.call

    def spoken(self: Any, operation: Any, request: Any) -> Any:
        if operation.name == "beat":
            request = msgspec.structs.replace(request, contract_version=version)
        return call(self, operation, request)

    HttpEngine.call = spoken


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
