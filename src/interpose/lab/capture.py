"""What the sockets of an experiment did, as a capture for Wireshark.

Each actor tells what its own socket did. Where both ends of a connection are actors, what one says is what the other
hears, and only the saying counts. Where Interpose is the other end, both do.
"""

from __future__ import annotations

from collections.abc import Sequence

from interpose.core.stream import Address
from interpose.net.blocking import Moment
from interpose.storage.exports.capture import Capture
from interpose.storage.exports.events import Event, Verb, Wire
from interpose.storage.exports.packets import octets_of

CLIENTS, ORIGINS = 0, 1
_OPENING = ("connects", "accepts", "is refused")
_DATAGRAMS = ("sends", "gets")


def capture_of(moments: Sequence[Moment], products: frozenset[int]) -> bytes:
    """The file. `products` are the ports on which Interpose listens: what goes there is on the side of its clients."""
    telling = _Telling(moments, products)
    made = Capture()
    return made.begin() + made.add(telling.events()) + made.end()


class _Telling:
    """Events out of moments."""

    def __init__(self, moments: Sequence[Moment], products: frozenset[int]) -> None:
        self._moments = sorted(moments, key=lambda moment: moment.at)
        self._products = products
        self._ends = {moment.local for moment in moments}
        """The ends that tell for themselves."""
        self._clients: dict[frozenset[Address], Address] = {}
        """Who connected, of the two ends of a connection."""
        self._ended: dict[frozenset[Address], set[Address]] = {}

    def events(self) -> list[Event]:
        """All of them, in the order of time."""
        events: list[Event] = []
        for moment in self._moments:
            found = self._event(moment, len(events))
            if found is not None:
                events.append(found)
        return events

    def _event(self, moment: Moment, number: int) -> Event | None:
        at_us = round(moment.at * 1e6)
        if moment.what in _DATAGRAMS:
            if moment.what == "gets" and moment.other in self._ends:
                return None
            source, target = (moment.local, moment.other) if moment.what == "sends" else (moment.other, moment.local)
            return Event(at_us, number, Verb.SEND, self._wire(source, target), True, moment.data)
        pair = frozenset((moment.local, moment.other))
        if moment.what in _OPENING:
            return self._opening(moment, pair, at_us, number)
        client = self._clients.get(pair)
        if client is None:
            return None
        server = moment.other if moment.local == client else moment.local
        wire = self._wire(client, server)
        is_ours = moment.local == client
        match moment.what:
            case "says":
                return Event(at_us, number, Verb.SAY, wire, is_ours, moment.data)
            case "hears" if moment.data and moment.other not in self._ends:
                return Event(at_us, number, Verb.SAY, wire, not is_ours, moment.data)
            case "breaks off":
                del self._clients[pair]
                return Event(at_us, number, Verb.RESET, wire, is_ours)
            case "ends":
                return self._end(pair, moment.local, Event(at_us, number, Verb.FIN, wire, is_ours))
            case "hears" if not moment.data:
                return self._end(pair, moment.other, Event(at_us, number, Verb.FIN, wire, not is_ours))
        return None

    def _opening(self, moment: Moment, pair: frozenset[Address], at_us: int, number: int) -> Event | None:
        if moment.what == "accepts" and moment.other in self._ends:
            return None
        client, server = (moment.other, moment.local) if moment.what == "accepts" else (moment.local, moment.other)
        wire = self._wire(client, server)
        if moment.what == "is refused":
            return Event(at_us, number, Verb.RESET, wire, False)
        self._clients[pair] = client
        self._ended.pop(pair, None)
        return Event(at_us, number, Verb.OPEN, wire)

    def _end(self, pair: frozenset[Address], who: Address, event: Event) -> Event | None:
        """One side ends; what it does after that, and hearing of it, is nothing new."""
        ended = self._ended.setdefault(pair, set())
        if who in ended:
            return None
        ended.add(who)
        if len(ended) == 2:
            del self._clients[pair]
        return event

    def _wire(self, source: Address, target: Address) -> Wire:
        side = ORIGINS if source not in self._ends and target.port not in self._products else CLIENTS
        return Wire(side, octets_of(source.host), source.port, octets_of(target.host), target.port)
