"""A small TCP proxy for each (process, dependency), so that one process's network can be cut, slowed or made to lie.

All proxies of a run live on one asyncio loop in a thread of their own; :class:`Proxies` may be called from any thread.
"""
from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from dataclasses import dataclass

from tests.support.processes.servers import free_port

#: What an overloaded gateway before an engine would say.
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True)
class Mode:
    """How a proxy treats what passes.

    up, down: whether bytes of the client, and of the server, pass (else they vanish).  refuse: connections are reset.
    delay: seconds for each piece.  loss: share of the pieces that come late, as retransmitted ones do.
    flaky: share of the pieces that reset their connection.  answer: sent back in place of any server's answer.
    """

    up: bool = True
    down: bool = True
    refuse: bool = False
    delay: float = 0.0
    loss: float = 0.0
    flaky: float = 0.0
    answer: bytes = b""


PASS = Mode()
MODES = {
    "dropped": Mode(up=False, down=False),
    "refused": Mode(refuse=True),
    "deaf": Mode(up=False),
    "mute": Mode(down=False),
    "flaky": Mode(flaky=0.2),
    "slow": Mode(delay=0.3),
    "lossy": Mode(loss=0.2),
    "busy": Mode(answer=UNAVAILABLE),
}
#: Seconds by which a lost piece comes late.
RETRANSMITTED = (0.2, 1.5)


class _Link:
    """One connection through a proxy.  broken: bytes of it have vanished, so it can't go on when the fault is over."""

    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self.writers = writers
        self.broken = False

    def abort(self) -> None:
        for writer in self.writers:
            with contextlib.suppress(OSError, RuntimeError):
                writer.transport.abort()


class _Proxy:
    def __init__(self, name: str, target: int, seed: int) -> None:
        self.name, self.target, self.port = name, target, free_port()
        self.mode = PASS
        self._links: set[_Link] = set()
        self._random = random.Random(f"{seed}/{name}")

    async def listen(self) -> None:
        await asyncio.start_server(self._connected, "127.0.0.1", self.port)

    def turn(self, mode: Mode) -> None:
        self.mode = mode
        for link in list(self._links):
            if mode.refuse or (mode == PASS and link.broken):
                link.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(writer)
        self._links.add(link)
        try:
            if self.mode.refuse:
                return
            if self.mode.answer:
                await reader.read(65536)
                writer.write(self.mode.answer)
                await writer.drain()
                return
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.target)
            link.writers = (writer, server_writer)
            pumps = [asyncio.create_task(self._pump(link, reader, server_writer, up=True)),
                     asyncio.create_task(self._pump(link, server_reader, writer, up=False))]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
        except OSError:
            return
        finally:
            self._links.discard(link)
            if self.mode.refuse or self.mode.answer == b"":
                link.abort() if link.broken or self.mode.refuse else _close(link)
            else:
                _close(link)

    async def _pump(self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *,
                    up: bool) -> None:
        lost = False
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                mode = self.mode
                if up and mode.answer:
                    link.writers[0].write(mode.answer)
                    return
                if not (mode.up if up else mode.down):
                    lost = link.broken = True
                    continue
                if lost:  # no connection has a hole in what it delivers
                    link.abort()
                    return
                if mode.flaky and self._random.random() < mode.flaky:
                    link.abort()
                    return
                late = mode.delay
                if mode.loss and self._random.random() < mode.loss:
                    late += self._random.uniform(*RETRANSMITTED)
                if late:
                    await asyncio.sleep(late)
                writer.write(data)
                await writer.drain()


def _close(link: _Link) -> None:
    for writer in link.writers:
        with contextlib.suppress(OSError, RuntimeError):
            writer.close()


class Proxies:
    """Every proxy of a run, by ``process/dependency``."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._proxies: dict[str, _Proxy] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._thread.start()

    def add(self, name: str, target: int) -> int:
        """The port of a new proxy before ``target``."""
        proxy = self._proxies[name] = _Proxy(name, target, self._seed)
        asyncio.run_coroutine_threadsafe(proxy.listen(), self._loop).result(10)
        return proxy.port

    def matching(self, process: str, dependency: str) -> list[str]:
        return [name for name in self._proxies if name.startswith(f"{process}/{dependency}")]

    def turn(self, name: str, mode: Mode) -> None:
        self._loop.call_soon_threadsafe(self._proxies[name].turn, mode)

    def heal(self) -> None:
        for name in self._proxies:
            self.turn(name, PASS)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
