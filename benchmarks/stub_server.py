"""``python -m benchmarks.stub_server SECONDS``: every GET is answered with one captured server after SECONDS.

Prints its port.  One thread, asyncio, keep-alive; it understands no more of HTTP than what clients send for a GET.
"""
from __future__ import annotations

import asyncio
import gzip
import json
import sys

from benchmarks.harness import ROOT

#: Bytes that the answer is brought to by its description: a server of a real cloud, with its addresses and volumes.
SIZE = 3600


def answer() -> bytes:
    with gzip.open(ROOT / "tests/data/nova-server-life.bodies.jsonl.gz", "rt") as lines:
        server = json.loads(lines.readlines()[-1])["server"]
    missing = SIZE - len(json.dumps({"server": server}))
    server["metadata"] = {f"key-{number}": "v" * 50 for number in range(max(missing, 0) // 66)}
    return http({"server": server})


def discovery() -> bytes:
    """What keystoneauth looks for before openstacksdk asks anything."""
    return http({"version": {"id": "v2.1", "status": "CURRENT", "version": "2.96", "min_version": "2.1",
                             "links": [{"rel": "self", "href": "/v2.1/"}]}})


def http(document: object) -> bytes:
    body = json.dumps(document).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body


class Answering(asyncio.Protocol):
    def __init__(self, seconds: float, content: bytes) -> None:
        self._seconds, self._content, self._read = seconds, content, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._read += data
        while b"\r\n\r\n" in self._read:
            request, self._read = self._read.split(b"\r\n\r\n", 1)
            if b"/servers/" in request.split(b"\r\n", 1)[0]:
                asyncio.get_running_loop().call_later(self._seconds, self._send, self._content)
            else:
                self._send(discovery())

    def _send(self, content: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(content)


async def serve(seconds: float) -> None:
    content = answer()
    server = await asyncio.get_running_loop().create_server(lambda: Answering(seconds, content), "127.0.0.1", 0,
                                                            backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1])))
