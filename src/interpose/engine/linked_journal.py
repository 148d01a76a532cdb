"""The journal as a worker has it: at the other end of the link."""

from __future__ import annotations

import msgspec

from interpose.core.journal import Found, Journal, Kept
from interpose.core.query import parse
from interpose.core.record import Record, encode_records
from interpose.engine.calls import Calls

FIND, GET = "journal.find", "journal.get"

_ENCODER = msgspec.msgpack.Encoder()
_FOUND = msgspec.msgpack.Decoder(Found)
_KEPT: msgspec.msgpack.Decoder[Kept | None] = msgspec.msgpack.Decoder(Kept | None)
_PAGE = msgspec.msgpack.Decoder(tuple[str, int, int])
_ID = msgspec.msgpack.Decoder(int)


class LinkedJournal:
    """A `core.journal.Journal` over `calls`. `Failure` when the supervisor is gone."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def add(self, records: list[Record]) -> None:
        """See `Journal.add`."""
        self._calls.tell(encode_records(records))

    async def find(self, query: str = "", *, before: int = 0, limit: int = 100) -> Found:
        """See `Journal.find`."""
        if query:
            parse(query)  # what is wrong with it is said here, where it was written
        return _FOUND.decode(await self._calls.ask(FIND, _ENCODER.encode((query, before, limit))))

    async def get(self, id: int) -> Kept | None:
        """See `Journal.get`."""
        kept: Kept | None = _KEPT.decode(await self._calls.ask(GET, _ENCODER.encode(id)))
        return kept


async def answered(journal: Journal, topic: str, question: bytes) -> bytes:
    """(in the supervisor) What `journal` says to a call of a worker."""
    match topic:
        case "journal.find":
            query, before, limit = _PAGE.decode(question)
            return _ENCODER.encode(await journal.find(query, before=before, limit=limit))
        case "journal.get":
            return _ENCODER.encode(await journal.get(_ID.decode(question)))
    raise ValueError(f"{topic!r} is nothing that a journal is asked")
