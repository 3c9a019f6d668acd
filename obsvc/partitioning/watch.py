"""A native etcd watch on the group's keys, which tells at once that something changed.

It is only a wake-up: what changed is read by the membership loop, which polls anyway, so a watch that is down or late
costs time and nothing else.  It has its own HTTP session and thread, since neither an etcd3gw client nor a tooz
coordinator may be shared between threads.  etcd3gw's own ``Watcher`` is not used: its stream has no time-out, and its
thread ends silently when the connection is lost or two messages arrive in one chunk.
"""
from __future__ import annotations

import base64
import json
import logging
import threading
from collections.abc import Callable
from typing import Any

import etcd3gw
import requests

from obsvc.process.threads import Loop

LOG = logging.getLogger(__name__)

#: Where tooz's etcd driver keeps a group: ``tooz/groups/<group>/<member>``.
GROUP_PREFIX = b"tooz/groups/"

#: Seconds after which a stream without any message is reopened: bounds both how long a dead connection goes unnoticed
#: and how long a stop takes.
READ_TIMEOUT = 5.0

#: Seconds between two attempts to open the stream while the backend does not answer.
RETRY_PAUSE = 1.0


class EtcdWatch:
    """Calls ``changed()`` on its own thread whenever a key of ``group`` is put or deleted, or may have been."""

    def __init__(self, client: Any, group: str, changed: Callable[[], None]) -> None:
        self._client = etcd3gw.client(host=client.host, port=client.port, protocol=client.protocol)
        self._client.timeout = READ_TIMEOUT
        self._client.session.verify = client.session.verify
        self._client.session.cert = client.session.cert
        prefix = GROUP_PREFIX + group.encode() + b"/"
        end = prefix[:-1] + bytes([prefix[-1] + 1])
        self._request = {"create_request": {"key": _b64(prefix), "range_end": _b64(end)}}
        self._changed = changed
        self._loop = Loop("membership-watch", self._run)
        self.established = threading.Event()

    def start(self) -> EtcdWatch:
        self._loop.start()
        return self

    def stop(self) -> None:
        """Ask the thread to end; it does so within READ_TIMEOUT."""
        self._loop.stop()

    def join(self, timeout: float | None = None) -> bool:
        return self._loop.join(timeout)

    def _run(self, stop: threading.Event) -> None:
        try:
            while not stop.is_set():
                try:
                    self._follow(stop)
                except requests.exceptions.RequestException as error:
                    if "timed out" not in str(error).lower():
                        LOG.debug("watch on %s: %s", self._client.base_url, error)
                        stop.wait(RETRY_PAUSE)
                except (etcd3gw.exceptions.Etcd3Exception, ValueError, KeyError) as error:
                    LOG.debug("watch on %s: %s", self._client.base_url, error)
                    stop.wait(RETRY_PAUSE)
                finally:
                    self.established.clear()
        finally:
            self._client.session.close()

    def _follow(self, stop: threading.Event) -> None:
        url = self._client.get_url("/watch")
        with self._client.session.post(url, json=self._request, stream=True, timeout=READ_TIMEOUT) as response:
            response.raise_for_status()
            for line in response.iter_lines(chunk_size=None):
                if stop.is_set():
                    return
                if not line.strip():
                    continue
                result = json.loads(line)["result"]
                if result.get("created"):
                    self.established.set()
                if result.get("created") or result.get("events"):
                    self._changed()  # also once opened: changes since the previous stream are not reported


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
