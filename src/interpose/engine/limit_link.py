"""(in a worker) The way to the supervisor, who counts for all workers.

What comes up in one turn of the loop is asked with one message. An answer takes a fraction of a millisecond; when there
is none within `PATIENCE_S`, or the supervisor is gone, whoever asks is told None and decides by itself, and for
`REST_S` nobody is asked. What the supervisor did not hear of then it is told afterwards: all that is under way, and the
bytes that have passed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Protocol

import msgspec

from interpose.core.failure import Failure
from interpose.core.limit_book import Terms, Verdict
from interpose.engine.calls import Calls
from interpose.engine.limit_words import TOPIC, Asked, decode_told, encode_asked

log = logging.getLogger("interpose")

PATIENCE_S = 0.25
REST_S = 1.0
COMPLAIN_S = 60.0
TELL_S = 0.25
"""How often bytes are told of, and with that how late it is known that those of the day are used up."""


class TellsBytes(Protocol):
    """What knows of bytes that have passed, for one limit."""

    def untold(self) -> list[tuple[str, int, int]]:
        """Key, bytes since this was asked last, exchanges under way."""

    def told(self, key: str, is_used_up: bool, share: float) -> None:
        """What the supervisor says to that. The key may be another's."""


class LimitLink:
    """See the module. `owner` names this process to the supervisor."""

    def __init__(self, calls: Calls, owner: str) -> None:
        self.running: Counter[tuple[str, str]] = Counter()
        """Exchanges under way of limits that count them, by limit and key."""
        self._calls = calls
        self._owner = owner
        self._terms: dict[str, tuple[Terms, int]] = {}
        self._unannounced: set[str] = set()
        self._tellers: dict[str, list[TellsBytes]] = {}
        """Those with something under way: of one limit several, when exchanges outlive the configuration they had."""
        self._unheard: Counter[tuple[str, str]] = Counter()
        """Bytes by limit and key that the supervisor did not hear of."""
        self._asked = Asked(owner)
        self._waiting: list[asyncio.Future[Verdict | None]] = []
        self._is_in_doubt = False
        """Whether the supervisor may think something else to be under way."""
        self._under_way = 0
        self._has_scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._again: asyncio.TimerHandle | None = None
        self._away_until = 0.0
        self._next_complaint = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    def announce(self, name: str, terms: Terms, max_keys: int) -> None:
        """Say what a limit allows, before it is asked about."""
        if self._terms.get(name) != (terms, max_keys):
            self._terms[name] = (terms, max_keys)
            self._unannounced.add(name)

    def tells(self, name: str, teller: TellsBytes) -> Callable[[], None]:
        """What to call when `teller` begins to have something to tell of a limit. It is asked until it has nothing: one
        of a configuration that never serves is not asked at all, and takes nobody's place."""

        def begins() -> None:
            tellers = self._tellers.setdefault(name, [])
            if teller not in tellers:
                tellers.append(teller)
            self._tell_soon()

        return begins

    def take(self, name: str, key: str) -> asyncio.Future[Verdict | None]:
        """What the supervisor says to one more; None when it cannot be asked."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Verdict | None] = loop.create_future()
        if loop.time() < self._away_until:
            future.set_result(None)
            return future
        self._asked.takes.append((name, key))
        self._waiting.append(future)
        self._ask_soon(loop)
        return future

    def began(self, name: str, key: str) -> None:
        """An exchange was let in without the supervisor, which has to hear of it. (What it lets in is counted here.)"""
        self.running[name, key] += 1
        self._is_in_doubt = True

    def release(self, name: str, key: str) -> None:
        """It has ended."""
        self.running[name, key] -= 1
        if not self.running[name, key]:
            del self.running[name, key]
        loop = asyncio.get_running_loop()
        if self._is_in_doubt:
            return  # it will be told all that is under way
        self._asked.releases.append((name, key))
        self._ask_soon(loop)

    async def close(self) -> None:
        """Tell of the last bytes, and ask nothing any more."""
        for timer in (self._timer, self._again):
            if timer is not None:
                timer.cancel()
        self._gather()
        if self._asked.flows and asyncio.get_running_loop().time() >= self._away_until:
            self._announce_to(self._asked)
            self._under_way += 1
            await self._answered(self._asked, self._waiting)
        for task in self._tasks:
            task.cancel()

    def _ask_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._has_scheduled:
            self._has_scheduled = True
            loop.call_soon(self._ask)

    def _tell_soon(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(0.0, self._tell)

    def _tell(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        if loop.time() < self._away_until:
            self._timer = loop.call_later(TELL_S, self._tell)
            return
        self._gather()
        if self._asked.flows:
            self._timer = loop.call_later(TELL_S, self._tell)
            self._ask_soon(loop)

    def _announce_to(self, asked: Asked) -> None:
        asked.terms = [(name, *self._terms[name]) for name in self._unannounced]
        self._unannounced.clear()

    def _gather(self) -> None:
        counts: Counter[tuple[str, str]] = Counter()
        sizes, self._unheard = self._unheard, Counter()
        for name, tellers in list(self._tellers.items()):
            for teller in tuple(tellers):
                untold = teller.untold()
                if not untold:
                    tellers.remove(teller)
                for key, size, count in untold:
                    sizes[name, key] += size
                    counts[name, key] += count
            if not tellers:
                del self._tellers[name]
        self._asked.flows += [(name, key, size, counts[name, key]) for (name, key), size in sizes.items()]

    def _ask(self) -> None:
        self._has_scheduled = False
        if self._is_in_doubt and self._under_way:
            return  # answers are to come that change what is under way
        asked, self._asked = self._asked, Asked(self._owner)
        waiting, self._waiting = self._waiting, []
        if self._is_in_doubt:
            self._is_in_doubt = False
            asked.running = [(name, key, count) for (name, key), count in self.running.items()]
            asked.releases = []
        self._announce_to(asked)
        self._under_way += 1
        task = asyncio.get_running_loop().create_task(self._answered(asked, waiting))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answered(self, asked: Asked, waiting: list[asyncio.Future[Verdict | None]]) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(PATIENCE_S):
                told = decode_told(await self._calls.ask(TOPIC, encode_asked(asked)))
        except (Failure, TimeoutError, msgspec.DecodeError) as error:
            self._lost(asked, error, loop.time())
            told = None
        finally:
            self._under_way -= 1
        if told is None:
            waiting += self._waiting
            self._waiting, self._asked.takes = [], []
            for future in waiting:
                if not future.done():
                    future.set_result(None)
            return
        for (name, key), future, verdict in zip(asked.takes, waiting, told.verdicts, strict=True):
            is_counted = not verdict.refusal and self._terms[name][0].max_exchanges > 0
            if is_counted:
                self.running[name, key] += 1
            if not future.done():
                future.set_result(verdict)
            elif is_counted:  # whoever asked has left meanwhile
                self.release(name, key)
        if self._is_in_doubt:  # what waited for the last answer
            self._ask_soon(loop)
        for (name, key, _, _), (is_used_up, share) in zip(asked.flows, told.flows, strict=True):
            for teller in self._tellers.get(name, ()):
                teller.told(key, is_used_up, share)

    def _lost(self, asked: Asked, error: Exception, now: float) -> None:
        """Nobody knows whether the supervisor has heard of it."""
        self._is_in_doubt = True
        self._away_until = now + REST_S
        self._unannounced.update(self._terms)
        for name, key, size, _ in asked.flows:
            self._unheard[name, key] += size
        if self._again is not None:
            self._again.cancel()
        loop = asyncio.get_running_loop()
        self._again = loop.call_later(REST_S, self._ask_soon, loop)  # others wait for the places that became free
        if now >= self._next_complaint:
            self._next_complaint = now + COMPLAIN_S
            why = str(error) or f"no answer within {PATIENCE_S:g} s"
            log.warning("the supervisor cannot be asked about limits, and this worker keeps its share: %s", why)
