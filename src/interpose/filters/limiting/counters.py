"""Who counts for a limit: this worker alone, the supervisor for all workers, or a Redis for all machines."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Protocol

from interpose.core.limit_book import LimitBook, Terms, Verdict
from interpose.filters.limiting.flows import Flows
from interpose.filters.limiting.options import LimitRule

AWAY = Verdict("away", 1.0)


class Alone:
    """This worker, by itself."""

    def __init__(self, book: LimitBook, time: Callable[[], float]) -> None:
        self.book = book
        self._time = time

    def take(self, key: str) -> Verdict:
        """See `filter.Counter`."""
        return self.book.take(key, self._time())

    def release(self, key: str) -> None:
        """See `filter.Counter`."""
        self.book.release(key)


class Link(Protocol):
    """The way to the supervisor (`engine.limit_link`). `running` are the exchanges under way, by limit and key."""

    running: Counter[tuple[str, str]]

    def announce(self, name: str, terms: Terms, max_keys: int) -> None:
        """Say what a limit allows."""

    def take(self, name: str, key: str) -> asyncio.Future[Verdict | None]:
        """What the supervisor says to one more; None when it cannot be asked."""

    def began(self, name: str, key: str) -> None:
        """An exchange was let in without the supervisor."""

    def release(self, name: str, key: str) -> None:
        """It has ended."""


class Together:
    """The supervisor. While it cannot be asked, what the rule says, of the share of one of `workers`."""

    def __init__(self, rule: LimitRule, terms: Terms, link: Link, workers: int, time: Callable[[], float]) -> None:
        self._rule = rule
        self._name = rule.name
        self._terms = terms
        self._link = link
        self._most = terms.share(workers).max_exchanges
        share = terms.share(workers)._replace(max_exchanges=0, bytes_per_day=0)
        self._share = Alone(LimitBook(share, rule.max_keys), time)

    async def take(self, key: str) -> Verdict:
        """See `filter.Counter`."""
        self._link.announce(self._name, self._terms, self._rule.max_keys)
        asked = self._link.take(self._name, key)
        try:
            verdict = await asked
        except asyncio.CancelledError:
            if not asked.cancel() and not asked.cancelled() and (verdict := asked.result()) is not None:
                if not verdict.refusal:
                    self.release(key)
            raise
        return self._alone(key) if verdict is None else verdict

    def _alone(self, key: str) -> Verdict:
        if self._rule.on_failure == "share" and self._most and self._link.running[self._name, key] >= self._most:
            return Verdict("exchanges", 1.0)
        verdict = judged_alone(self._rule, self._share, key)
        if self._most and not verdict.refusal:
            self._link.began(self._name, key)
        return verdict

    def release(self, key: str) -> None:
        """See `filter.Counter`."""
        if self._most:
            self._link.release(self._name, key)


class Rates(Protocol):
    """What counts requests for all machines (`storage.redis_limits`)."""

    def take(self, name: str, key: str, terms: Terms) -> Awaitable[Verdict | None]:
        """What it says to one more; None when it cannot be asked."""


class Everywhere:
    """Requests a second are counted for all machines; exchanges and bytes of a day by `here`, if it counts any.

    While nobody can be asked, what the rule says, of the share of one of `shares` workers of all machines.
    """

    def __init__(
        self, rule: LimitRule, rates: Rates, here: Alone | Together | None, shares: int, time: Callable[[], float]
    ) -> None:
        self._rule = rule
        self._rates = rates
        self._here = here
        self._share = Alone(LimitBook(Terms(*rule.terms[:2]).share(shares), rule.max_keys), time)

    async def take(self, key: str) -> Verdict:
        """See `filter.Counter`."""
        if self._here is not None:
            said: Verdict | Awaitable[Verdict] = self._here.take(key)
            here = said if isinstance(said, Verdict) else await said
            if here.refusal:
                return here
        verdict: Verdict | None = None
        try:
            verdict = await self._rates.take(self._rule.name, key, self._rule.terms)
            if verdict is None:
                verdict = judged_alone(self._rule, self._share, key)
        finally:
            if self._here is not None and (verdict is None or verdict.refusal):
                self._here.release(key)
        return verdict

    def release(self, key: str) -> None:
        """See `filter.Counter`."""
        if self._here is not None:
            self._here.release(key)


def judged_alone(rule: LimitRule, share: Alone, key: str) -> Verdict:
    """What is said while nobody can be asked."""
    if rule.on_failure == "share":
        return share.take(key)
    return Verdict() if rule.on_failure == "allow" else AWAY


class Telling:
    """What a link asks about the bytes of one limit."""

    def __init__(self, flows: Flows) -> None:
        self._flows = flows

    def untold(self) -> list[tuple[str, int, int]]:
        """See `engine.limit_link.TellsBytes`."""
        flows = self._flows
        found = [(key, size, 0) for key, size in flows.gone.items() if key not in flows.by_key]
        for key, flow in flows.by_key.items():
            found.append((key, flow.spent + flows.gone.get(key, 0), len(flow.exchanges)))
            flow.spent = 0
        flows.gone.clear()
        return found

    def told(self, key: str, is_used_up: bool, share: float) -> None:
        """See `engine.limit_link.TellsBytes`."""
        flow = self._flows.by_key.get(key)
        if flow is None:
            return
        if self._flows.rate:
            flow.set_rate(self._flows.rate * share)
        if is_used_up:
            flow.break_off()
