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
from typing import NamedTuple

from interpose.core.exchange import Attempt
from interpose.core.failure import Failure, Side
from interpose.core.printable import printable
from interpose.core.target import Origin
from interpose.engine.client import Dial
from interpose.engine.intake import Intake
from interpose.engine.spool_delivery import Changed, Content, Delivery, NoAnswer, NotFramed, Rejected
from interpose.engine.spool_options import SpoolOptions
from interpose.engine.spool_work import Meter, Tasks, Threads
from interpose.protocol.spool_frame import MAX_ANSWER_BYTES, FrameError, is_stored_line, refusal_in
from interpose.storage.spool import Spool
from interpose.storage.spool_claim import Claim
from interpose.storage.spool_item import MAX_BACKOFF_S, Item, SpoolError, State, octets_of
from interpose.storage.spool_watch import Watch

log = logging.getLogger("interpose")

MOST_AT_ONCE = 8
SETTLE_S = 2.0
"""For how long a file must not have been written to before a delay that is over sends it: an editor may be saving."""
UNASKED_ANSWER_S = 10.0
TOLD_TRIES = 3
"""So many failed tries of an item have their line in the log; after that, only those that fail otherwise."""


class Errand(NamedTuple):
    """Where files go and how."""

    server: Origin
    dial: Dial
    options: SpoolOptions
    idle_end_s: float | None

    @property
    def name(self) -> str:
        """The server as people write it."""
        return str(self.server).removeprefix("tcp://")


class Confirmed(NamedTuple):
    """What a server has said of an item: its answer, and what becomes of the manifest."""

    answer: bytes | None
    why: str
    changes: dict[str, object]


