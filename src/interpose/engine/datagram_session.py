"""One client of a datagram relay: its socket to the target, its counts, and the line that is written of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from interpose.core.datagram import Sender, WayBack
from interpose.core.exchange import Attempt, Exchange
from interpose.core.failure import Failure
from interpose.core.stream import Address
from interpose.core.target import Origin
from interpose.core.watcher import Watcher
from interpose.engine.datagram_targets import Target
from interpose.engine.datagrams import PassOn, Show
from interpose.engine.held_datagrams import HeldDatagrams
from interpose.net.flows import Flow

LISTENER_ENDED = "the listener ended"


class Keeper(Protocol):
    """The relay, as its sessions see it."""

    max_reply_ratio: float
    is_finishing: bool
    show: Show | None
    faults_outbound: PassOn | None
    held: HeldDatagrams | None
    name: str
    worker: int

    def hold_back(self, session: Session) -> None:
        """An answer was not passed on, because its client may not be who asked."""

    def failed(self, session: Session, error: OSError) -> None:
        """The kernel reports an error on the session's socket."""

    def end(self, session: Session, *, failure: Failure | None = None, why: str = "") -> None:
        """The session is over."""


class Session:
    """One client's. `sender` is the client's address for the way back, `client` for people."""

    __slots__ = (
        "_keeper", "awaits_answer", "back", "bytes_in", "bytes_out", "client", "datagrams_in", "datagrams_out", "flow",
        "held_back", "is_proven", "number", "quiet_since", "seen", "sender", "started", "target", "watcher",
    )  # fmt: skip

    flow: Flow
    target: Target

    def __init__(self, keeper: Keeper, sender: Sender, back: WayBack, number: int, started: float) -> None:
        self._keeper = keeper
        self.sender = sender
        self.back = back
        self.client = back.address_of(sender)
        self.number = number
        self.started = self.quiet_since = started
        self.datagrams_in = self.bytes_in = 0
        self.datagrams_out = self.bytes_out = 0
        self.held_back = 0
        self.seen = 0
        """What had moved when somebody last looked."""
        self.is_proven = False
        """Whether its client has sent a second datagram."""
        self.awaits_answer = False
        self.watcher: Watcher | None = None

    @property
    def host(self) -> str:
        """The client's address without its port."""
        return self.client.host

    @property
    def moved(self) -> int:
        """Datagrams of either side."""
        return self.datagrams_in + self.datagrams_out + self.held_back

    def answered(self, data: memoryview) -> None:
        """(flow) The target sent a datagram: pass it back."""
        keeper = self._keeper
        size = len(data)
        ratio = keeper.max_reply_ratio
        if ratio and not self.is_proven and self.bytes_out + size > ratio * self.bytes_in:
            self.held_back += 1
            keeper.hold_back(self)
            return
        self.datagrams_out += 1
        self.bytes_out += size
        self.awaits_answer = False
        if keeper.show is not None:
            keeper.show(self.client, bytes(data), "was sent")
        if self.watcher is not None:
            self.watcher.answered(bytes(data))
        if keeper.held is not None and keeper.held.outbound:
            about = self.exchange(keeper.worker, keeper.name, None)
            keeper.held.pass_on(about, bytes(data), self.send_back, inbound=False)
        elif keeper.faults_outbound is None:
            self.back.send(data, self.sender)
        else:
            keeper.faults_outbound.pass_on(bytes(data), self.send_back)
        if keeper.is_finishing:
            keeper.end(self, why=LISTENER_ENDED)

    def failed(self, error: OSError) -> None:
        """(flow) The kernel reports an error."""
        self._keeper.failed(self, error)

    def send_back(self, data: Any) -> None:
        """(faults) Send to the client."""
        self.back.send(data, self.sender)

    def send_on(self, data: Any) -> None:
        """(faults) Send to the target, perhaps later: the session may have ended meanwhile."""
        try:
            self.flow.send(data)
        except OSError as error:
            self._keeper.failed(self, error)

    def exchange(self, worker: int, listener: str, failure: Failure | None) -> Exchange:
        """The session as an exchange that is about to end: for the log."""
        server, address = self.target
        exchange = Exchange(self.number, worker, listener, self.client, self.started, "udp")
        exchange.asked = f"UDP {server}"
        attempt = Attempt(Origin("udp", server.host, server.port), self.started)
        attempt.peer, attempt.local = Address(str(address), server.port), self.flow.local
        attempt.connected, attempt.failure = self.started, failure
        exchange.attempts.append(attempt)
        exchange.bytes_out = self.bytes_out
        exchange.watcher = self.watcher
        exchange.notes.update(
            bytes_in=str(self.bytes_in),
            datagrams_in=str(self.datagrams_in),
            datagrams_out=str(self.datagrams_out),
        )
        if self.held_back:
            exchange.refused_by("datagrams", "max_reply_ratio", f"{self.held_back} answers were held back")
        return exchange


Observe = Callable[[Exchange], None]
