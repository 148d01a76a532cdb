"""Receives files, in either form, into a spool: the side of it that spools and sinks have in common.

The first bytes tell the forms apart. What went wrong is told to the sender and to the log, and never looks like an
acknowledgement: that follows only when file, manifest and directory are on the disk.
"""

from __future__ import annotations

import logging
import os
from typing import NamedTuple

from interpose.core.failure import Failure, Side, bad_request
from interpose.core.printable import printable
from interpose.engine.conversations import Conversation
from interpose.engine.intake import Intake
from interpose.engine.spool_voice import FramedVoice, PlainVoice, Voice
from interpose.engine.spool_work import Gauge, Meter, Threads
from interpose.protocol.spool_frame import (
    CLIENT_OPENING,
    OPENING_BYTES,
    FrameError,
    Message,
    Offer,
    decode,
    is_framed,
)
from interpose.storage.spool import Spool
from interpose.storage.spool_item import Busy, Item, State, id_of
from interpose.storage.spool_upload import Damaged, Upload

log = logging.getLogger("interpose")

OFFER_TIMEOUT_S = 10.0
HINT_AFTER_S = 3.0
HINT = (
    "; a file ends when its client ends its side (nc -N, shutdown(SHUT_WR)); "
    "for clients that send and then wait, start with --end idle:2"
)


class Terms(NamedTuple):
    """How files become items: the state they are stored in, after which delay they are due, what is too large."""

    state: State
    why: str = ""
    delay_s: float = 0.0
    idle_end_s: float | None = None
    max_file_bytes: int = 0


class Received(NamedTuple):
    """A stored file and who waits for what becomes of it. `is_new`: it was not here already."""

    item: Item
    voice: Voice
    is_new: bool


class Reception:
    """Receives into `spool`; one for each listener."""

    def __init__(self, spool: Spool, terms: Terms, threads: Threads, meter: Meter) -> None:
        self._spool = spool
        self._terms = terms
        self._threads = threads
        self._meter = meter

    async def receive(self, intake: Intake, conversation: Conversation) -> Received | None:
        """The file that a connection brings; None when it brings none, and then it was told why and is closed."""
        client = str(conversation.exchange.client)
        voice: Voice = PlainVoice(intake)
        why, is_final = "", False
        try:
            beginning = await self._beginning(intake, client)
            if beginning != CLIENT_OPENING:
                return await self._plain(intake, beginning, client, voice)
            voice = FramedVoice(intake)
            return await self._framed(intake, client, voice)
        except OSError as error:
            why = _reason(error)
            failure = Failure(
                "proxy_internal_error", Side.INTERNAL, f"The file could not be stored: {why}.", status=507
            )
        except (Busy, Damaged) as error:
            why = str(error)
            failure = bad_request(why, 409)
        except FrameError as error:
            why, is_final = str(error), True
            failure = bad_request(why)
        except Failure as gone:
            failure, why, is_final = gone, gone.detail, gone.status == 413
        conversation.failure = conversation.failure or failure
        log.warning("not stored, from %s: %s", client, why)
        await voice.refuse(why, is_final=is_final)
        return None

    async def _beginning(self, intake: Intake, client: str) -> bytes:
        """The opening of the framed form, taken from the stream; anything else that came first."""
        beginning = b""
        while (framed := is_framed(beginning)) is None:
            more = await self._more(intake, client, len(beginning))
            if not more:
                break
            beginning += more
        if not framed:
            return beginning
        intake.put_back(beginning[OPENING_BYTES:])
        return beginning[:OPENING_BYTES]

    async def _more(self, intake: Intake, client: str, size: int) -> bytes:
        """The next bytes of a plain file; b"" at its end. Who is waited for in vain is named in the log."""
        idle_s = self._terms.idle_end_s
        if idle_s is not None and size:
            try:
                return await intake.take(idle_s)
            except TimeoutError:
                return b""
        if not intake.is_hinted_at:
            try:
                return await intake.take(HINT_AFTER_S)
            except TimeoutError:
                intake.is_hinted_at = True
                hint = HINT if idle_s is None else ""
                log.info("%s has sent %d bytes and nothing for %g s%s", client, size, HINT_AFTER_S, hint)
        return await intake.take()

    async def _plain(self, intake: Intake, beginning: bytes, client: str, voice: Voice) -> Received:
        if not beginning:
            raise bad_request("no byte came; `interpose send` sends empty files too")
        upload = await self._threads(self._spool.begin, client=client)
        assert isinstance(upload, Upload)
        gauge = self._meter.begin(f"from {client}", None)
        try:
            data = beginning
            while data:
                self._check_size(upload.size + len(data))
                await self._threads(upload.write, data)
                gauge.advance(len(data))
                data = await self._more(intake, client, upload.size)
            item = await self._finish(upload)
        finally:
            gauge.end()
            upload.discard()  # without an effect on what is stored
        return Received(item, voice, True)

    async def _framed(self, intake: Intake, client: str, voice: FramedVoice) -> Received:
        offer = await next_message(intake, OFFER_TIMEOUT_S, Side.DOWNSTREAM)
        if not isinstance(offer, Offer):
            raise FrameError("A client begins with an offer.")
        self._check_size(offer.size)
        begun = await self._threads(
            self._spool.begin,
            client=client, id_=id_of(offer.id), name=offer.name, size=offer.size, sha256=offer.sha256.hex(),
        )  # fmt: skip
        if isinstance(begun, Item):
            return Received(begun, voice, False)
        gauge = self._meter.begin(printable(offer.name.encode()), offer.size, begun.offset)
        try:
            await voice.resume(begun.offset)
            await self._content(intake, begun, offer.size, gauge)
            item = await self._finish(begun)
        except Failure:
            begun.keep()
            raise
        finally:
            gauge.end()
            begun.keep()
        return Received(item, voice, True)

    async def _content(self, intake: Intake, upload: Upload, size: int, gauge: Gauge) -> None:
        while upload.size < size:
            data = await intake.take()
            if not data:
                raise bad_request(f"The sender ended after {upload.size} of {size} bytes.")
            piece = data[: size - upload.size]
            intake.put_back(data[len(piece) :])
            await self._threads(upload.write, piece)
            gauge.advance(len(piece))

    async def _finish(self, upload: Upload) -> Item:
        terms, now = self._terms, self._spool.now()
        due_at = now + terms.delay_s if terms.delay_s else 0.0
        return await self._threads(upload.finish, terms.state, now, why=terms.why, due_at=due_at)

    def _check_size(self, size: int) -> None:
        limit = self._terms.max_file_bytes
        if limit and size > limit:
            raise bad_request(f"the file is larger than {limit} bytes, which is the most that is taken here", 413)


async def next_message(intake: Intake, timeout_s: float | None, side: Side) -> Message:
    """The next message of the framed form. Raises FrameError, `Failure`, of servers TimeoutError."""
    received = b""
    while (found := decode(received)) is None:
        try:
            more = await intake.take(timeout_s)
        except TimeoutError:
            if side is Side.UPSTREAM:
                raise
            raise Failure("connection_read_timeout", side, f"No offer came in {timeout_s:g} s.") from None
        if not more:
            raise Failure("connection_terminated", side, "The connection ended in the middle of a message.")
        received += more
    message, end = found
    intake.put_back(received[end:])
    return message


def _reason(error: OSError) -> str:
    """Why the disk did not take it, in words; paths of this machine are no business of a sender."""
    return (os.strerror(error.errno) if error.errno else str(error)).lower()
