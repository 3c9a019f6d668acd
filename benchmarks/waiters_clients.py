"""Many clients of one API process, by one event loop: waiters, watchers and pollers; tells when each change came.

A child of ``waiters``: told on standard input what to do (JSON), says ``waiting`` once every connection waits (or, of
pollers, once each has asked), and ends with one line of JSON when everything has come or the time is over.
"""
from __future__ import annotations

import asyncio
import json
import re
import sys
import time

#: Connections begun at once: a listening socket's backlog is no measure of waiting.
BEGUN = 100

#: What a stream's events look like, as far as it is read here.
_CHANGE = re.compile(rb"id: (\d+)\nevent: change\n")
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class Connection:
    """One kept connection; ``path`` is asked for on it as often as wanted."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self._reader, self._writer, self._host = reader, writer, host

    def send(self, path: str) -> None:
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())

    async def head(self) -> bytes:
        """Status line and headers; RuntimeError for any status but 200."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise RuntimeError(f"expected 200, got {head.decode()}{(await self._reader.read(2000)).decode()}")
        return head

    async def answer(self) -> dict:
        length = _LENGTH.search(await self.head())
        return json.loads(await self._reader.readexactly(int(length[1])))

    async def piece(self) -> bytes:
        return await self._reader.read(1 << 20)


class Clients:
    """work: ``host``, ``port``, ``type``, ``since`` (a version), ``refs`` (ids), ``watchers``, ``polls`` (seconds, or
    none: wait), ``expected`` (changes), ``bound`` (seconds)."""

    def __init__(self, work: dict) -> None:
        self.work = work
        self.requests = 0
        self.waits: list[tuple[int, float]] = []  # version, when it came
        self.delays: list[float] = []
        self.watched: list[list[tuple[int, float]]] = []
        self._gate = asyncio.Semaphore(BEGUN)
        self._waiting, self._all = 0, asyncio.Event()

    async def run(self) -> dict:
        work = self.work
        once = self._poll if work["polls"] else self._wait
        tasks = [asyncio.create_task(once(number, each)) for number, each in enumerate(work["refs"])]
        tasks += [asyncio.create_task(self._watch()) for _ in range(work["watchers"])]
        waiting = asyncio.create_task(self._all.wait())
        await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED, timeout=work["bound"])
        print("waiting", flush=True)
        done, late = await asyncio.wait(tasks, timeout=work["bound"], return_when=asyncio.FIRST_EXCEPTION)
        for each in done:
            each.result()
        for each in late:
            each.cancel()
        return {"requests": self.requests, "waits": self.waits, "delays": self.delays, "watched": self.watched}

    async def _open(self) -> Connection:
        async with self._gate:
            streams = await asyncio.open_connection(self.work["host"], self.work["port"], limit=1 << 20)
            return Connection(*streams, self.work["host"])

    def _begun(self) -> None:
        self._waiting += 1
        if self._waiting == len(self.work["refs"]) + self.work["watchers"]:
            self._all.set()

    def _path(self, ref: str) -> str:
        return f"/v1/resources/{self.work['type']}/{ref}"

    def _came(self, found: dict) -> None:
        now = time.time()
        self.waits.append((found["version"], now))
        self.delays.append(now - found["reported_at"])

    async def _wait(self, number: int, ref: str) -> None:
        connection = await self._open()
        self._begun()
        found = {"version": self.work["since"]}
        while found["version"] <= self.work["since"]:
            connection.send(f"{self._path(ref)}?wait=60&since={self.work['since']}")
            self.requests += 1
            found = await connection.answer()
        self._came(found)

    async def _poll(self, number: int, ref: str) -> None:
        connection = await self._open()
        every = self.work["polls"]
        at = time.monotonic() + every * number / len(self.work["refs"])  # spread, as pollers are that came by and by
        begun = False
        while True:
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            connection.send(self._path(ref))
            self.requests += 1
            found = await connection.answer()
            if not begun:
                begun = True
                self._begun()
            if found["version"] > self.work["since"]:
                return self._came(found)
            at = max(at + every, time.monotonic())

    async def _watch(self) -> None:
        connection = await self._open()
        connection.send(f"/v1/watch?since={self.work['since']}")
        self.requests += 1
        await connection.head()
        self._begun()
        seen: list[tuple[int, float]] = []
        self.watched.append(seen)
        rest = b""
        while len(seen) < self.work["expected"]:
            piece = await connection.piece()
            if not piece:
                raise RuntimeError(f"expected {self.work['expected']} changes, the stream ended after {len(seen)}")
            now = time.time()
            end = (rest + piece).rfind(b"\n\n") + 2
            whole, rest = (rest + piece)[:end], (rest + piece)[end:]
            seen += [(int(version), now) for version in _CHANGE.findall(whole)]


async def _main() -> None:
    print(json.dumps(await Clients(json.loads(sys.stdin.readline())).run()), flush=True)


if __name__ == "__main__":
    asyncio.run(_main())
