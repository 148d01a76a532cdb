"""The courier of a spool: sends what is due to the server, again and again until it is confirmed, and tells whoever
waits what became of it.

Once a second, and whenever something was stored here, the directory is looked at (`storage.spool_watch`): what others
have released, what is due to be tried again, what a process that died has left in the middle. Each item is sent under
its claim, so that of several workers one does it. The outcome is in the manifest, where whoever waits finds it,
whichever worker has sent.
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial

from interpose.engine.spool_sender import Errand, Sender
from interpose.engine.spool_work import Meter, Tasks, Threads
from interpose.storage.spool import Spool
from interpose.storage.spool_item import Item, SpoolError, State
from interpose.storage.spool_watch import Watch

log = logging.getLogger("interpose")

MOST_AT_ONCE = 8


class Courier:
    """One for each spool in a worker; `tick` once a second."""

    def __init__(self, spool: Spool, errand: Errand, threads: Threads, meter: Meter) -> None:
        self.spool = spool
        self._threads = threads
        self._watch = Watch(spool)
        self._sender = Sender(spool, errand, threads, meter, self._watch.by_id, self)
        self._tasks = Tasks()
        self._sending: set[str] = set()
        self._waiting: dict[str, list[asyncio.Future[bytes]]] = {}
        self._is_looking = False
        self._look_again = False
        self._is_closed = False
        self._is_draining = False
        self._said = ""

    def tick(self) -> None:
        """Once a second: look what is due."""
        self.look()

    def look(self) -> None:
        """Look what is due, now."""
        self._look_again = True
        if not self._is_looking and not self._is_closed:
            self._is_looking = True
            self._tasks.begin(self._look())

    def outcome(self, id_: str) -> asyncio.Future[bytes]:
        """Done with the server's answer, or with a sentence, when the item has ended. Cancel it to wait no more."""
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(id_, []).append(future)
        future.add_done_callback(partial(self._waits_no_more, id_))
        return future

    def _waits_no_more(self, id_: str, future: asyncio.Future[bytes]) -> None:
        waiting = self._waiting.get(id_, [])
        if future in waiting:
            waiting.remove(future)
        if not waiting:
            self._waiting.pop(id_, None)

    def is_awaited(self, id_: str) -> bool:
        """See `WhoWaits`."""
        return id_ in self._waiting

    def is_stored(self, id_: str) -> None:
        """See `WhoWaits`."""
        self._sending.discard(id_)
        self.look()

    def begin_drain(self) -> None:
        """Begin to send nothing more: another courier does. Whoever waits here is told as long as it is ticked."""
        self._is_draining = True

    @property
    def is_empty(self) -> bool:
        """Whether nothing is under way to the server."""
        return not self._sending

    @property
    def connections(self) -> int:
        """How many items are under way."""
        return len(self._sending)

    def is_sending(self, id_: str) -> bool:
        """Whether this item is on its way to the server."""
        return id_ in self._sending

    @property
    def is_needed(self) -> bool:
        """Whether something is under way to the server, or somebody waits."""
        return bool(self._sending or self._waiting)

    async def close(self) -> None:
        """Give up what is being sent; it is sent anew by whoever looks next. Who waits is let go."""
        self._is_closed = True
        for id_ in list(self._waiting):
            self._told(id_, b"")
        await self._tasks.cancel()

    # --- looking ---------------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        try:
            while self._look_again and not self._is_closed:
                self._look_again = False
                items = await self._threads(self._watch.look, time.time_ns())
                self._start([item for item in items if item.is_due(self.spool.now())])
                await self._tell_waiting({item.id for item in items if not item.has_ended})
        except OSError as error:
            self._complain(f"spool: {self.spool.directory} cannot be looked at: {error}")
        finally:
            self._is_looking = False

    def _start(self, due: list[Item]) -> None:
        for item in due:
            if len(self._sending) >= MOST_AT_ONCE or self._is_draining:
                return
            if item.id not in self._sending:
                self._sending.add(item.id)
                self._tasks.begin(self._send(item.id))

    async def _tell_waiting(self, unfinished: set[str]) -> None:
        """Those who wait for what has ended, here or in another process, are told."""
        for id_ in [id_ for id_ in self._waiting if id_ not in unfinished and id_ not in self._sending]:
            item = await self._threads(self.spool.find, id_)
            if item is None or item.has_ended:
                word = b"" if item is None else await self._threads(last_word, self.spool, item)
                if word is not None:
                    self._told(id_, word)

    def _told(self, id_: str, answer: bytes) -> None:
        for future in self._waiting.pop(id_, ()):
            if not future.done():
                future.set_result(answer)

    # --- sending ---------------------------------------------------------------------------------------------------

    async def _send(self, id_: str) -> None:
        has_tried = False
        try:
            has_tried = await self._sender.send(id_)
        except (OSError, ValueError, SpoolError) as error:
            self._complain(f"spool: {id_} cannot be sent now: {error}")
        finally:
            self._sending.discard(id_)
        if has_tried:  # else the next second is soon enough
            self.look()

    def _complain(self, sentence: str) -> None:
        """Log what is wrong, once while it stays the same."""
        if sentence != self._said:
            self._said = sentence
            log.error("%s", sentence)


def last_word(spool: Spool, item: Item) -> bytes | None:
    """What whoever waits for an item that has ended is told, in the server's own words where there are any; None while
    somebody still listens for those."""
    if item.state is State.DROPPED:
        return f"dropped: {item.id} is not sent on; somebody decided so\n".encode()
    if item.state is State.FAILED:
        return f"failed: {item.problem}\n".encode()
    answer = spool.answer(item.id)
    if answer is None and item.by_id:
        claim = spool.claim(item.id)
        if claim is None:
            return None
        claim.close()
        answer = spool.answer(item.id)
    if answer is None:
        answer = f"stored at {item.server} {item.sent_size} bytes sha256 {item.sent_sha256}\n".encode()
    return answer
