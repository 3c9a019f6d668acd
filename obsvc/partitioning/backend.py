"""One connection to a coordination backend, by tooz, without the traps of its drivers.

One thread owns a :class:`Backend`: tooz coordinators are not thread-safe.  Any error inside tooz, its driver or the
HTTP client below it becomes :class:`~obsvc.exceptions.Unavailable`, one line that names the backend.

What is known about the drivers, and handled here (tooz 9.1):

- etcd: ``heartbeat()`` silently takes a new lease after the old one has lapsed and does not join again; its errors are
  not translated; the default time-out is 30 s.  A key left by an earlier connection stays bound to the lease of that
  connection: ``update_capabilities`` binds it to ours.
- file: a member whose file was not touched for ``timeout`` seconds is left out of ``get_members`` (its file stays);
  ``heartbeat()`` of a member that is out of the group is silent too; there is no ``update_capabilities``.
"""
from __future__ import annotations

import importlib.metadata
import logging
import math
import urllib.parse
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import tooz
from tooz import coordination

from obsvc.exceptions import ConfigError, Unavailable
from obsvc.model import MemberId
from obsvc.process.urls import without_secrets

LOG = logging.getLogger(__name__)

T = TypeVar("T")

#: Upper bound on the seconds to wait for one answer of the backend (see ``request_timeout``).
REQUEST_TIMEOUT_MAX = 5.0


def request_timeout(lease: float) -> int:
    """Seconds to wait for one answer: a third of the lease, so that one that hangs does not cost the membership."""
    return max(1, int(min(lease / 3, REQUEST_TIMEOUT_MAX)))


def check_urls(urls: Sequence[str]) -> tuple[str, ...]:
    """The URLs as they are.  Raises ConfigError when there is none or tooz has no driver for one."""
    if not urls:
        raise ConfigError("[coordination] backend_urls: expected at least one tooz URL, got none")
    known = {entry.name for entry in importlib.metadata.entry_points(group=coordination.TOOZ_BACKENDS_NAMESPACE)}
    for url in urls:
        scheme = urllib.parse.urlsplit(url).scheme
        if scheme not in known:
            raise ConfigError(
                f"[coordination] backend_urls: expected a tooz URL such as etcd3+http://127.0.0.1:2379 or "
                f"file:///path (drivers here: {', '.join(sorted(known))}), got {without_secrets(url)!r}: correct it"
            )
    return tuple(urls)


class Backend:
    """A started coordinator for one member and one group.  Raises Unavailable when the backend does not answer.

    lease: seconds after which the backend drops a silent member (whole seconds in tooz: rounded up).
    """

    def __init__(self, url: str, group: str, member_id: bytes, lease: float) -> None:
        self.url = url
        self._group = group.encode()
        self._timeout = request_timeout(lease)
        seconds = math.ceil(lease)
        # "timeout" is the request's for etcd, but the member's for files
        options = {"timeout": str(seconds)} if url.startswith("file:") else {
            "membership_timeout": str(seconds), "timeout": str(self._timeout)
        }
        self._coordinator = self._guard(
            lambda: coordination.get_coordinator(url, member_id, characteristics=(), **options))
        self._guard(self._coordinator.start)

    @property
    def etcd_client(self) -> Any | None:
        """The etcd3gw client below, where the backend is etcd; None for another."""
        return getattr(self._coordinator, "client", None) if "etcd" in self.url.split(":", 1)[0] else None

    def heartbeat(self) -> None:
        self._guard(self._coordinator.heartbeat)

    def members(self) -> set[bytes] | None:
        """The ids in the group; None when there is no such group (the backend is new, or was wiped)."""
        try:
            members = self._get(lambda: self._coordinator.get_members(self._group))
        except coordination.GroupNotCreated:
            return None
        return {_as_bytes(member_id) for member_id in members}

    def join(self) -> None:
        """Be in the group, under this connection's lease, whatever an earlier connection left there."""
        for _ in range(3):
            try:
                self._get(lambda: self._coordinator.join_group(self._group))
                return
            except coordination.GroupNotCreated:
                self._create_group()
            except coordination.MemberAlreadyExist:
                if self._bind_again():
                    return
        raise Unavailable(f"{without_secrets(self.url)}: joining group {self._group.decode()} fails again and again")

    def leave(self) -> None:
        try:
            self._get(lambda: self._coordinator.leave_group(self._group))
        except (coordination.MemberNotJoined, coordination.GroupNotCreated):
            LOG.debug("left group %s, in which we were not", self._group.decode())

    def close(self) -> None:
        """Close the connection without leaving the group; never raises."""
        getattr(self._coordinator, "_joined_groups", set()).clear()  # stop() would leave them
        try:
            self._guard(self._coordinator.stop)
        except Unavailable as error:
            LOG.debug("closing: %s", error)

    def _create_group(self) -> None:
        try:
            self._get(lambda: self._coordinator.create_group(self._group))
        except coordination.GroupAlreadyExist:
            LOG.debug("group %s was created by another member meanwhile", self._group.decode())

    def _bind_again(self) -> bool:
        """Bind our existing key to this connection's lease; False when the group must be joined again instead."""
        try:
            self._get(lambda: self._coordinator.update_capabilities(self._group, {}))
            return True
        except coordination.MemberNotJoined:
            return False
        except tooz.NotImplemented:
            self.leave()
            return False

    def _get(self, ask: Callable[[], coordination.CoordAsyncResult[T]]) -> T:
        return self._guard(lambda: ask().get(timeout=self._timeout + 1))

    def _guard(self, do: Callable[[], T]) -> T:
        try:
            return do()
        except (coordination.GroupNotCreated, coordination.GroupAlreadyExist, coordination.MemberAlreadyExist,
                coordination.MemberNotJoined, tooz.NotImplemented):
            raise
        except Exception as error:  # drivers let errors of any library through; the caller logs it
            raise Unavailable(f"coordination backend {without_secrets(self.url)}: {_words(error)}") from error


def _words(error: Exception) -> str:
    """One line for a driver's error; etcd3gw keeps its text in ``detail_text``, requests wraps the error that
    counts."""
    text = " ".join(str(getattr(error, "detail_text", None) or error).split())
    _, _, inner = text.rpartition("[Errno ")
    if inner and inner != text:
        text = inner.partition("] ")[2].rstrip("')\"")
    return text[:300] or type(error).__name__


def read_members(urls: Sequence[str], group: str, *, lease: float = 10.0) -> list[MemberId]:
    """The members of the group now, sorted; for processes that are not members.  Any thread may call.

    urls: tried in turn.  Raises Unavailable when none answers, ConfigError for a URL that tooz can't use.
    """
    failures = []
    for url in check_urls(urls):
        try:
            backend = Backend(url, group, f"reader@{uuid.uuid4().hex}".encode(), lease)
            try:
                return decode(backend.members() or ())
            finally:
                backend.close()
        except Unavailable as error:
            failures.append(error.message)
    raise Unavailable("; ".join(failures))


def _as_bytes(member_id: bytes | str) -> bytes:
    """The file driver has text where its types say bytes."""
    return member_id.encode() if isinstance(member_id, str) else member_id


def decode(ids: Iterable[bytes]) -> list[MemberId]:
    return sorted(MemberId.decode(raw) for raw in ids)