class Courier:
    """One for each spool in a worker. `errand` may be swapped at any time; `tick` once a second."""

    def __init__(self, spool: Spool, errand: Errand, threads: Threads, meter: Meter) -> None:
        self.errand = errand
        self.spool = spool
        self._threads = threads
        self._meter = meter
        self._watch = Watch(spool)
        self._tasks = Tasks()
        self._sending: set[str] = set()
        self._waiting: dict[str, list[asyncio.Future[bytes]]] = {}
        self._unwritten: dict[str, Confirmed] = {}
        self._is_looking = False
        self._look_again = False
        self._is_closed = False
        self._is_retired = False
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

    def retire(self) -> None:
        """Begin to send nothing more: another courier does. Whoever waits here is told as long as it is ticked."""
        self._is_retired = True

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
            if len(self._sending) >= MOST_AT_ONCE or self._is_retired:
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
            claim = await self._threads(self.spool.claim, id_)
            if claim is not None:
                with claim:
                    if claim.item.is_due(self.spool.now()) and not await self._is_being_edited(claim):
                        await self._try(claim)
                        has_tried = True
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

    async def _is_being_edited(self, claim: Claim) -> bool:
        """Whether a delay is over just as somebody saves. A person's release is not asked about: it is their word."""
        item = claim.item
        if item.state is not State.RECEIVED:
            return False
        changed_at = await self._threads(claim.changed_at)
        return changed_at > item.received_at and 0 <= self.spool.now() - changed_at < SETTLE_S

    async def _try(self, claim: Claim) -> None:
        """One try. What comes of it is in the manifest afterwards."""
        if (confirmed := self._unwritten.get(claim.item.id)) is not None:
            await self._write_down(claim, confirmed)  # the server has it, and then the disk did not take the manifest
            return
        content = await self._threads(claim.content)
        try:
            item, errand = claim.item, self.errand
            if item.approved_sha256 and item.approved_sha256 != content.sha256:
                why = "changed after it was released"
                await self._threads(claim.step, State.HELD, why, approved_sha256="")
                log.warning("spool: %s is held again: it was %s", item.id, why)
                return
            form = errand.options.form
            by_id = form == "framed" or (form == "auto" and (item.by_id or errand.name in self._watch.by_id))
            await self._threads(
                claim.step, State.SENDING, f"try {item.tries + 1}, to {errand.name}",
                server=errand.name, by_id=by_id, tries=item.tries + 1,
                first_try_at=item.first_try_at or self.spool.now(), next_try_at=0.0,
                sent_size=content.size, sent_sha256=content.sha256,
            )  # fmt: skip
            await self._deliver(claim, content, errand)
        finally:
            content.close()

    async def _deliver(self, claim: Claim, content: Content, errand: Errand) -> None:
        item = claim.item
        label = f"to {errand.name}: {printable(item.name.encode()) or item.id}"
        gauge = self._meter.begin(label, content.size)
        intake: Intake | None = None
        try:
            attempt = Attempt(errand.server, asyncio.get_running_loop().time())
            stream = await errand.dial(errand.server, attempt, configured=True)
            intake = Intake(stream, Side.UPSTREAM, keeps=MAX_ANSWER_BYTES)
            delivery = Delivery(intake, content, self._threads, gauge)
            if item.by_id:
                await self._by_id(claim, delivery)
            else:
                answer = await delivery.plain(errand.idle_end_s)
                why = refusal_in(answer)
                if why is not None or is_stored_line(answer):
                    self._watch.by_id.add(errand.name)
                if why is not None:
                    raise Rejected(why, is_final=False)
                await self._confirm(claim, answer, f"answered in {len(answer)} bytes")
            intake.stream.close()
            intake = None
        except NotFramed:
            await self._not_framed(claim)
        except Rejected as error:
            await self._failed(claim, f"the server does not take it: {error}", is_final=error.is_final)
        except NoAnswer as error:
            await self._failed(claim, str(error), is_final=True)
        except Changed:
            await self._failed(claim, "it was written to while it was being sent", is_final=False)
        except Failure as error:
            await self._failed(claim, error.detail or error.consequence.says, is_final=False)
        except FrameError as error:
            await self._failed(claim, str(error), is_final=False)
        finally:
            gauge.end()
            if intake is not None:
                intake.stream.abort()

    async def _by_id(self, claim: Claim, delivery: Delivery) -> None:
        """In the framed form. What the server has stored is confirmed, even if its answer never comes."""
        item = claim.item
        stored = await delivery.framed(octets_of(item.id), item.name)
        self._watch.by_id.add(item.server)
        digest, why = stored.sha256.hex(), ""
        if digest != item.sent_sha256:
            why = ", as it was when it was sent before"
        await self._confirm(claim, None, f"stored there{why}", sent_size=stored.size, sent_sha256=digest)
        self._sending.discard(item.id)  # what is left is to wait, and others may be sent meanwhile
        self.look()
        try:
            while not await delivery.has_answer(UNASKED_ANSWER_S):
                if item.id not in self._waiting:
                    return
            await self._threads(claim.keep_answer, await delivery.answer(UNASKED_ANSWER_S))
        except (Failure, FrameError, Rejected) as error:
            log.info("spool: %s is stored at %s, and its answer did not come: %s", item.id, item.server, error)

    async def _confirm(self, claim: Claim, answer: bytes | None, why: str, **changes: object) -> None:
        """The server has it. Until the disk knows that too it is remembered here, lest it be sent again."""
        self._unwritten[claim.item.id] = confirmed = Confirmed(answer, why, changes)
        await self._write_down(claim, confirmed)

    async def _write_down(self, claim: Claim, confirmed: Confirmed) -> None:
        if confirmed.answer is not None:
            await self._threads(claim.keep_answer, confirmed.answer)
        item = await self._threads(claim.step, State.CONFIRMED, confirmed.why, problem="", **confirmed.changes)
        del self._unwritten[item.id]
        edited = f", edited (it came with sha256 {item.sha256})" if item.was_edited else ""
        log.info(
            "spool: %s is confirmed by %s: %d bytes, sha256 %s%s",
            item.id, item.server, item.sent_size, item.sent_sha256, edited,
        )  # fmt: skip

    async def _not_framed(self, claim: Claim) -> None:
        """The server is no spool or sink. In `auto` it was one before: from now on it is spoken to plainly."""
        self._watch.by_id.discard(claim.item.server)
        if self.errand.options.form == "auto":
            await self._threads(claim.note, by_id=False, next_try_at=0.0)
            log.warning("spool: %s does not speak the framed form any more", self.errand.name)
            return
        why = "the server is no spool or sink; --form plain is for any other server"
        await self._failed(claim, why, is_final=False)

    async def _failed(self, claim: Claim, problem: str, *, is_final: bool) -> None:
        """Try again later, for as long as it was said; then, or at once, it has failed."""
        item, now = claim.item, self.spool.now()
        if is_final or now - item.first_try_at >= self.errand.options.give_up_s:
            await self._threads(claim.step, State.FAILED, problem, problem=problem)
            log.error("spool: %s has failed after %d tries: %s", item.id, item.tries, problem)
            return
        wait_s = min(MAX_BACKOFF_S, 2.0 ** min(item.tries - 1, 10))
        await self._threads(claim.note, problem=problem, next_try_at=now + wait_s)
        if item.problem != problem or item.tries <= TOLD_TRIES:
            log.warning("spool: %s is tried again in %g s: %s", item.id, wait_s, problem)


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
