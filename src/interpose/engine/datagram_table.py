"""The table of a datagram relay: who has a session, how many there may be, and who goes when there is no room (A33).

A sender's address proves nothing: whoever forges them can make a session with every datagram. So sessions are bounded,
for all clients together and for each host, and a session whose client has sent a single datagram is *unproven*. When
there is no room, the oldest unproven session makes some; when all are proven, the new client is turned away. So a
flood of forged senders pushes out its own sessions and not those of clients that are at it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from msgspec import Struct

from interpose.core.datagram import Sender
from interpose.core.units import Count, Ratio, Timeout


class DatagramOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sessions of a relay of datagrams: one for each address and port of a client."""

    idle_timeout_s: Timeout = 60.0
    """How long a session is kept without a datagram from either side."""

    max_sessions: Count = 4096
    """Sessions of one worker on a listener, or as many as descriptors allow. When there are more, those whose clients
    have sent a single datagram make room, the oldest first."""

    max_sessions_per_client: Count = 1024
    """Sessions of one client address, whatever its ports, in one worker. 0: no limit of their own."""

    max_reply_ratio: Ratio | None = None
    """How many times as many bytes as it has sent a client is sent back before its second datagram; 0: no limit.
    Without it: 3, and no limit on loopback or with `allow_from`. Senders can be forged, and the answers would go to
    somebody who never asked."""


class Member(Protocol):
    """A session, as the table sees it."""

    @property
    def sender(self) -> Sender:
        """Whose it is."""

    @property
    def host(self) -> str:
        """The sender's address without its port."""


M = TypeVar("M", bound=Member)


class _Host(Generic[M]):
    """What one host has."""

    __slots__ = ("sessions", "unproven")

    def __init__(self) -> None:
        self.sessions = 0
        self.unproven: dict[Sender, M] = {}


class SessionTable(Generic[M]):
    """Sessions by sender. `max_sessions` and `max_per_host` (0: no limit but the first) may be changed at any time."""

    def __init__(self, max_sessions: int, max_per_host: int) -> None:
        self.max_sessions = max_sessions
        self.max_per_host = max_per_host
        self.by_sender: dict[Sender, M] = {}
        self._unproven: dict[Sender, M] = {}
        self._hosts: dict[str, _Host[M]] = {}

    def __len__(self) -> int:
        return len(self.by_sender)

    def __iter__(self) -> Iterator[M]:
        return iter(list(self.by_sender.values()))

    def has_room_for(self, host: str) -> bool:
        """Whether `host` may have one more as things stand."""
        return len(self.by_sender) < self.max_sessions and not self._is_full(host)

    def in_the_way_of(self, host: str) -> M | None:
        """The session to end so that `host` may have one more; None when there is none that may be ended for it."""
        candidates = self._hosts[host].unproven if self._is_full(host) else self._unproven
        return next(iter(candidates.values()), None)

    def _is_full(self, host: str) -> bool:
        known = self._hosts.get(host)
        return known is not None and 0 < self.max_per_host <= known.sessions

    def add(self, session: M) -> None:
        """A session began."""
        self.by_sender[session.sender] = self._unproven[session.sender] = session
        host = self._hosts.get(session.host)
        if host is None:
            host = self._hosts[session.host] = _Host()
        host.sessions += 1
        host.unproven[session.sender] = session

    def prove(self, session: M) -> None:
        """Its client has sent a second datagram."""
        self._unproven.pop(session.sender, None)
        self._hosts[session.host].unproven.pop(session.sender, None)

    def remove(self, session: M) -> None:
        """It ended."""
        del self.by_sender[session.sender]
        self.prove(session)
        host = self._hosts[session.host]
        host.sessions -= 1
        if not host.sessions:
            del self._hosts[session.host]

    def unproven(self) -> list[M]:
        """Those whose clients have sent a single datagram, oldest first."""
        return list(self._unproven.values())
