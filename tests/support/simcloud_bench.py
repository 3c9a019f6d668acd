"""A simulated cloud in virtual time, asked through falcon's test client: no sockets, no threads."""
from __future__ import annotations

import json
from typing import Any

import falcon.testing

from obsvc.messaging import wire
from obsvc.process.clock import ManualClock
from obsvc.simcloud.app import make_app
from obsvc.simcloud.cloud import Cloud, Settings
from obsvc.simcloud.dials import BuildTime, Dials


class Bench:
    """One cloud with a manual clock.  sent: ``(exchange, routing key, inner notification)`` in order."""

    def __init__(self, *, dials: Dials | None = None, settings: Settings | None = None) -> None:
        self.clock = ManualClock(1_795_343_513.0)
        self.sent: list[tuple[str, str, dict[str, Any]]] = []
        self.cloud = Cloud(settings or Settings(seed=1), self.clock, dials or Dials(build=BuildTime(seconds=10.0)),
                           self._send)
        self.client = falcon.testing.TestClient(make_app(self.cloud))
        self.token = self.log_in("obsvc")

    def _send(self, exchange: str, routing_key: str, body: bytes) -> None:
        self.sent.append((exchange, routing_key, wire.unpack(body)))

    def log_in(self, user: str, project: str = "demo", password: str = "simulated") -> str:
        asked = {"auth": {"identity": {"methods": ["password"], "password": {"user": {
            "name": user, "domain": {"id": "default"}, "password": password}}},
            "scope": {"project": {"name": project, "domain": {"id": "default"}}}}}
        answer = self.client.simulate_post("/identity/v3/auth/tokens", json=asked)
        assert answer.status_code == 201, answer.text
        return answer.headers["X-Subject-Token"]

    def ask(self, method: str, path: str, body: Any = None, *, token: str | None = None, agent: str | None = None,
            **headers: str):
        headers |= {"X-Auth-Token": token or self.token}
        if agent is not None:
            headers["User-Agent"] = agent
        path, _, query = path.partition("?")
        return self.client.simulate_request(method, path, query_string=query, headers=headers,
                                            body=None if body is None else json.dumps(body))

    def get(self, path: str, **options: Any) -> Any:
        answer = self.ask("GET", path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json

    def advance(self, seconds: float, *, step: float = 0.05) -> None:
        """Let time pass in small steps, doing what falls due and sending what is due."""
        end = self.clock.monotonic() + seconds
        self.flush()
        while self.clock.monotonic() < end:
            self.clock.advance(min(step, max(0.0, end - self.clock.monotonic())) or 1e-6)
            self.flush()

    def flush(self) -> None:
        self.cloud.world.run_due()
        while (message := self.cloud.notifier.take()) is not None:
            self._send(message.exchange, message.routing_key, message.body)
            self.cloud.notifier.done(message)

    def events(self, exchange: str | None = None) -> list[str]:
        return [inner["event_type"] for where, _, inner in self.sent if exchange in (None, where)]

    # shorthands

    def server(self, name: str = "srv", **fields: Any) -> str:
        asked = {"name": name, "flavorRef": "m1.nano", "metadata": {"marker": "n1"},
                 "imageRef": self.get("/image/v2/images")["images"][0]["id"], **fields}
        answer = self.ask("POST", "/compute/v2.1/servers", {"server": asked})
        assert answer.status_code == 202, answer.text
        return answer.json["server"]["id"]

    def status(self, server_id: str) -> tuple[str, str | None] | int:
        """``(status, task state)`` as the API shows them, or the answer's code."""
        answer = self.ask("GET", f"/compute/v2.1/servers/{server_id}")
        if answer.status_code != 200:
            return answer.status_code
        return answer.json["server"]["status"], answer.json["server"]["OS-EXT-STS:task_state"]

    def make(self, path: str, key: str, **fields: Any) -> dict[str, Any]:
        answer = self.ask("POST", path, {key: fields})
        assert answer.status_code in (201, 202), answer.text
        return answer.json[key]
