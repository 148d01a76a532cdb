"""Datagrams out, answers in: what `interpose connect --udp` does.

UDP has no connection. Whether anybody hears a datagram is known when an answer comes; when none does, the only thing
left is to wait, to say so, and perhaps to send it again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from msgspec import Struct

from interpose.core.failure import Failure, Side


class Datagrams(Protocol):
    """One side of a flow (`net.datagram_client.DatagramClient`)."""

    def send(self, data: bytes) -> None:
        """Send one datagram."""

    async def receive(self, timeout_s: float | None) -> bytes | None:
        """The next one, None when none comes in time."""


class Insistence(Struct, frozen=True, kw_only=True):
    """How long to wait for an answer, and how often to ask again."""

    timeout_s: float = 2.0
    """For each answer."""

    retry: int = 0
    """How often a datagram is sent again when none came."""


class Asking:
    """Sends datagrams; `heard` gets each answer while `listen` runs, `told` a sentence when there is none."""

    def __init__(
        self,
        datagrams: Datagrams,
        insistence: Insistence,
        heard: Callable[[bytes], Awaitable[None]],
        told: Callable[[str], None],
    ) -> None:
        self._datagrams = datagrams
        self._insistence = insistence
        self._heard = heard
        self._told = told
        self._refusal: Failure | None = None
        self._news = asyncio.Event()
        self.sent = 0
        self.answers = 0

    async def listen(self) -> None:
        """Pass on answers until cancelled."""
        while True:
            try:
                answer = await self._datagrams.receive(None)
            except Failure as failure:
                self._refused(failure)
                continue
            if answer is not None:
                self.answers += 1
                self._news.set()
                await self._heard(answer)

    async def ask(self, data: bytes) -> bool:
        """Send `data`, again where that is wanted and no answer comes; whether one came.

        `Failure` when the other machine says that none can come, and no try is left.
        """
        loop, insistence = asyncio.get_running_loop(), self._insistence
        before = self.answers
        for retry in range(1, insistence.retry + 2):
            self._refusal = None
            end = loop.time() + insistence.timeout_s
            self._send(data)
            await self._wait(end, lambda: self.answers > before or self._refusal is not None)
            if self.answers > before:
                return True
            if retry <= insistence.retry:
                await self._wait(end, lambda: self.answers > before)
                why = self._refusal.detail.rstrip(".") if self._refusal else f"No answer for {insistence.timeout_s:g} s"
                self._told(f"{why}; sending it again ({retry} of {insistence.retry}).")
        if self._refusal is not None:
            raise self._refusal
        return False

    async def silence(self) -> None:
        """Wait until no answer has come for the time that one may take."""
        loop = asyncio.get_running_loop()
        count = -1
        while count < self.answers:
            count = self.answers
            await self._wait(loop.time() + self._insistence.timeout_s, lambda: self.answers > count)  # noqa: B023

    async def converse(self, said: AsyncIterator[bytes]) -> None:
        """For a person: send each line as it is typed; what the one before has not been answered is given up."""
        asking: asyncio.Task[None] | None = None
        try:
            async for line in said:
                if asking is not None:
                    asking.cancel()
                asking = asyncio.ensure_future(self._ask_and_tell(line))
            if asking is not None:
                await asking
        finally:
            if asking is not None:
                asking.cancel()

    async def _ask_and_tell(self, line: bytes) -> None:
        try:
            if not await self.ask(line):
                self._told(f"No answer for {self._insistence.timeout_s:g} s.")
        except Failure as failure:
            self._told(failure.detail)

    def _send(self, data: bytes) -> None:
        """Send. What ICMP said of an earlier datagram is told by the kernel now, once, instead of sending this one."""
        try:
            self._datagrams.send(data)
        except Failure as failure:
            if failure.kind != "connection_refused":
                raise
            self._datagrams.send(data)
        self.sent += 1

    def _refused(self, failure: Failure) -> None:
        self._refusal = failure
        self._news.set()

    async def _wait(self, end: float, condition: Callable[[], bool]) -> None:
        """Until `condition` holds or that time has come."""
        loop = asyncio.get_running_loop()
        while not condition() and (rest := end - loop.time()) > 0:
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await self._news.wait()


def no_answer(server: str, sent: int, timeout_s: float) -> Failure:
    """The failure for silence."""
    times = "a datagram" if sent == 1 else f"{sent} datagrams"
    words = f"{server} did not answer {times} within {timeout_s:g} s."
    return Failure("connection_read_timeout", Side.UPSTREAM, words, sent=True)
