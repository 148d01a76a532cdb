"""Sends one item of a spool to its server, and writes down what came of it.

The server's word is the last one: what it has confirmed is remembered until the manifest says so too, lest it be sent
again because the disk was full; and what it has not confirmed is tried again, whatever went wrong.
"""

from __future__ import annotations

import asyncio
import logging
from typing import NamedTuple, Protocol

from interpose.core.exchange import Attempt
from interpose.core.failure import Failure, Side
from interpose.core.printable import printable
from interpose.core.target import Origin
from interpose.engine.client import Dial
from interpose.engine.intake import Intake
from interpose.engine.spool_delivery import Changed, Content, Delivery, NoAnswer, NotFramed, Rejected
from interpose.engine.spool_options import SpoolOptions
from interpose.engine.spool_work import Meter, Threads
from interpose.protocol.spool_frame import MAX_ANSWER_BYTES, FrameError, is_stored_line, refusal_in
from interpose.storage.spool import Spool
from interpose.storage.spool_claim import Claim
from interpose.storage.spool_item import MAX_BACKOFF_S, State, octets_of

log = logging.getLogger("interpose")

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


class WhoWaits(Protocol):
    """Who has clients that wait for what becomes of items (`engine.courier`)."""

    def is_awaited(self, id_: str) -> bool:
        """Whether somebody waits for the answer to this item."""

    def is_stored(self, id_: str) -> None:
        """The server has it. What is left is to wait for its answer, and others may be sent meanwhile."""


class Sender:
    """One for each courier. `by_id` are the servers that are known to speak the framed form."""

    def __init__(
        self, spool: Spool, errand: Errand, threads: Threads, meter: Meter, by_id: set[str], who_waits: WhoWaits
    ) -> None:
        self._spool = spool
        self._errand = errand
        self._threads = threads
        self._meter = meter
        self._by_id_servers = by_id
        self._who_waits = who_waits
        self._unwritten: dict[str, Confirmed] = {}

    async def send(self, id_: str) -> bool:
        """Try it once, when nobody else does and it is still due; whether it was tried. What came of it is in the
        manifest. Raises OSError, ValueError and `SpoolError` when the spool is not as it should be."""
        claim = await self._threads(self._spool.claim, id_)
        if claim is None:
            return False
        with claim:
            if not claim.item.is_due(self._spool.now()) or await self._is_being_edited(claim):
                return False
            await self._try(claim)
        return True

    async def _is_being_edited(self, claim: Claim) -> bool:
        """Whether a delay is over just as somebody saves. A person's release is not asked about: it is their word."""
        item = claim.item
        if item.state is not State.RECEIVED:
            return False
        changed_at = await self._threads(claim.changed_at)
        return changed_at > item.received_at and 0 <= self._spool.now() - changed_at < SETTLE_S

    async def _try(self, claim: Claim) -> None:
        """One try. What comes of it is in the manifest afterwards."""
        if (confirmed := self._unwritten.get(claim.item.id)) is not None:
            await self._write_down(claim, confirmed)  # the server has it, and then the disk did not take the manifest
            return
        content = await self._threads(claim.content)
        try:
            item, errand = claim.item, self._errand
            if item.approved_sha256 and item.approved_sha256 != content.sha256:
                why = "changed after it was released"
                await self._threads(claim.step, State.HELD, why, approved_sha256="")
                log.warning("spool: %s is held again: it was %s", item.id, why)
                return
            form = errand.options.form
            by_id = form == "framed" or (form == "auto" and (item.by_id or errand.name in self._by_id_servers))
            await self._threads(
                claim.step, State.SENDING, f"try {item.tries + 1}, to {errand.name}",
                server=errand.name, by_id=by_id, tries=item.tries + 1,
                first_try_at=item.first_try_at or self._spool.now(), next_try_at=0.0,
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
                    self._by_id_servers.add(errand.name)
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
        self._by_id_servers.add(item.server)
        digest, why = stored.sha256.hex(), ""
        if digest != item.sent_sha256:
            why = ", as it was when it was sent before"
        await self._confirm(claim, None, f"stored there{why}", sent_size=stored.size, sent_sha256=digest)
        self._who_waits.is_stored(item.id)
        try:
            while not await delivery.has_answer(UNASKED_ANSWER_S):
                if not self._who_waits.is_awaited(item.id):
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
        self._by_id_servers.discard(claim.item.server)
        if self._errand.options.form == "auto":
            await self._threads(claim.note, by_id=False, next_try_at=0.0)
            log.warning("spool: %s does not speak the framed form any more", self._errand.name)
            return
        why = "the server is no spool or sink; --form plain is for any other server"
        await self._failed(claim, why, is_final=False)

    async def _failed(self, claim: Claim, problem: str, *, is_final: bool) -> None:
        """Try again later, for as long as it was said; then, or at once, it has failed."""
        item, now = claim.item, self._spool.now()
        if is_final or now - item.first_try_at >= self._errand.options.give_up_s:
            await self._threads(claim.step, State.FAILED, problem, problem=problem)
            log.error("spool: %s has failed after %d tries: %s", item.id, item.tries, problem)
            return
        wait_s = min(MAX_BACKOFF_S, 2.0 ** min(item.tries - 1, 10))
        await self._threads(claim.note, problem=problem, next_try_at=now + wait_s)
        if item.problem != problem or item.tries <= TOLD_TRIES:
            log.warning("spool: %s is tried again in %g s: %s", item.id, wait_s, problem)
