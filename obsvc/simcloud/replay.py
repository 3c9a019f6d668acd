"""Replays a server's recorded life: its notifications on the bus, and the API's answers at the same moments.

Input, one JSON object a line: *notifications* (``received_at`` ISO time, ``exchange``, ``routing_key``, ``body`` as on
the wire), *bodies* (``at`` epoch seconds, ``server`` as ``GET /servers/{id}`` answered it) and, if given, *timeline*
(``at`` ISO time, ``kind`` ``step`` and ``step`` ``delete`` say when the API answered 404).  One time base serves all:
recorded time minus the first moment, divided by the speed.  Reading and planning are pure; :class:`Replays` puts
the plan on the world's agenda and may be called from any thread.
"""
from __future__ import annotations

import itertools
import json
import pathlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from obsvc.simcloud import faults
from obsvc.simcloud.cloud import Cloud
from obsvc.simcloud.services.nova.flavors import FLAVORS
from obsvc.simcloud.services.nova.life import TYPE
from obsvc.simcloud.world import Resource

#: Seconds between the start and the first moment of the record.
LEAD = 0.2


@dataclass(frozen=True)
class Message:
    """One recorded notification; at: epoch seconds of the record."""

    at: float
    exchange: str
    routing_key: str
    body: bytes
    event_type: str


@dataclass(frozen=True)
class Answer:
    """From ``at`` (epoch seconds of the record) on the API answers ``server``; None: 404."""

    at: float
    server: Mapping[str, Any] | None


def epoch(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def read_messages(lines: Iterable[str]) -> list[Message]:
    """The recorded notifications, in the order of the record."""
    messages = []
    for line in lines:
        entry = json.loads(line)
        outer = json.loads(entry["body"])
        inner = json.loads(outer["oslo.message"]) if "oslo.message" in outer else outer
        messages.append(Message(epoch(entry["received_at"]), entry["exchange"], entry["routing_key"],
                             entry["body"].encode(), str(inner.get("event_type"))))
    return messages


def read_answers(bodies: Iterable[str], timeline: Iterable[str], last: float | None) -> list[Answer]:
    """The API's answers in time; the end is the timeline's deletion, else ``last``."""
    answers = [Answer(float(entry["at"]), entry["server"]) for entry in map(json.loads, bodies)]
    deletions = [epoch(entry["at"]) for entry in map(json.loads, timeline)
                 if entry.get("kind") == "step" and entry.get("step") == "delete"]
    end = deletions[-1] if deletions else last
    last_server = answers[-1].server if answers else None
    if last_server is not None and end is not None and last_server["OS-EXT-STS:task_state"] == "deleting":
        answers.append(Answer(max(end, answers[-1].at), None))
    return answers


class _Replay:
    def __init__(self, replay_id: str, speed: float) -> None:
        self.id = replay_id
        self.speed = speed
        self.messages = self.published = self.answers = self.shown = 0
        self.started = 0.0
        self.server_id: str | None = None

    def described(self, now: float) -> dict[str, Any]:
        finished = self.published == self.messages and self.shown == self.answers
        return {"id": self.id, "speed": self.speed, "server_id": self.server_id, "started": self.started,
                "elapsed": now - self.started, "messages": self.messages, "published": self.published,
                "answers": self.answers, "shown": self.shown, "finished": finished}


class Replays:
    """All replays of this cloud."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._numbers = itertools.count(1)
        self._replays: dict[str, _Replay] = {}

    def start(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Begin one: ``notifications_path``, ``bodies_path``, ``timeline_path`` (each optional), ``speed`` (1).

        A server is in the API from the first moment on, as its first recorded body.  Raises Fault (400).
        """
        try:
            speed = float(asked.get("speed", 1.0))
            messages = read_messages(_lines(asked.get("notifications_path")))
            last = messages[-1].at if messages else None
            answers = read_answers(_lines(asked.get("bodies_path")), _lines(asked.get("timeline_path")), last)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise faults.plain(400, f"The record can't be read: {type(error).__name__}: {error}") from error
        if speed <= 0 or not messages and not answers:
            raise faults.plain(400, "Expected a speed above 0, and notifications_path or bodies_path.")
        return self._plan(messages, answers, speed)

    def _plan(self, messages: list[Message], answers: list[Answer], speed: float) -> dict[str, Any]:
        world = self._cloud.world
        first = min(*(message.at for message in messages), *(answer.at for answer in answers), float("inf"))
        replay = _Replay(str(next(self._numbers)), speed)
        replay.messages, replay.answers = len(messages), len(answers)
        with world.lock:
            replay.started = self._cloud.now + LEAD
            if answers and answers[0].server is not None:
                server = self._server(answers[0].server)
                replay.server_id = server.id
                for answer in answers:
                    world.after(LEAD + (answer.at - first) / speed, partial(self._show, replay, server, answer))
            for message in messages:
                world.after(LEAD + (message.at - first) / speed, partial(self._publish, replay, message))
            self._replays[replay.id] = replay
        return replay.described(self._cloud.now)

    def _server(self, body: Mapping[str, Any]) -> Resource:
        world = self._cloud.world
        if world.get(TYPE, body["id"]) is not None:
            raise faults.plain(409, f"Server {body['id']} is there already: a replay of it is under way.")
        server = world.add(TYPE, body, project_id=body["tenant_id"])
        server.hidden |= {"replayed": True, "flavor": FLAVORS["m1.nano"], "image_id": "", "image_name": "",
                          "networks": []}
        return server

    def _show(self, replay: _Replay, server: Resource, answer: Answer) -> None:
        if answer.server is None:
            self._cloud.world.remove(server, at_once=True)
        else:
            self._cloud.world.change(server, answer.server, at_once=True, whole=True)
        replay.shown += 1

    def _publish(self, replay: _Replay, message: Message) -> None:
        self._cloud.notifier.emit_raw(message.exchange, message.routing_key, message.body,
                                      event_type=message.event_type)
        replay.published += 1

    def all(self) -> list[dict[str, Any]]:
        return [replay.described(self._cloud.now) for replay in self._replays.values()]

    def status(self, replay_id: str) -> dict[str, Any]:
        if replay_id not in self._replays:
            raise faults.plain(404, f"There is no replay {replay_id}.")
        return self._replays[replay_id].described(self._cloud.now)


def _lines(path: str | None) -> list[str]:
    if not path:
        return []
    return [line for line in pathlib.Path(path).read_text().splitlines() if line.strip()]
