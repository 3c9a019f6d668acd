"""One real engine process (gunicorn) over one database, for tests of what talks to it."""
from __future__ import annotations

import pathlib
import sys
import urllib.request

from obsvc.engine.upgrade import upgrade
from tests.support.processes.servers import Server, free_port

OBSVC = str(pathlib.Path(sys.executable).with_name("obsvc"))


class EngineProcess(Server):
    """``obsvc engine``; the schema is made before the first start."""

    def __init__(self, database_url: str, **options: object) -> None:
        super().__init__(free_port())
        self._database_url = database_url
        self._config = self.folder / "obsvc.conf"
        settings = {"bind_port": self.port, "threads": 32, **options}
        lines = ["[engine]", *(f"{name} = {value}" for name, value in settings.items())]
        self._config.write_text("\n".join([*lines, "[database]", f"url = {database_url}"]) + "\n")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def prepare(self) -> None:
        upgrade(self._database_url)

    def command(self) -> list[str]:
        return [OBSVC, "engine", "--config-file", str(self._config)]

    def answers(self) -> bool:
        with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as reply:
            return reply.status == 200
