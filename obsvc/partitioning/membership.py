"""Who the members are: a tooz group in which this process keeps itself and sees the others.

One thread owns the connection; :meth:`Membership.view`, ``join`` and ``leave`` may be called from any thread.
What it promises:

- After :meth:`~Membership.join` every beat checks that this member is in the group, and joins again if not: a lapsed
  lease, a wiped backend and a deleted key all heal within one beat.  Each is counted (``obsvc_rejoins_total``).
- A backend that does not answer causes one log line, however long it lasts; its URLs are tried in turn; the last view
  stays, and its age (``seen_at``) shows that it is old.
- Where the backend is etcd, a watch wakes the loop; polling once a beat is the fallback, and all there is elsewhere.

What it does not promise: that two members see the same view at the same moment.  The engine's grants keep that safe.
Several incarnations of one name may be in the group (a restart within the lease): the name counts once, and which
incarnation owns anything is what the engine granted.
"""
from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

import msgspec

from obsvc import metrics
from obsvc.exceptions import Unavailable
from obsvc.model import MemberId
from obsvc.partitioning.backend import Backend, check_urls, decode, read_members
from obsvc.partitioning.watch import EtcdWatch
from obsvc.process.clock import Clock, SystemClock
from obsvc.process.outage_log import OutageLog
from obsvc.process.threads import Loop

__all__ = ["Membership", "MembershipView", "read_members"]

LOG = logging.getLogger(__name__)

#: Lower bound on the seconds between two reads, however often the watch fires: a burst of changes is read once.
MIN_PAUSE = 0.05

#: Upper bound on the seconds until a backend that did not answer is asked again: a request that hangs has already cost
#: a third of the lease.
RETRY = 0.5


