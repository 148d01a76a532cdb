"""The journal, as everybody else sees it: what it gives, and what it can be asked.

A record gets a number when it is written. Numbers grow and are never given twice, so they are also the order in which
records were finished, and a place to go on from.
"""

from __future__ import annotations

import enum
from typing import Protocol

import msgspec

from interpose.core.record import Record


class Trait(enum.IntFlag):
    """What was done with an exchange (`is:` in a query). The values are in databases."""

    HELD = 1
    EDITED = 2
    REPLAYED = 4
    CACHED = 8
    BLOCKED = 16
    ERROR = 32


class Summary(msgspec.Struct, array_like=True, frozen=True):
    """A record in one line of a table. `started` is wall clock, seconds since 1970."""

    id: int
    exchange: str
    kind: str
    started: float
    duration_s: float
    listener: str
    route: str
    client: str
    client_port: int
    user: str
    method: str
    scheme: str
    host: str
    port: int
    target: str
    status: int
    request_type: str
    """The media type of the request's content, without parameters."""
    response_type: str
    request_size: int
    response_size: int
    messages: int
    failure: str
    traits: int
    """A `Trait`."""
    mark: str = ""
    comment: str = ""


TRAITS: dict[str, int] = {trait.name.lower(): trait.value for trait in Trait if trait.name}


def states_of(summary: Summary) -> list[str]:
    """The words of `is` (in a query) that hold for a record."""
    states = [state for state, trait in TRAITS.items() if summary.traits & trait]
    return [*states, "marked"] if summary.mark else states


class Kept(msgspec.Struct, array_like=True, frozen=True):
    """All of a record but its contents and messages, which are asked for apart."""

    summary: Summary
    record: Record
    """Without contents and messages; their sizes are those of what there was."""
    request_kept: int
    """How many octets of the request's content there are."""
    response_kept: int
    messages_kept: int
    request_redacted: tuple[str, ...] = ()
    """Fields of the request whose values were left out, in lower case."""
    response_redacted: tuple[str, ...] = ()


class Found(msgspec.Struct, array_like=True, frozen=True):
    """Records that a query found, newest first.

    `more` says that there may be others; they lie before `before`. There can be more although few or none were found:
    looking ends after a while.
    """

    rows: list[Summary]
    more: bool = False
    before: int = 0


class Counted(msgspec.Struct, array_like=True, frozen=True):
    """How many records match; at least so many when it is not `exact`."""

    count: int
    exact: bool = True


class Journal(Protocol):
    """Where records are kept. One in this process, or at the other end of a link: both pass the same tests."""

    async def add(self, records: list[Record]) -> None:
        """Keep them, some time soon. They are dropped, and counted, when more come than can be written."""

    async def find(self, query: str = "", *, before: int = 0, limit: int = 100) -> Found:
        """The newest that match, of those with a number below `before` when that is given. `QueryError`."""

    async def get(self, id: int) -> Kept | None:
        """The record with this number; None when there is none (any more)."""
