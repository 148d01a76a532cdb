"""One request to the origin whose answer many may have, while it arrives.

    ASKING    the origin was asked; whoever else wants the same may wait for its answer's head
    KEPT      the answer is being stored: `head` is there, its content in `content`, for everybody whom it fits
    ALONE     the answer is for who asked first, who finds it in `response`; the others ask for themselves
    FAILED    there is no answer; `error` says why

A fetch belongs to the worker. Its task goes on when who asked first has left, and so does its content, as long as
somebody reads it or the store wants it. Who waits does so for at most LOCK_AGE_S: a fetch that stands still holds
nobody (THREATS F25).
"""

from __future__ import annotations

import asyncio
import enum
import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from interpose.core.body import Body
from interpose.core.failure import Failure
from interpose.core.fields import FieldLine, Fields
from interpose.core.message import Response
from interpose.protocol.stored import StoredHead
from interpose.storage.growing import Growing
from interpose.storage.spill import SpillSpace
from interpose.storage.store import Entry, Writer

if TYPE_CHECKING:
    from asyncio import Future, Task

LOCK_AGE_S = 5.0


class State(enum.Enum):
    """See the module."""

    ASKING = "asking"
    KEPT = "kept"
    ALONE = "alone"
    FAILED = "failed"


class Fetch:
    """See the module. `lines` are the fields of the request that is on its way; `status` is what the
    origin answered."""

    __slots__ = (
        "_first", "_flow", "_timer", "_waiting", "_wanted", "asked_at", "began", "content", "ends_when_left", "error",
        "head", "is_stored", "is_wrong", "lines", "loop", "may_be_joined", "notes", "received", "response", "state",
        "status", "task", "why_alone",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, lines: list[FieldLine], *, ends_when_left: bool) -> None:
        self.loop = loop
        self.began = loop.time()
        self.lines = lines
        self.state = State.ASKING
        self.may_be_joined = True
        self.ends_when_left = ends_when_left
        self.is_wrong = False
        """Somebody changed or purged the resource meanwhile: what comes must not be stored."""
        self.head: StoredHead | None = None
        self.content: Entry | Growing | None = None
        self.response: Response | None = None
        self.received: list[FieldLine] = []
        """The fields of the answer as they came."""
        self.asked_at = 0.0
        self.is_stored = False
        self.status = 0
        self.notes: dict[str, str] = {}
        self.why_alone = ""
        self.error: BaseException | None = None
        self.task: Task[None] | None = None
        self._first: Future[None] | None = None
        self._waiting: list[Future[None]] = []
        self._wanted = 0
        self._flow: Flow | None = None
        self._timer: asyncio.TimerHandle | None = None

    # --- who waits -------------------------------------------------------------------------------------------------

    async def wait(self, *, first: bool = False) -> bool:
        """Wait until it is known what becomes of it; `release` it then. False when it is so late that one should ask
        for oneself. `first` is who takes `response`, if it comes to that."""
        self._wanted += 1
        if self.state is not State.ASKING:
            return True
        waiter: Future[None] = self.loop.create_future()
        if first:
            self._first = waiter
        else:
            self._waiting.append(waiter)
            if self._timer is None:
                left = self.began + LOCK_AGE_S - self.loop.time()
                self._timer = self.loop.call_later(max(0.0, left), self._too_late)
        try:
            await waiter
        except asyncio.CancelledError:
            if first:
                self._first = None
                self.drop_response()
            self.release()
            raise
        return self.state is not State.ASKING

    def release(self) -> None:
        """Who has waited has what it wanted of it."""
        self._wanted -= 1
        if self._wanted:
            return
        if not self.may_be_joined and isinstance(self.content, Growing):
            self.content.seal()
        if self.state is State.ASKING and self.ends_when_left and self.task is not None:
            self.task.cancel()
        elif self._flow is not None:
            self._flow.end_if_left()

    def _too_late(self) -> None:
        """Nobody joins it any more, and nobody but the first waits any longer."""
        self._timer = None
        self.may_be_joined = False
        waiting, self._waiting = self._waiting, []
        _wake(waiting)

    def drop_response(self) -> None:
        """Nobody takes the answer that is for one alone."""
        response, self.response = self.response, None
        if response is not None:
            response.body.close()

    # --- what becomes of it ----------------------------------------------------------------------------------------

    def is_alone(self, response: Response, why: str) -> None:
        """The answer must not be stored, and why."""
        self.response = response
        self.why_alone = why
        has_taker = self._first is not None
        self._settle(State.ALONE)
        if not has_taker:
            self.drop_response()

    def failed(self, error: BaseException) -> None:
        """There is no answer."""
        self.error = error
        self._settle(State.FAILED)

    def is_kept(self, head: StoredHead, content: Entry | Growing, flow: Flow | None = None) -> None:
        """The answer is stored, or is being stored."""
        self.head = head
        self.content = content
        self._flow = flow
        self._settle(State.KEPT)

    def _settle(self, state: State) -> None:
        self.state = state
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._first is not None:
            _wake([self._first])
        waiting, self._waiting = self._waiting, []
        _wake(waiting)

    def close_door(self) -> None:
        """Nobody may join any more, since what comes will not be stored, or is there already."""
        self.may_be_joined = False
        if not self._wanted and isinstance(self.content, Growing):
            self.content.seal()

    def break_off(self) -> None:
        """The worker ends."""
        if self._flow is not None:
            self._flow.close()
        elif self.task is not None:
            self.task.cancel()


