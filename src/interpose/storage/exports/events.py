"""What happens on a connection, as far as a record tells, before it becomes packets."""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple


class Verb(Enum):
    """What happens in an event. `SEND` is a datagram, which belongs to no connection."""

    ASK = auto()
    OPEN = auto()
    SAY = auto()
    FIN = auto()
    """One side ends, and may go on hearing."""
    END = auto()
    RESET = auto()
    SEND = auto()


class Wire(NamedTuple):
    """Where packets go: an interface (0: clients, 1: origins), the end that asked and the end that was asked.

    `exchange` where another record with the same ends is another connection, unless it is of the same exchange."""

    side: int
    source: bytes
    source_port: int
    target: bytes
    target_port: int
    exchange: str = ""


class Event(NamedTuple):
    """See the module. `order` keeps events of one moment in the order in which they were told."""

    at_us: int
    order: int
    verb: Verb
    wire: Wire
    inbound: bool = True
    data: bytes = b""
    comment: str = ""
    may_begin: bool = False
    """After a long silence this is said on another connection between the same ends."""
