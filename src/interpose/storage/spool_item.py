"""An item of the spool: what is known of one file, the states it goes through, and its manifest.

    receiving ─► received ─► sending ─► confirmed
                   │  ▲        │ ▲ └──► failed ─► approved (tried again)
                   ▼  │        │ │
                  held ─► approved            changed after it was approved: held again
                   └────┴─────────────► dropped

In a sink, where the row ends, what was received is confirmed at once.

A manifest is a JSON file for people and programs, replaced as a whole. Times in it are those of the clock on the wall,
since they outlive the process; nothing bad follows when that clock jumps (`Item.is_due`).
"""

from __future__ import annotations

import base64
import enum
import os
import re

import msgspec

from interpose.protocol.spool_frame import ID_BYTES

_ID = re.compile(r"[a-z2-7]{16}")
MOST_EVENTS = 50
MAX_BACKOFF_S = 60.0


class State(enum.StrEnum):
    """Where an item is on its way."""

    RECEIVING = "receiving"
    RECEIVED = "received"
    HELD = "held"
    APPROVED = "approved"
    SENDING = "sending"
    CONFIRMED = "confirmed"
    FAILED = "failed"
    DROPPED = "dropped"


NEXT: dict[State, tuple[State, ...]] = {
    State.RECEIVING: (State.RECEIVED, State.HELD, State.CONFIRMED),
    State.RECEIVED: (State.SENDING, State.APPROVED, State.DROPPED),
    State.HELD: (State.APPROVED, State.DROPPED),
    State.APPROVED: (State.APPROVED, State.SENDING, State.HELD, State.DROPPED),
    State.SENDING: (State.SENDING, State.CONFIRMED, State.FAILED, State.HELD, State.DROPPED),
    State.FAILED: (State.APPROVED, State.DROPPED),
    State.CONFIRMED: (),
    State.DROPPED: (),
}

ENDED = (State.CONFIRMED, State.FAILED, State.DROPPED)
"""States in which nothing happens by itself any more."""

EDITABLE = (State.RECEIVED, State.HELD, State.APPROVED, State.FAILED)


class SpoolError(Exception):
    """What was asked for cannot be done; the text is a sentence for whoever asked."""


class Unknown(SpoolError):
    """There is no such item, or several begin so."""


class Busy(SpoolError):
    """Somebody else has the item in hand: it is being received, sent or changed."""


class Conflict(SpoolError):
    """The content is not what the caller has seen."""


class WrongState(SpoolError):
    """The item is past that, or not there yet."""


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """A step of an item, and by whom or why."""

    at: float
    state: State
    why: str = ""


class Item(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the manifest holds. `size` and `sha256` are of what was received, `sent_*` of what was sent.

    `approved_sha256` is what a person released: nothing else is sent under that approval. `due_at` is when a delay is
    over, `next_try_at` when to try again after `tries` tries. `by_id`: it was offered to the server under its id, so
    that it is offered so again.
    """

    id: str
    state: State
    name: str = ""
    client: str = ""
    size: int = 0
    sha256: str = ""
    received_at: float = 0.0
    due_at: float = 0.0
    edits: int = 0
    approved_sha256: str = ""
    server: str = ""
    by_id: bool = False
    tries: int = 0
    first_try_at: float = 0.0
    next_try_at: float = 0.0
    sent_size: int = 0
    sent_sha256: str = ""
    problem: str = ""
    ended_at: float = 0.0
    events: tuple[Event, ...] = ()

    @property
    def has_ended(self) -> bool:
        """Whether nothing happens to it by itself any more."""
        return self.state in ENDED

    @property
    def was_edited(self) -> bool:
        """Whether something else was sent than what was received."""
        return bool(self.sent_sha256) and self.sent_sha256 != self.sha256

    def is_due(self, now: float) -> bool:
        """Whether it is to be sent now. A clock that was put back keeps nobody waiting for it."""
        match self.state:
            case State.RECEIVED:
                return now >= self.due_at or now < self.received_at
            case State.APPROVED:
                return True
            case State.SENDING:
                return now >= self.next_try_at or now < self.next_try_at - MAX_BACKOFF_S
            case _:
                return False

    def step(self, state: State, at: float, why: str = "", **changes: object) -> Item:
        """The item in its next state. WrongState when it cannot come there from here."""
        if state not in NEXT[self.state]:
            raise WrongState(f"{self.id} is {self.state} and cannot become {state}.")
        events = (*self.events, Event(at, state, why))
        if len(events) > MOST_EVENTS:  # the beginning tells where it came from, the end what is wrong now
            events = (*events[:5], *events[5 - MOST_EVENTS :])
        ended_at = at if state in ENDED else 0.0
        return msgspec.structs.replace(self, state=state, events=events, ended_at=ended_at, **changes)


def new_id() -> str:
    """An id that nobody can guess."""
    return id_of(os.urandom(ID_BYTES))


def id_of(octets: bytes) -> str:
    """The id that a framed client gave, in letters and digits that no file system confuses."""
    return base64.b32encode(octets).decode().lower()


def octets_of(id_: str) -> bytes:
    """The reverse of `id_of`."""
    return base64.b32decode(id_.upper())


def is_id(text: str) -> bool:
    """Whether `text` can be an id; nothing else ever becomes a part of a path."""
    return _ID.fullmatch(text) is not None


def encode_item(item: Item) -> bytes:
    """The manifest's octets."""
    return msgspec.json.format(msgspec.json.encode(item), indent=2) + b"\n"


def decode_item(data: bytes) -> Item:
    """The item of a manifest. ValueError when it is none."""
    return msgspec.json.decode(data, type=Item)
