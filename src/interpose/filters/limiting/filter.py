"""The filter: asks every limit that is about a request, and answers 429 in the place of who would have served it.

Whoever counts may answer at once (a table in this worker) or later (the supervisor, a Redis). Where all answer at once
and no bytes are limited, no coroutine is made.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.handler import Answered, Handler
from interpose.core.limit_book import DAY_S, Verdict
from interpose.core.message import Request, Response
from interpose.core.path_spellings import spelled, with_path
from interpose.core.query import Matcher, compile_query, parse
from interpose.core.query.live import Live, groups_of
from interpose.core.target import Authority, Form, Target
from interpose.filters.limiting.flows import Flows
from interpose.filters.limiting.keys import key_of
from interpose.filters.limiting.options import LimitRule

Render = Callable[[Exchange, Request, Failure], Response]

NAMES = {
    "requests": "requests_per_s",
    "exchanges": "max_exchanges",
    "bytes": "bytes_per_day",
    "away": "on_failure",
}
SAYS = {
    "requests": "Too many requests came in a short time.",
    "exchanges": "As many requests as are allowed at once are being served already.",
    "bytes": "The bytes of this day are used up.",
    "away": "Nobody can be asked at the moment whether one more is allowed.",
}


class Counter(Protocol):
    """Whoever counts for one limit."""

    def take(self, key: str) -> Verdict | Awaitable[Verdict]:
        """Whether one more of `key` may come."""

    def release(self, key: str) -> None:
        """One that was let in has ended."""


class Limit:
    """One limit on one worker, the same for all listeners. `hit` counts refusals, `wall` is the time of day."""

    def __init__(
        self,
        rule: LimitRule,
        counter: Counter,
        flows: Flows | None,
        hit: Callable[[], None],
        wall: Callable[[], float],
    ) -> None:
        self.rule = rule
        self.counter = counter
        self.flows = flows
        self.hit = hit
        self.key_of = key_of(rule.by)
        self.counts_exchanges = rule.max_exchanges > 0
        self.is_counted = bool(rule.requests_per_s or rule.max_exchanges or rule.bytes_per_day)
        self._wall = wall
        terms = rule.terms
        self._policy = ""
        if rule.requests_per_s:
            window_s = max(1, math.ceil(terms.burst / rule.requests_per_s))
            self._policy = f'"{rule.name}";q={terms.burst};w={window_s}'
        elif rule.bytes_per_day:
            self._policy = f'"{rule.name}";q={rule.bytes_per_day};qu="content-bytes";w={DAY_S}'
        self._matcher: Matcher | None = None if rule.when == "*" else compile_query(parse(rule.when))

    def is_about(self, exchange: Exchange, request: Request, kind: str = "") -> bool:
        """Whether the limit may hold for this request, however servers read its path (THREATS A13)."""
        if self.rule.only_by_rule and self.rule.name not in exchange.named_limits:
            return False
        return self._matcher is None or self._may_mean(self._matcher, exchange, request, kind)

    @staticmethod
    def _may_mean(matcher: Matcher, exchange: Exchange, request: Request, kind: str) -> bool:
        """Of the words that limits know only groups can be unknown, those of a user of whom nobody says them."""
        groups = groups_of(exchange)
        if matcher.decide(Live(exchange, request, groups=groups, kind=kind)) is not False:
            return True
        others = [with_path(request, path) for path in spelled(request.target.path)]
        return any(matcher.decide(Live(exchange, one, groups=groups, kind=kind)) is not False for one in others)

    def retry_s(self, verdict: Verdict) -> int:
        """When to come again, in whole seconds, one at least."""
        if verdict.refusal == "bytes":
            return math.floor(DAY_S - self._wall() % DAY_S) + 1
        return max(1, math.ceil(verdict.retry_s))

    def tell(self, response: Response, verdict: Verdict) -> None:
        """Say what holds, and how much is left (draft-ietf-httpapi-ratelimit-headers-10)."""
        if self._policy:
            response.fields.add("RateLimit-Policy", self._policy)
            reset_s = self.retry_s(verdict) if verdict.refusal else math.ceil(verdict.reset_s)
            if self.rule.requests_per_s or verdict.refusal:
                response.fields.add("RateLimit", f'"{self.rule.name}";r={verdict.left};t={reset_s}')


class Limiting:
    """The filter of one listener. `render` makes the content of refusals."""

    def __init__(self, limits: Sequence[Limit], render: Render) -> None:
        self._limits = tuple(limits)
        self._render = render
        self._is_plain = not any(limit.flows is not None or limit.rule.tell for limit in limits)

    def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        """See `core.handler.Filter`."""
        about = [limit for limit in self._limits if limit.is_about(exchange, request)]
        if not about:
            return forward(exchange, request)
        if self._is_plain:
            for number, limit in enumerate(about):
                key = limit.key_of(exchange, request)
                verdict = limit.counter.take(key)
                if not isinstance(verdict, Verdict):
                    return self._asked(about[number:], exchange, request, forward, verdict)
                if verdict.refusal:
                    return Answered(self._refused(limit, key, verdict, exchange, request))
                if limit.counts_exchanges:
                    exchange.at_end(Release(limit.counter, key))
            return forward(exchange, request)
        return self._asked(about, exchange, request, forward, None)

    async def _asked(
        self,
        about: Sequence[Limit],
        exchange: Exchange,
        request: Request,
        forward: Handler,
        first: Awaitable[Verdict] | None,
    ) -> Response:
        """The same with limits that take their time; `first` is what the first of them was asked already."""
        told: list[tuple[Limit, str, Verdict]] = []
        for limit in about:
            key = limit.key_of(exchange, request)
            verdict = Verdict()
            if first is not None:
                verdict, first = await first, None
            elif limit.is_counted:
                said = limit.counter.take(key)
                verdict = said if isinstance(said, Verdict) else await said
            if verdict.refusal:
                return self._refused(limit, key, verdict, exchange, request)
            if limit.counts_exchanges:
                exchange.at_end(Release(limit.counter, key))
            told.append((limit, key, verdict))
        for limit, key, _ in told:
            if limit.flows is not None and exchange.parent is None:  # inside of a tunnel, that has been counted
                limit.flows.request(key, exchange, request)
        response = await forward(exchange, request)
        for limit, key, verdict in told:
            if limit.flows is not None and exchange.parent is None:
                limit.flows.response(key, exchange, request, response)
            if limit.rule.tell:
                limit.tell(response, verdict)
        return response

    async def admit(self, exchange: Exchange, authority: Authority, kind: str) -> Authority:
        """(below HTTP) Let a conversation go on to `authority`, or raise the refusal, with its note."""
        if kind != "tcp":
            return authority
        request = Request("CONNECT", Target(Form.AUTHORITY, "", authority, ""), Fields())
        for limit in [limit for limit in self._limits if limit.is_about(exchange, request, kind)]:
            key = limit.key_of(exchange, request)
            if limit.is_counted:
                said = limit.counter.take(key)
                verdict = said if isinstance(said, Verdict) else await said
                if verdict.refusal:
                    raise self._failure(limit, key, verdict, exchange)
            if limit.counts_exchanges:
                exchange.at_end(Release(limit.counter, key))
            if limit.flows is not None:
                limit.flows.request(key, exchange, request)
                limit.flows.conversation(key, exchange)
        return authority

    def _failure(self, limit: Limit, key: str, verdict: Verdict, exchange: Exchange) -> Failure:
        """One too many, with the note that a refusal owes."""
        limit.hit()
        option = NAMES[verdict.refusal]
        value = getattr(limit.rule, option)
        exchange.refused_by("limit", f"{limit.rule.name}: {option} = {value}", f"{SAYS[verdict.refusal]} ({key})")
        detail = f"{SAYS[verdict.refusal]} The limit is “{limit.rule.name}”."
        return Failure("http_request_denied", Side.DOWNSTREAM, detail, status=429)

    def _refused(self, limit: Limit, key: str, verdict: Verdict, exchange: Exchange, request: Request) -> Response:
        """The answer to one too many."""
        response = self._render(exchange, request, self._failure(limit, key, verdict, exchange))
        response.fields.set("Retry-After", str(limit.retry_s(verdict)))
        limit.tell(response, verdict)
        return response


class Release:
    """At the end of an exchange: one fewer under way."""

    __slots__ = ("_counter", "_key")

    def __init__(self, counter: Counter, key: str) -> None:
        self._counter = counter
        self._key = key

    def __call__(self, outcome: object) -> None:
        """It has ended."""
        self._counter.release(self._key)
