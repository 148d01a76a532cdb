"""Tells people what passes: who connected, what was sent, and how it ended.

Every line begins with the time of day and the client, so that clients that are served at once can be told apart; what
a client sent stays on its line, whatever it contains (`core.printable`), so that it cannot pass for a line of ours. A
long piece is shortened, and says by how much.

    12:03:41  127.0.0.1:51234  connected to 127.0.0.1:8001 over IPv4
    12:03:41  127.0.0.1:51234  sent 7 bytes: "Foobar\\n"
    12:03:41  127.0.0.1:51234  sends no more
    12:03:41  127.0.0.1:51234  ended after 0.004 s: 7 bytes came, 7 were sent back
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from interpose.core.exchange import Exchange, Outcome
from interpose.core.printable import hexadecimal, printable, whole_characters
from interpose.core.stream import UNKNOWN, Address, StreamInfo

SHOWN_BYTES = 256
"""How much of a piece is shown: sixteen lines of hexadecimal, or about three lines of a terminal."""

Mode = Literal["text", "hex"]


class Narration:
    """What is told of one listener. `write` gets each line, as bytes with its line feed, and must return at once."""

    def __init__(self, write: Callable[[bytes], object], mode: Mode, wall: Callable[[], float] = time.time) -> None:
        self._write = write
        self._mode = mode
        self._wall = wall

    def connected(self, exchange: Exchange, info: StreamInfo) -> Account:
        """Tell that a client connected; what becomes of the connection is told to the account. Its end is told by
        itself."""
        account = Account(self, client_of(exchange.client, exchange.id), exchange)
        tls = "" if info.tls is None else f" with {info.tls.version}"
        account.tell(f"connected to {_local(info.local)} over {family_of(info.local)}{tls}")
        return account

    def turned_away(self, exchange: Exchange, why: str) -> None:
        """Tell that a client is not served, and why."""
        self.tell(client_of(exchange.client, exchange.id), f"was turned away: {printable(why.encode())}")

    def datagram(self, client: Address, data: bytes, *, verb: str = "sent") -> None:
        """Tell of a datagram that came from `client`, or with another verb ("was sent") of one that went to it."""
        what = f"{verb} a datagram of {_bytes(len(data))}" if data else f"{verb} an empty datagram"
        self.show(client_of(client), what, data, 0)

    # --- lines -----------------------------------------------------------------------------------------------------

    def show(self, who: str, what: str, data: bytes, offset: int) -> None:
        """A line that ends with `data`, or lines that follow it; they are counted from `offset`."""
        if not data:
            self.tell(who, what)
            return
        shown = data[:SHOWN_BYTES]
        if self._mode == "hex":
            self.tell(who, f"{what}:")
            for line in hexadecimal(shown, offset):
                self.tell(who, line)
            if len(data) > len(shown):
                self.tell(who, f"… and {_bytes(len(data) - len(shown))} more")
            return
        rest = ""
        if len(data) > SHOWN_BYTES:
            shown = shown[: whole_characters(shown)]
            rest = f" … and {_bytes(len(data) - len(shown))} more"
        self.tell(who, f'{what}: "{printable(shown)}"{rest}')

    def tell(self, who: str, what: str) -> None:
        """One line."""
        self._write(f"{_time_of_day(self._wall())}  {who}  {what}\n".encode())


class Account:
    """What is told of one connection."""

    __slots__ = ("_exchange", "_narration", "_who", "answered_bytes", "received_bytes")

    def __init__(self, narration: Narration, who: str, exchange: Exchange) -> None:
        self._narration = narration
        self._who = who
        self._exchange = exchange
        self.received_bytes = 0
        self.answered_bytes = 0
        exchange.at_end(self._ended)

    def tell(self, what: str) -> None:
        """Tell something else of it; what comes from outside has to be printable already."""
        self._narration.tell(self._who, what)

    def received(self, data: bytes) -> None:
        """The client sent this."""
        self._narration.show(self._who, f"sent {_bytes(len(data))}", data, self.received_bytes)
        self.received_bytes += len(data)

    def answered(self, data: bytes) -> None:
        """The client was sent this, where it is not what it sent itself (a relay)."""
        self._narration.show(self._who, f"was sent {_bytes(len(data))}", data, self.answered_bytes)
        self.answered_bytes += len(data)

    def sends_no_more(self) -> None:
        """The client has ended its side."""
        self.tell("sends no more")

    def _ended(self, outcome: Outcome) -> None:
        lasted = outcome.ended - self._exchange.started
        how = ""
        if outcome.failure is not None:
            how = f". {printable((outcome.failure.detail or outcome.failure.consequence.says).encode())}"
        self.tell(
            f"ended after {lasted:.3f} s: {_bytes(self.received_bytes)} came, {outcome.body_bytes} were sent back{how}"
        )


def client_of(client: Address, id_: str = "") -> str:
    """What lines call a client: its address, or where it has none (it uses a Unix socket, or was gone at once) the
    number of its connection."""
    if client.port:
        return str(client)
    number = f"#{id_}" if id_ else ""
    return f"{client.host}{number}" if client == UNKNOWN else f"{_local(client)}{number}"


def family_of(address: Address) -> str:
    """The family of an address, in people's words."""
    if not address.port:
        return "a Unix socket"
    return "IPv6" if ":" in address.host else "IPv4"


def _local(address: Address) -> str:
    return printable(str(address).encode("utf-8", "replace"))


def _bytes(count: int) -> str:
    return "1 byte" if count == 1 else f"{count} bytes"


def _time_of_day(wall: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(wall))
