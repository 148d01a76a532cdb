"""What a record tells of the connections it went over: events, to be made packets of.

Times are those of the record where it has them. Of an answer it knows when its head came and when the last octet of its
content went to the client; what it cannot know is put where it must have been: a request goes upstream when the
connection is there, an origin's content comes with its head. Nothing on one connection comes before what was told of it
already: a worker reads the clock a millisecond late at times.

In the stream of a tunnel, Wireshark takes everything after CONNECT for what its port says, TLS as a rule. What was said
inside of a tunnel that was looked into is plain, so it is a stream of its own, between the two ends that the client's
TLS was to connect: the client's real address and port, and the server's.

An end that has no address (a Unix socket), or none that is known, gets one for documentation and a port of its own, and
a comment says so. An attempt that reached nobody leaves no packets.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from interpose.core.record import NOWHERE, End, Kind, Part, Passage, Record, Try
from interpose.storage.exports import spoken
from interpose.storage.exports.events import Event, Verb, Wire
from interpose.storage.exports.packets import MOST_DATAGRAM_BYTES, documented, octets_of

CLIENTS, ORIGINS = 0, 1
MOST_FLOORS: Final = 16_384
MOST_TUNNELS: Final = 4096
LAST_S: Final = float(1 << 33)
"""No record of ours has a later time; one that was taken in may say anything."""
LATE_US: Final = 5_000
"""How far the clocks of two records of one connection may disagree."""

_MADE_ADDRESSES: Final = "The addresses are made: one end has none, as Unix sockets have none, or it is not known."
_FIRST_MADE_PORT: Final = 1024
_BROKEN_OFF: Final = "connection_terminated"
_INTERCEPTED: Final = (
    "TLS in this tunnel was looked into: what was said inside is a stream from the client's port to the server's."
)


class Teller:
    """Tells one record after the other, in the order in which they ended. It remembers connections, not records."""

    def __init__(self) -> None:
        self._orders = itertools.count()
        self._floors: OrderedDict[Wire, int] = OrderedDict()
        self._made_ports = itertools.count()
        self._inside: OrderedDict[str, Wire] = OrderedDict()

    def events(self, record: Record) -> list[Event]:
        """What the record tells, in order of time on each connection."""
        told = self._told(record)
        inside = self._inside.pop(record.exchange, None)
        if inside is not None:
            told.append(_Line(self, inside, record.started, slack_us=None).event(Verb.END, record.duration_s))
        return told

    def _told(self, record: Record) -> list[Event]:
        if record.kind is Kind.UDP:
            return list(self._datagrams(record))
        if record.method:
            return [*self._exchange(record), *self._attempts(record)]
        if not record.client[0] and not record.messages:
            return []
        return list(self._conversation(record))

    # --- HTTP --------------------------------------------------------------------------------------------------------

    def _exchange(self, record: Record) -> Iterator[Event]:
        wire = self._client_wire(record)
        line = _Line(self, wire, record.started, slack_us=None)
        said = [_tls_of_client(record)] if line.is_new and record.kind is not Kind.TUNNEL else []
        request = spoken.request_of_client(record)
        comment = _comment(*said, line.about_ends, _cut(record.request) if record.kind is Kind.HTTP else "")
        yield line.event(Verb.SAY, record.request.ended_s, True, request, comment)._replace(may_begin=True)
        if record.status:
            head, content = spoken.response_to_client(record)
            cut = _cut(record.response) if record.kind is Kind.HTTP else _unrecorded(record)
            comment = _comment(_INTERCEPTED if _is_intercepted(record) else "", cut, _failure(record))
            until_s = record.response.ended_s or record.duration_s
            head_s = max(record.response_s or until_s, _answered_s(record))
            if content and until_s > head_s:
                yield line.event(Verb.SAY, head_s, False, head)
                yield line.event(Verb.SAY, until_s, False, content, comment)
            else:
                yield line.event(Verb.SAY, head_s, False, head + content, comment)
        yield from self._messages(line, record.messages)
        if record.failure or record.kind is not Kind.HTTP or not record.version or wire.exchange == record.exchange:
            is_clients = record.side == "downstream" or not record.failure
            broke_off = record.failure == _BROKEN_OFF and is_clients
            comment = _left_out(record) if record.status else _comment(_failure(record), _left_out(record))
            yield line.event(Verb.RESET if broke_off else Verb.END, record.duration_s, is_clients, b"", comment)

    def _attempts(self, record: Record) -> Iterator[Event]:
        for number, attempt in enumerate(record.attempts):
            if attempt.peer == NOWHERE and not attempt.head:
                continue  # nobody was reached
            yield from self._attempt(record, attempt, number)

    def _attempt(self, record: Record, attempt: Try, number: int) -> Iterator[Event]:
        line = self._opened(record, attempt, number)
        yield from line.told
        is_last = number == len(record.attempts) - 1
        is_http = record.kind is Kind.HTTP
        sent_s = max(attempt.started_s, attempt.connected_s)
        if request := spoken.request_of_attempt(record, attempt):
            cut = _cut(record.request) if is_http else ""
            older = _older(record, attempt) if attempt.reused and line.is_new else ""
            yield line.event(Verb.SAY, sent_s, True, request, _comment(line.opening, older, cut))
        if attempt.status:
            head, content = spoken.response_to_attempt(record, attempt)
            unknown = "" if spoken.has_answer(record, attempt) else "Only the status of this answer is recorded."
            cut = _cut(record.response) if content and is_http else ""
            yield line.event(Verb.SAY, attempt.first_byte_s or sent_s, False, head + content, _comment(unknown, cut))
        if is_last and not is_http:
            yield from self._messages(line, record.messages)
        if attempt.failure or line.wire.exchange or not (is_http or _is_intercepted(record)):
            broke_off = attempt.failure == _BROKEN_OFF
            ended_s = record.duration_s if is_last else record.attempts[number + 1].started_s
            comment = f"{attempt.origin}: {attempt.failure}." if attempt.failure else ""
            yield line.event(Verb.RESET if broke_off else Verb.END, ended_s, not attempt.failure, b"", comment)

    # --- below HTTP --------------------------------------------------------------------------------------------------

    def _conversation(self, record: Record) -> Iterator[Event]:
        wire = self._client_wire(record)
        line = _Line(self, wire, record.started, slack_us=None)
        comment = _comment(line.about_ends, _tls(record.tls), _unrecorded(record))
        yield line.event(Verb.ASK, 0.0)
        yield line.event(Verb.OPEN, 0.0, comment=comment)
        yield from self._ended_conversation(line, record)
        for number, attempt in enumerate(record.attempts):
            if attempt.peer == NOWHERE:
                continue
            upstream = self._opened(record, attempt, number)
            yield from upstream.told
            if number == len(record.attempts) - 1 and not attempt.failure:
                yield from self._ended_conversation(upstream, record)
            else:
                yield upstream.event(Verb.END, max(attempt.started_s, attempt.connected_s), False)

    def _ended_conversation(self, line: _Line, record: Record) -> Iterator[Event]:
        yield from self._messages(line, record.messages)
        comment = _comment(_left_out(record), _failure(record))
        verb = Verb.RESET if record.failure == _BROKEN_OFF else Verb.END
        yield line.event(verb, record.duration_s, record.side != "upstream", b"", comment)

    def _messages(self, line: _Line, messages: list[Passage]) -> Iterator[Event]:
        for message in messages:
            data = spoken.frame(message)
            kept = len(message.data)
            cut = f"Cut: {kept} of {message.size} octets were kept." if kept < message.size else ""
            if data:
                yield line.event(Verb.SAY, message.at_s, message.inbound, data, cut)

    def _datagrams(self, record: Record) -> Iterator[Event]:
        wires = [self._client_wire(record)]
        wires += [self._wire(record, attempt, 0) for attempt in record.attempts[-1:] if attempt.peer != NOWHERE]
        for wire in wires:
            # The same ports of TCP are others.
            line = _Line(self, wire._replace(exchange=wire.exchange or "udp"), record.started, slack_us=None)
            about = line.about_ends
            for message in record.messages:
                data = message.data[:MOST_DATAGRAM_BYTES]
                cut = f"Cut: {len(data)} of {message.size} octets are here." if len(data) < message.size else ""
                yield line.event(Verb.SEND, message.at_s, message.inbound, data, _comment(about, cut))
                about = ""

    # --- ends --------------------------------------------------------------------------------------------------------

    def _opened(self, record: Record, attempt: Try, number: int) -> _Line:
        slack_us = 0 if _is_intercepted(record) else LATE_US  # what was asked inside has been told before
        line = _Line(self, self._wire(record, attempt, number), record.started, slack_us=slack_us)
        line.opening = _comment(line.about_ends, _tls(attempt.tls) if not attempt.reused else "")
        if not attempt.reused:
            line.told.append(line.event(Verb.ASK, attempt.started_s))
            if attempt.connected_s:
                line.told.append(line.event(Verb.OPEN, attempt.connected_s))
        return line

    def _client_wire(self, record: Record) -> Wire:
        if record.parent:
            return self._inside_wire(record)
        return self._between(CLIENTS, record.client, record.local, record.exchange)

    def _inside_wire(self, record: Record) -> Wire:
        """Where all of one tunnel is shown. A server behind another proxy, or never reached, has no address here."""
        wire = self._inside.get(record.parent)
        if wire is None or record.client[1] not in (0, wire.source_port):  # another run counts from the beginning
            reached = [attempt.peer for attempt in record.attempts if attempt.peer[1] == record.port]
            server = reached[-1] if reached else (record.host, record.port)
            wire = self._between(CLIENTS, record.client, server, record.parent)._replace(exchange=record.parent)
        self._inside[record.parent] = wire
        self._inside.move_to_end(record.parent)
        if len(self._inside) > MOST_TUNNELS:
            self._inside.popitem(last=False)
        return wire

    def _wire(self, record: Record, attempt: Try, number: int) -> Wire:
        return self._between(ORIGINS, attempt.local, attempt.peer, f"{record.exchange} {number}")

    def _between(self, side: int, source: End, target: End, exchange: str) -> Wire:
        asks, asked = octets_of(source[0]), octets_of(target[0])
        if asks and asked:
            return Wire(side, asks, source[1] & 0xFFFF, asked, target[1] & 0xFFFF)
        port = _FIRST_MADE_PORT + next(self._made_ports) % (65536 - _FIRST_MADE_PORT)
        first, second = documented(side + 1), documented(side + 2)
        return Wire(
            side, asks or first, source[1] & 0xFFFF or port, asked or second, target[1] & 0xFFFF or 80, exchange
        )

    def floor(self, wire: Wire) -> int | None:
        """The latest time that was told of a connection; None when nothing was."""
        return self._floors.get(wire)

    def told(self, wire: Wire, at_us: int) -> int:
        """Something is told of a connection; its place in the order."""
        self._floors[wire] = at_us
        self._floors.move_to_end(wire)
        if len(self._floors) > MOST_FLOORS:
            self._floors.popitem(last=False)
        return next(self._orders)


class _Line:
    """One connection, as one record tells of it. Times never go back; `slack_us` is how far a record's beginning is
    moved behind what was told before (None: as far as needed)."""

    __slots__ = ("_floor_us", "_started_s", "_teller", "about_ends", "is_new", "opening", "told", "wire")

    def __init__(self, teller: Teller, wire: Wire, started_s: float, slack_us: int | None) -> None:
        self._teller = teller
        self._started_s = started_s
        self.wire = wire
        self.told: list[Event] = []
        self.opening = ""
        floor = teller.floor(wire)
        self.is_new = floor is None
        is_far = floor is not None and slack_us is not None and floor - started_s * 1e6 > slack_us
        self._floor_us = 0 if floor is None or is_far else floor
        self.about_ends = _MADE_ADDRESSES if wire.exchange and wire.source_port and _is_made(wire) else ""

    def event(self, verb: Verb, at_s: float, inbound: bool = True, data: bytes = b"", comment: str = "") -> Event:
        at_us = max(self._floor_us, int(min(max(0.0, self._started_s + at_s), LAST_S) * 1e6))
        self._floor_us = at_us
        return Event(at_us, self._teller.told(self.wire, at_us), verb, self.wire, inbound, data, comment)


_MADE = frozenset(documented(number) for number in (1, 2, 3))


def _is_made(wire: Wire) -> bool:
    return wire.source in _MADE or wire.target in _MADE


def _comment(*sentences: str) -> str:
    return " ".join(sentence for sentence in sentences if sentence)


def _cut(part: Part) -> str:
    kept = len(part.content)
    return f"Cut: {kept} of {part.size} octets of the content were kept." if kept < part.size else ""


def _answered_s(record: Record) -> float:
    """When the last attempt was answered, which cannot be after the client was."""
    last = record.attempts[-1] if record.attempts else None
    return max(last.connected_s, last.first_byte_s) if last is not None and spoken.has_answer(record, last) else 0.0


def _is_intercepted(record: Record) -> bool:
    return record.kind is Kind.TUNNEL and record.notes.get("interception") == "intercepted"


def _older(record: Record, attempt: Try) -> str:
    if record.parent:
        return _comment(_tls(attempt.tls), "It was opened for the client's tunnel.")
    return "The connection is older than this capture knows."


def _tls_of_client(record: Record) -> str:
    if not record.parent:
        return _tls(record.tls)
    host, port = record.local
    return f"This went inside {record.tls or 'TLS'}, in the tunnel from port {record.client[1]} to {host}:{port}."


def _tls(version: str) -> str:
    return f"This went inside {version}." if version else ""


def _failure(record: Record) -> str:
    return f"{record.failure}: {record.detail}" if record.failure else ""


def _left_out(record: Record) -> str:
    kept, total = len(record.messages), record.messages_total
    return f"{total - kept} further messages were not kept." if kept < total else ""


def _unrecorded(record: Record) -> str:
    inbound, outbound = record.request.size, record.response.size
    if record.messages_total or not (inbound or outbound):
        return ""
    return f"{inbound} octets from the client and {outbound} to it were not recorded."
