"""``python -m tests.chaos.entry COMMAND …``: the command ``obsvc`` with the run's recorder around it.

``--contract N`` before the command: a member that says it speaks contract version N (fault 10).
"""
from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from tests.chaos import recorder


def main(arguments: Sequence[str]) -> int:
    from obsvc.cmd.main import main as obsvc

    words = list(arguments)
    if words[:1] == ["--contract"]:
        _speak(int(words[1]))
        words = words[2:]
    recorder.install(next(word for word in words if word in ("observer", "worker", "engine", "api")))
    return obsvc(words)


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