class MembershipView(msgspec.Struct, frozen=True):
    """Who was in the group at one moment.

    members: sorted.  seen_at: monotonic seconds of this process when the read began.
    version: rises whenever the members differ from those before.
    disturbed: the connection was lost, or this member was out of the group, less than a lease ago: losses in this view
    are doubtful.
    """

    members: tuple[MemberId, ...]
    seen_at: float
    version: int
    disturbed: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The member names, sorted, each once."""
        return tuple(sorted({member.name for member in self.members}))


class Membership:
    """This process's place in the group.

    urls: tooz URLs of one backend, tried in turn.  lease: seconds after which a silent member is gone.
    beat_interval: seconds between two beats.  Raises ConfigError for URLs that can't be used; reaches nothing yet.
    """

    def __init__(
        self,
        urls: Sequence[str],
        group: str,
        member: MemberId,
        *,
        lease: float = 10.0,
        beat_interval: float = 2.0,
        clock: Clock | None = None,
        connect: Callable[[str, str, bytes, float], Backend] = Backend,
    ) -> None:
        self.member = member
        self._urls = check_urls(urls)
        self._group = group
        self._lease = lease
        self._beat_interval = beat_interval
        self._clock = clock or SystemClock()
        self._connect = connect
        self._subscribers: list[Callable[[MembershipView], None]] = []
        self._changed = threading.Condition()
        self._wake = threading.Event()
        self._wanted = False
        self._view: MembershipView | None = None
        # of the owning thread alone:
        self._backend: Backend | None = None
        self._watch: EtcdWatch | None = None
        self._url_index = 0
        self._attached = False
        self._was_in = False
        self._disturbed_until = float("-inf")
        self.last_error: str | None = None
        self._outage = OutageLog(
            LOG, "the coordination backend is away, what is held stays held and nothing is claimed until it answers",
            back="the coordination backend answers again", note="",
        )
        self._loop = Loop("membership", self._run)

    def subscribe(self, callback: Callable[[MembershipView], None]) -> None:
        """``callback(view)`` after every successful beat, on the owning thread; it must be quick."""
        self._subscribers.append(callback)

    def start(self) -> Membership:
        self._loop.start()
        return self

    def stop(self, timeout: float = 5.0) -> bool:
        """Leave the group and end the thread; True when that was done within ``timeout`` seconds."""
        self._wanted = False
        self._loop.stop()
        self._wake.set()
        return self._loop.join(timeout)

    def join(self) -> None:
        """Be in the group from now on; returns at once."""
        self._wanted = True
        self._wake.set()

    def leave(self, timeout: float = 5.0) -> bool:
        """Leave the group, but keep reading it; True if a view without this member was read within ``timeout``
        seconds."""
        self._wanted = False
        self._wake.set()
        if not self._loop.alive:
            return True
        with self._changed:
            return self._changed.wait_for(self._out, timeout)

    def _out(self) -> bool:
        return self.last_error is None and (self._view is None or self.member not in self._view.members)

    def view(self) -> MembershipView | None:
        """The newest view; None before the first."""
        return self._view

    @property
    def connected(self) -> bool:
        """Whether the backend answered the last beat."""
        return self._backend is not None and self.last_error is None

    def wake(self) -> None:
        """Read the group now rather than at the next beat."""
        self._wake.set()

    # everything below: by the owning thread alone

    def _run(self, stop: threading.Event) -> None:
        try:
            while not stop.is_set():
                self.beat()
                stop.wait(MIN_PAUSE)
                self._wake.wait(self._beat_interval if self.last_error is None else min(RETRY, self._beat_interval))
                self._wake.clear()
        finally:
            self._goodbye()

    def beat(self) -> None:
        """One beat: keep the lease, be in the group if wanted, read the members, tell the subscribers."""
        began = self._clock.monotonic()
        try:
            members = self._keep_in(self._backend or self._open())
        except Unavailable as error:
            self._down(error)
            return
        self._outage.recovered()
        self.last_error = None
        metrics.COORDINATION_UP.set(1)
        self._publish(tuple(decode(members)), began)

    def _keep_in(self, backend: Backend) -> set[bytes]:
        me = self.member.encode()
        backend.heartbeat()
        members = backend.members()
        if members is None:
            if self._view is not None and self._view.members:
                self._disturb()  # the backend was wiped; otherwise nobody has created the group yet
            members = set()
        if self._wanted and (me not in members or not self._attached):
            if self._was_in and me not in members:
                metrics.REJOINS.inc()
                self._disturb()
                LOG.warning("member %s was no longer in group %s: joining again", self.member, self._group)
            backend.join()
            self._attached = self._was_in = True
            members = backend.members() or set()
        elif not self._wanted and me in members:
            backend.leave()
            self._attached = self._was_in = False
            members = members - {me}
        return members

    def _open(self) -> Backend:
        if self.last_error is not None:
            self._disturb()
        url = self._urls[self._url_index]
        backend = self._connect(url, self._group, self.member.encode(), self._lease)
        self._backend = backend
        self._attached = False
        if backend.etcd_client is not None:
            self._watch = EtcdWatch(backend.etcd_client, self._group, self._wake.set).start()
        return backend

    def _down(self, error: Unavailable) -> None:
        metrics.COORDINATION_UP.set(0)
        self._outage.failed(error)
        self.last_error = error.message
        self._close()
        self._url_index = (self._url_index + 1) % len(self._urls)

    def _close(self) -> None:
        if self._watch is not None:
            self._watch.stop()
            self._watch = None
        if self._backend is not None:
            self._backend.close()
            self._backend = None

    def _goodbye(self) -> None:
        if self._backend is not None:
            try:
                self._backend.leave()
            except Unavailable as error:
                LOG.info("could not leave group %s, the lease ends it: %s", self._group, error)
        self._close()

    def _disturb(self) -> None:
        self._disturbed_until = self._clock.monotonic() + self._lease

    def _publish(self, members: tuple[MemberId, ...], began: float) -> None:
        before = self._view
        changed = before is None or before.members != members
        version = (before.version if before is not None else 0) + (1 if changed else 0)
        view = MembershipView(members, began, version, self._clock.monotonic() < self._disturbed_until)
        if changed:
            LOG.info("members of group %s: %s", self._group, ", ".join(map(str, members)) or "none")
        metrics.MEMBERS.set(len(view.names))
        with self._changed:
            self._view = view
            self._changed.notify_all()
        for callback in self._subscribers:
            callback(view)
