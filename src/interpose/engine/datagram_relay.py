"""The relay of datagrams: for each client a socket of its own to one of the targets, and answers back to that client.

    client ──> listener's socket ──> session of (client's address and port) ──> its flow ──> target
    client <── listener's socket <── session                                <── its flow <── target

A session begins with a datagram of an address and port that has none, and ends when nothing has come from either side
for a while, when ICMP says that nobody is there, or when it has to make room (`engine.datagram_table`). The next
datagram begins another one, so nothing is lost for good by that, nor by the restart of a worker; what the target sees
is another port.

Nothing waits: what cannot be sent at once is dropped, as it would be in a router. The path of a datagram makes no
object but a view of the buffer it was read into, which is why small ones are cheap.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

from interpose.core.datagram import Sender, WayBack
from interpose.core.exchange import Outcome
from interpose.core.failure import Failure, Side
from interpose.core.watcher import Watcher
from interpose.engine.datagram_session import LISTENER_ENDED, Observe, Session
from interpose.engine.datagram_table import DatagramOptions, SessionTable
from interpose.engine.datagram_targets import Refuse, Resolve, Targets
from interpose.engine.datagrams import Faulty, Seldom, Show
from interpose.engine.held_datagrams import HeldDatagrams
from interpose.net.address import SocketAddress, ip_address
from interpose.net.errors import failure_of
from interpose.net.flows import Flows

LAST_ANSWERS_S = 2.0
"""How long answers are waited for after the last datagram of any client."""

MOST_HELD, MOST_HELD_BYTES = 256, 1 << 20
"""Datagrams that are kept while the only targets are being looked up."""

_NOBODY_THERE = frozenset((errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENOPROTOOPT))


class DatagramRelay(Faulty):
    """The sessions of one listener in one process (a `DatagramServer`).

    A reload swaps the plain attributes, and calls `hold_to` and `lead_to`. `observe` is told of each session at its
    end, as an exchange that is about to be finished; `watch` makes what is shown what passes in one that begins.
    """

    def __init__(self, name: str, worker: int, options: DatagramOptions, numbers: Iterator[int] | None = None) -> None:
        super().__init__()
        self.name = name
        self.worker = worker
        self.numbers = numbers or itertools.count(1)
        self.loop = asyncio.get_running_loop()
        self.show: Show | None = None
        self.observe: Observe | None = None
        self.held: HeldDatagrams | None = None
        self.watch: Callable[[float], Watcher] | None = None
        self.is_finishing = False
        self.max_reply_ratio = 0.0
        self._options = options
        self._table: SessionTable[Session] = SessionTable(options.max_sessions, options.max_sessions_per_client)
        self._sessions = self._table.by_sender
        self._flows = Flows()
        self._targets: Targets | None = None
        self._held: list[tuple[bytes, Sender, WayBack]] = []
        self._finish_by = 0.0
        self._warn_ratio = Seldom()
        self._warn_full = Seldom()
        self._past_in = self._past_out = 0
        self.begun = 0
        self.refused = 0
        """Datagrams that no session could be made for."""
        self.evicted = 0
        """Sessions that had to make room."""
        self.held_back = 0
        """Answers that were too large for a client that had sent one datagram."""
        self.unreachable = 0
        """Sessions that ended because nobody was there."""
        self.dropped = 0
        """Datagrams that the kernel did not take."""

    def hold_to(self, options: DatagramOptions) -> None:
        """Hold sessions to these from now on."""
        self._options = options
        self.max_reply_ratio = options.max_reply_ratio or 0.0
        self._table.max_sessions = options.max_sessions
        self._table.max_per_host = options.max_sessions_per_client

    def lead_to(self, servers: Sequence[SocketAddress], resolve: Resolve, refuse: Refuse) -> None:
        """Begin sessions with these servers from now on, and end those whose server is none of them."""
        if self._targets is not None:
            self._targets.close()
        self._targets = Targets(servers, resolve, refuse, self.targets_changed, self.loop.time)
        for session in self._table:
            if session.target.server not in servers:
                self.end(session, why="the configuration leads elsewhere now")

    # --- datagrams -------------------------------------------------------------------------------------------------

    def __call__(self, data: memoryview | bytes, sender: Sender, back: WayBack) -> None:
        """A client sent a datagram: pass it on."""
        session = self._sessions.get(sender)
        if session is None:
            session = self._begin(data, sender, back)
            if session is None:
                return
        elif not session.is_proven:
            session.is_proven = True
            self._table.prove(session)
        session.datagrams_in += 1
        session.bytes_in += len(data)
        session.awaits_answer = True
        if self.show is not None:
            self.show(session.client, bytes(data), "sent")
        if session.watcher is not None:
            session.watcher.received(bytes(data))
        if self.held is not None and self.held.inbound:
            about = session.exchange(self.worker, self.name, None)
            self.held.pass_on(about, bytes(data), session.send_on, inbound=True)
            return
        if self.faults_inbound is not None:
            self.faults_inbound.pass_on(bytes(data), session.send_on)
            return
        try:
            session.flow.send(data)
        except OSError as error:
            self._not_sent(session, data, error)

    def _not_sent(self, session: Session, data: memoryview | bytes, error: OSError) -> None:
        """The error may be about an earlier datagram: then this one gets a new session, once."""
        sender, back = session.sender, session.back
        self.failed(session, error)
        if sender in self._sessions:
            self.dropped += 1
            return
        again = self._begin(data, sender, back)
        if again is None:
            return
        again.datagrams_in += 1
        again.bytes_in += len(data)
        again.awaits_answer = True
        try:
            again.flow.send(data)
        except OSError as second:
            self.dropped += 1
            self.failed(again, second)

    def failed(self, session: Session, error: OSError) -> None:
        """(session) ICMP, or the kernel itself, says that a datagram did not go out."""
        if error.errno not in _NOBODY_THERE:
            return  # too large for the way (the client's business), no room at the moment, no longer open
        if self._sessions.get(session.sender) is not session:
            return
        self.unreachable += 1
        assert self._targets is not None
        self._targets.refused(session.target)
        self.end(session, failure=_failure_of(error, str(session.target.server)))

    def hold_back(self, session: Session) -> None:
        """(session) An answer was not passed on, because its client may not be who asked."""
        self.held_back += 1
        self._warn_ratio(
            "listener %s: an answer to %s was held back, because it is more than %g times what that client has sent, "
            "in one datagram; datagrams.max_reply_ratio = 0 would let it pass",
            self.name, session.client, self.max_reply_ratio,
        )  # fmt: skip

    # --- sessions --------------------------------------------------------------------------------------------------

    def _begin(self, data: memoryview | bytes, sender: Sender, back: WayBack) -> Session | None:
        """A session for a new sender; None when there can be none, or not yet."""
        assert self._targets is not None
        if self.is_finishing:
            self.refused += 1
            return None
        host, port = back.address_of(sender)
        address = ip_address(host)
        if address is None or self._targets.refuse(address, port):  # a forgery: from a group of machines, or from us
            self.refused += 1
            return None
        if not self._table.has_room_for(host):
            victim = self._table.in_the_way_of(host)
            if victim is None:
                self.refused += 1
                self._warn_full("listener %s: no session is free for %s; its datagrams are dropped", self.name, host)
                return None
            self.evicted += 1
            self.end(victim, why="it made room for another client")
        session = Session(self, sender, back, next(self.numbers), self.loop.time())
        if self.watch is not None:
            session.watcher = self.watch(session.started)
        for target in self._targets.in_turn():
            try:
                session.flow = self._flows.open(target.address, target.server.port, session)
            except OSError as error:
                why = "it is a broadcast address" if isinstance(error, PermissionError) else error.strerror
                self._warn_full("listener %s: datagrams cannot be sent to %s: %s", self.name, target.server, why)
                continue
            session.target = target
            self.begun += 1
            self._table.add(session)
            return session
        if self._targets.are_being_looked_up and self._hold(bytes(data), sender, back):
            return None
        self.refused += 1
        return None

    def _hold(self, data: bytes, sender: Sender, back: WayBack) -> bool:
        """Keep a datagram until it is known where to send it."""
        if len(self._held) >= MOST_HELD or sum(len(held[0]) for held in self._held) + len(data) > MOST_HELD_BYTES:
            return False
        self._held.append((data, sender, back))
        return True

    def targets_changed(self) -> None:
        """A name was looked up: what waited for that goes on, or is dropped."""
        held, self._held = self._held, []
        for data, sender, back in held:
            self(data, sender, back)

    def end(self, session: Session, *, failure: Failure | None = None, why: str = "") -> None:
        """A session is over: close its socket, and write its line."""
        if self.observe is not None:
            exchange = session.exchange(self.worker, self.name, failure)
            if why:
                exchange.notes.setdefault("why", why)
            self.observe(exchange)
            status = 200 if failure is None else failure.status
            exchange.finish(Outcome(status, session.bytes_out, failure, self.loop.time()))
        session.flow.close()
        self._table.remove(session)
        self._past_in += session.datagrams_in
        self._past_out += session.datagrams_out

    def listens_on(self, ports: Iterable[int]) -> None:
        """See `DatagramServer`."""

    # --- its life --------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """See `DatagramServer`. What moves is seen by the counts, so that no datagram costs a look at the clock."""
        if self.is_finishing and now >= self._finish_by:
            self.close_idle()
            return
        timeout_s = self._options.idle_timeout_s
        for session in self._table:
            if (moved := session.moved) != session.seen:
                session.seen = moved
                session.quiet_since = now
            elif now - session.quiet_since >= timeout_s:
                self.end(session)

    def finish(self) -> None:
        """See `DatagramServer`."""
        self.is_finishing = True
        self._finish_by = self.loop.time() + LAST_ANSWERS_S
        for session in self._table:
            if not session.awaits_answer:
                self.end(session, why=LISTENER_ENDED)

    def close_idle(self) -> int:
        """See `DatagramServer`."""
        sessions = list(self._table)
        for session in sessions:
            self.end(session, why=LISTENER_ENDED)
        return len(sessions)

    def shed(self) -> int:
        """See `DatagramServer`."""
        sessions = [session for session in self._table.unproven() if not session.awaits_answer]
        for session in sessions:
            self.end(session, why="memory is short")
        return len(sessions)

    def cut(self) -> None:
        """See `DatagramServer`."""
        self.is_finishing = True
        self._held.clear()
        self.close_idle()
        self._flows.close()
        if self._targets is not None:
            self._targets.close()
        self.set_faults(None, None)

    @property
    def sessions(self) -> int:
        """See `DatagramServer`."""
        return len(self._table)

    @property
    def totals(self) -> dict[str, int]:
        """See `DatagramServer`."""
        return {
            "datagram_sessions_total": self.begun,
            "datagram_sessions_evicted_total": self.evicted,
            "datagram_sessions_unreachable_total": self.unreachable,
            "datagrams_relayed_total": self._past_in + sum([session.datagrams_in for session in self._table]),
            "datagrams_answered_total": self._past_out + sum([session.datagrams_out for session in self._table]),
            "datagrams_refused_total": self.refused,
            "datagrams_held_back_total": self.held_back,
            "datagrams_dropped_total": self.dropped,
        }


def _failure_of(error: OSError, server: str) -> Failure:
    """What `error` means where there are no connections that could be refused."""
    if error.errno != errno.ECONNREFUSED:
        return failure_of(error, server)
    why = f"{server} has no program on that UDP port: its machine said so (ICMP port unreachable)."
    return Failure("connection_refused", Side.UPSTREAM, why)
