"""Decisions that somebody else takes: asked once, remembered for a while, and never waited for too long.

Requests about which the same would be asked at the same time wait for one answer. It is asked by a task of its own, so
that a client that leaves spoils nobody else's; that task lives for at most `timeout_s`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from interpose.core.decision import Decision, Question
from interpose.core.exchange import Exchange
from interpose.core.message import Request
from interpose.core.target import DEFAULT_PORTS
from interpose.filters.access.options import AskOptions

log = logging.getLogger("interpose")

LONGEST_MESSAGE = 500
LONGEST_TTL_S = 86_400.0
_MOST_LOGGED_S = 60.0

Ask = Callable[[Exchange, Request, Question], Awaitable[Decision]]
"""Gets the decision. Whatever it raises means that there is none."""


class Asker:
    """Who is asked by one rule."""

    def __init__(self, options: AskOptions, ask: Ask, clock: Callable[[], float] = time.monotonic) -> None:
        self._options = options
        self._ask = ask
        self._clock = clock
        self._fields = tuple(name.lower() for name in options.fields)
        self._answers: OrderedDict[tuple[object, ...], tuple[Decision, float]] = OrderedDict()
        self._asking: dict[tuple[object, ...], asyncio.Task[Decision]] = {}
        self._silent_until = 0.0

    async def decision(self, exchange: Exchange, request: Request, rule: str) -> Decision:
        """What is decided about `request`: remembered, or asked for now. Never raises for want of an answer."""
        key = self._key(exchange, request)
        remembered = self._answers.get(key)
        if remembered is not None:
            if remembered[1] > self._clock():
                return remembered[0]
            del self._answers[key]
        asking = self._asking.get(key) if self._options.ttl_s else None
        if asking is None:
            question = question_of(exchange, request, rule, self._fields)
            asking = asyncio.get_running_loop().create_task(self._asked(exchange, request, question, key))
            if self._options.ttl_s:
                self._asking[key] = asking
                asking.add_done_callback(lambda _: self._asking.pop(key, None))
        try:
            await asyncio.wait([asking])
        finally:
            if not self._options.ttl_s:
                asking.cancel()  # nobody else waits for it
        return self._without_answer("it was given up") if asking.cancelled() else asking.result()

    async def _asked(
        self, exchange: Exchange, request: Request, question: Question, key: tuple[object, ...]
    ) -> Decision:
        try:
            async with asyncio.timeout(self._options.timeout_s):
                decision = await self._ask(exchange, request, question)
        except TimeoutError:
            return self._without_answer(f"there was no answer within {self._options.timeout_s:g} s")
        except Exception as error:
            return self._without_answer(f"{type(error).__name__}: {error}"[:300])
        ttl_s = self._options.ttl_s if decision.ttl_s is None else min(decision.ttl_s, LONGEST_TTL_S)
        if ttl_s > 0:
            if len(self._answers) >= self._options.max_answers:
                self._answers.popitem(last=False)
            self._answers[key] = (decision, self._clock() + ttl_s)
        return decision

    def _without_answer(self, why: str) -> Decision:
        """What the rule says when nobody answers; the log says it once a minute."""
        allow = self._options.on_failure == "allow"
        now = self._clock()
        if now >= self._silent_until:
            self._silent_until = now + _MOST_LOGGED_S
            words = "let through" if allow else "refused"
            log.warning("nobody decides about requests, which are %s meanwhile: %s", words, why)
        return Decision(allow, "" if allow else "Nobody can say at the moment whether this is allowed.")

    def _key(self, exchange: Exchange, request: Request) -> tuple[object, ...]:
        chosen = tuple([_WORDS[word](exchange, request) for word in self._options.remember_by])
        return (*chosen, *[tuple(request.fields.get_all(name)) for name in self._fields])

    @property
    def is_asking(self) -> bool:
        """Whether an answer is still waited for."""
        return bool(self._asking)

    async def close(self) -> None:
        """Ask nothing more."""
        for task in list(self._asking.values()):
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)


_WORDS: dict[str, Callable[[Exchange, Request], object]] = {
    "client": lambda exchange, request: exchange.client.host,
    "user": lambda exchange, request: exchange.user,
    "method": lambda exchange, request: request.method,
    "host": lambda exchange, request: request.target.authority.host,
    "port": lambda exchange, request: request.target.authority.port or DEFAULT_PORTS.get(request.target.scheme),
    "path": lambda exchange, request: request.target.path,
    "url": lambda exchange, request: str(request.target),
    "listener": lambda exchange, request: exchange.listener,
}


def question_of(exchange: Exchange, request: Request, rule: str, fields: tuple[str, ...]) -> Question:
    """What is asked about `request`."""
    return Question(
        rule=rule,
        exchange=exchange.id,
        listener=exchange.listener,
        client=exchange.client.host,
        user=exchange.user,
        groups=list(exchange.groups or ()),
        method=request.method,
        url=str(request.target),
        fields={name: ", ".join(request.fields.get_all(name)) for name in fields},
    )