def _wake(waiting: list[Future[None]]) -> None:
    for waiter in waiting:
        if not waiter.done():
            waiter.set_result(None)


class Flow:
    """The sink of the origin's content: into the store and to the readers. `done` is called once, at its end, with what
    went wrong; the content is stored by then if it could be."""

    __slots__ = ("_body", "_digest", "_done", "_fetch", "_growing", "_head", "_writer", "on_drain")

    def __init__(
        self, fetch: Fetch, head: StoredHead, body: Body, writer: Writer, space: SpillSpace,
        done: Callable[[int, Failure | None], None],
    ) -> None:  # fmt: skip
        self._fetch = fetch
        self._head = head
        self._body = body
        self._writer = writer
        self._digest = hashlib.sha256()
        self._done = done
        self.on_drain: Callable[[], None] | None = None
        self._growing = Growing(body.length, space)
        self._growing.on_drain = self._drained
        self._growing.on_left = self.end_if_left

    def begin(self) -> None:
        """Let readers in, and the content flow."""
        self._fetch.is_kept(self._head, self._growing, self)
        self._body.pipe(self)

    def _drained(self) -> None:
        if self.on_drain is not None:
            self.on_drain()

    def end_if_left(self) -> None:
        """Nobody reads: go on for the store, if it wants the content and may have it so."""
        if self._growing.has_readers or self._growing.ended:
            return
        if self._writer.gave_up or self._fetch.is_wrong or self._fetch.ends_when_left:
            self._body.close()

    def write(self, chunk: bytes) -> bool:
        """See `core.body.Sink`."""
        self._digest.update(chunk)
        self._writer.write(chunk)
        if self._fetch.may_be_joined and (self._writer.gave_up or self._fetch.is_wrong):
            self._fetch.close_door()
        return self._growing.write(chunk)

    def end(self, trailers: Fields | None) -> None:
        """See `core.body.Sink`. (What its framing says is whole: only now, and only then, it is stored: THREATS
        A17.)"""
        if self._fetch.is_wrong:
            self._writer.abort()
        else:
            self._writer.commit(self._head.replace(length=self._growing.received, sha256=self._digest.digest()))
        self._growing.end(trailers)
        self._done(self._growing.received, None)

    def abort(self, failure: Failure) -> None:
        """See `core.body.Sink`."""
        self._writer.abort()
        self._growing.abort(failure)
        self._done(self._growing.received, failure)

    def close(self) -> None:
        """The worker ends: break off."""
        self._body.close()
