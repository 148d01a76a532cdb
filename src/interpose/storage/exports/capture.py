"""Records as a capture: a file of packets for Wireshark and its relatives, in which streams can be followed.

Two interfaces stand for the two sides of the proxy: on one are its clients, on the other its origins. Each record
becomes a few *events* (a connection is asked for, somebody says something, somebody ends), and events become packets.

Records come in the order in which they ended, packets should be in the order of time, and memory is bounded. So events
wait in a heap, a window of them, and the earliest leaves when there are too many. Only when it leaves do its packets
get their sequence numbers, from the connection that it belongs to: records that share both ends are one connection.
An event that comes after later ones have left is written all the same, with its own time.

A connection that is used for nothing but HTTP may stay open after a record, and no record says for how long. It is
ended when nothing has passed for `IDLE_US` and nothing is known to come, when there are too many, and at the end of
the capture.
"""

from __future__ import annotations

import heapq
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from typing import Final

from interpose.core.record import Record
from interpose.core.version import __version__
from interpose.storage.exports import pcapng
from interpose.storage.exports.events import Event, Verb, Wire
from interpose.storage.exports.packets import Way
from interpose.storage.exports.tcp_stream import TcpStream
from interpose.storage.exports.telling import Teller

WINDOW_EVENTS: Final = 20_000
WINDOW_BYTES: Final = 16 << 20
MOST_STREAMS: Final = 16_384
IDLE_US: Final = 75_000_000

ABOUT: Final = (
    "Made from the journal of Interpose. Addresses, ports, times and what was said are real; handshakes, sequence "
    "numbers, the sizes of segments and the ends of idle connections are made. What was inside TLS is plain here."
)
_SIDES: Final = (
    ("clients", "between clients and the proxy"),
    ("origins", "between the proxy and origins"),
)


class Capture:
    """Takes events of records (`storage.exports.telling`) and gives the octets of a pcapng file."""

    def __init__(self) -> None:
        self._waiting: list[Event] = []
        self._waiting_bytes = 0
        self._coming: Counter[Wire] = Counter()
        self._streams: OrderedDict[Wire, TcpStream] = OrderedDict()
        self._made = 0
        self._now_us = 0

    def begin(self) -> bytes:
        """The beginning of the file."""
        return pcapng.section(f"Interpose {__version__}", ABOUT) + b"".join(pcapng.interface(*side) for side in _SIDES)

    def add(self, events: Iterable[Event]) -> bytes:
        """Take the events of a record; the packets that are due, earlier ones as a rule."""
        for event in events:
            heapq.heappush(self._waiting, event)
            self._waiting_bytes += len(event.data)
            self._coming[event.wire] += 1
        if len(self._waiting) <= WINDOW_EVENTS and self._waiting_bytes <= WINDOW_BYTES:
            return b""
        return b"".join(self._earliest(len(self._waiting) // 2))

    def flush(self) -> bytes:
        """All packets of what was taken so far: whoever looks on live waits for nothing."""
        return b"".join(self._earliest(len(self._waiting)))

    def end(self) -> bytes:
        """The rest of the file, with the ends of all connections."""
        rest = self.flush()
        return rest + b"".join([self._closed(wire, self._now_us) for wire in list(self._streams)])

    def _earliest(self, count: int) -> Iterator[bytes]:
        for _ in range(count):
            event = heapq.heappop(self._waiting)
            self._waiting_bytes -= len(event.data)
            self._coming[event.wire] -= 1
            if not self._coming[event.wire]:
                del self._coming[event.wire]
            self._now_us = max(self._now_us, event.at_us)
            yield from self._idle(event.at_us)
            yield self._written(event)

    def _written(self, event: Event) -> bytes:
        at_us, _, verb, wire, inbound, data, comment, may_begin = event
        if verb is Verb.SEND:
            return pcapng.packet(wire.side, at_us, _way(wire, inbound).udp(data), comment)
        before = b""
        stream = self._streams.get(wire)
        if stream is None and verb is Verb.END and not comment:
            return b""  # it has ended already
        if stream is not None and verb is Verb.ASK and at_us < stream.used_us:
            return b""  # it was opened when something was said there, as nobody had told of its beginning yet
        is_another = verb is Verb.ASK or (may_begin and stream is not None and at_us - stream.used_us >= IDLE_US)
        if stream is not None and is_another:
            before = self._closed(wire, at_us)
            stream = None
        if stream is None:
            before += self._room(at_us)
            self._made += 1
            stream = self._streams[wire] = TcpStream(_way(wire, True), _way(wire, False), self._made)
        stream.used_us = max(stream.used_us, at_us)
        self._streams.move_to_end(wire)
        packets = _PACKETS[verb](stream, inbound, data)
        written = before + _blocks(wire.side, at_us, packets, comment)
        if verb in (Verb.END, Verb.RESET) or stream.is_over:
            del self._streams[wire]
        return written

    def _idle(self, now_us: int) -> Iterator[bytes]:
        """The ends of connections on which nothing has passed for long."""
        while self._streams:
            wire, stream = next(iter(self._streams.items()))
            if now_us - stream.used_us < IDLE_US:
                return
            if wire in self._coming:  # something is said there yet; others are looked at the next time
                self._streams.move_to_end(wire)
                return
            yield self._closed(wire, stream.used_us + IDLE_US)

    def _room(self, at_us: int) -> bytes:
        return self._closed(next(iter(self._streams)), at_us) if len(self._streams) >= MOST_STREAMS else b""

    def _closed(self, wire: Wire, at_us: int) -> bytes:
        stream = self._streams.pop(wire)
        return _blocks(wire.side, at_us, stream.end(True), "") if stream.is_open else b""


_PACKETS: Final = {
    Verb.ASK: lambda stream, inbound, data: stream.ask(),
    Verb.OPEN: lambda stream, inbound, data: stream.open(),
    Verb.SAY: lambda stream, inbound, data: stream.say(inbound, data),
    Verb.FIN: lambda stream, inbound, data: stream.fin(inbound),
    Verb.END: lambda stream, inbound, data: stream.end(inbound),
    Verb.RESET: lambda stream, inbound, data: stream.reset(inbound),
}


def _way(wire: Wire, inbound: bool) -> Way:
    _, source, source_port, target, target_port, _ = wire
    if inbound:
        return Way(source, source_port, target, target_port)
    return Way(target, target_port, source, source_port)


def _blocks(side: int, at_us: int, packets: Iterable[bytes], comment: str) -> bytes:
    """The comment goes on the last packet: those before may be a handshake that came with it."""
    blocks: list[bytes] = []
    made = list(packets)
    for number, data in enumerate(made, 1):
        blocks.append(pcapng.packet(side, at_us, data, comment if number == len(made) else ""))
    return b"".join(blocks)


def capture(records: Iterable[Record]) -> Iterator[bytes]:
    """The pieces of a pcapng file with these records, oldest first."""
    teller, made = Teller(), Capture()
    yield made.begin()
    for record in records:
        if piece := made.add(teller.events(record)):
            yield piece
    yield made.end()


class LiveCapture:
    """A capture for somebody who looks on: the packets of a record come when the record does."""

    def __init__(self) -> None:
        self._teller = Teller()
        self._capture = Capture()

    def begin(self) -> bytes:
        """The beginning of the file."""
        return self._capture.begin()

    def packets(self, record: Record) -> bytes:
        """The packets of a record."""
        return self._capture.add(self._teller.events(record)) + self._capture.flush()

    def end(self) -> bytes:
        """The ends of all connections."""
        return self._capture.end()
