"""The process tree of ``standalone`` and ``demo``: which children there are, and how each is configured.

The embedded default needs no server: the database is SQLite, coordination is by files.  An operator's own
configuration files come last and so win over what is derived here.
"""
from __future__ import annotations

import dataclasses
import pathlib
import subprocess
from collections.abc import Mapping

from obsvc.cmd import settings_file
from obsvc.cmd.supervisor import Child, obsvc_command
from obsvc.exceptions import ConfigError


@dataclasses.dataclass(frozen=True)
class Ports:
    """TCP ports on 127.0.0.1; observer i serves its health on ``observers + i - 1``, workers likewise."""

    engine: int = 9190
    api: int = 9193
    observers: tuple[int, ...] = ()
    workers: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Tree:
    """One deployment on one host, below ``folder``."""

    folder: pathlib.Path
    ports: Ports
    config_files: tuple[str, ...] = ()
    options: Mapping[str, Mapping[str, object]] = dataclasses.field(default_factory=dict)
    logs: bool = False
    debug: bool = False

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.ports.api}"

    def observer_names(self) -> list[str]:
        return [f"observer-{number}" for number, _ in enumerate(self.ports.observers, 1)]

    def worker_names(self) -> list[str]:
        return [f"worker-{number}" for number, _ in enumerate(self.ports.workers, 1)]

    def prepare(self) -> None:
        """Write the configuration and bring the database's schema up to date; ConfigError in one line."""
        self.folder.mkdir(parents=True, exist_ok=True)
        settings_file.write(self._common_file, self._common())
        done = subprocess.run(
            obsvc_command("db", "upgrade", config_files=self._files()), capture_output=True, text=True, check=False
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise ConfigError(f"the database can't be prepared: {lines[-1].removeprefix('obsvc: ')}")

    def children(self) -> list[Child]:
        """Every process, in the order in which they are best started."""
        children = [self._child("engine", "engine"), self._child("api", "api")]
        for name, port in zip(self.observer_names(), self.ports.observers, strict=True):
            children.append(self._child(name, "observer", {"observer": {"name": name, "health_port": port}}))
        for name, port in zip(self.worker_names(), self.ports.workers, strict=True):
            children.append(self._child(name, "worker", {"worker": {"name": name, "health_port": port}}))
        return children

    def stop_order(self) -> list[list[str]]:
        """Workers and observers first, so that work they have started still reaches the engine."""
        return [[*self.worker_names(), *self.observer_names()], ["api"], ["engine"]]

    @property
    def _common_file(self) -> pathlib.Path:
        return self.folder / "derived.conf"

    def _files(self, *more: pathlib.Path) -> list[pathlib.Path | str]:
        return [self._common_file, *self.config_files, *more]

    def _child(self, name: str, command: str, own: Mapping[str, Mapping[str, object]] | None = None) -> Child:
        own_file = [settings_file.write(self.folder / f"{name}.conf", own)] if own else []
        return Child(
            name,
            obsvc_command(command, config_files=self._files(*own_file), debug=self.debug),
            log=self.folder / f"{name}.log" if self.logs else None,
        )

    def _common(self) -> dict[str, dict[str, object]]:
        derived: dict[str, dict[str, object]] = {
            "DEFAULT": {"state_path": self.folder},
            "database": {"url": f"sqlite:///{self.folder}/obsvc.sqlite"},
            "coordination": {"backend_urls": f"file://{self.folder}/coordination"},
            "engine": {"bind_port": self.ports.engine},
            "engine_client": {"endpoints": f"http://127.0.0.1:{self.ports.engine}"},
            "api": {"bind_port": self.ports.api},
        }
        for group, values in self.options.items():
            derived.setdefault(group, {}).update(values)
        return derived
