"""The filter: the first rule that means a request decides what its server is told of who asks.

A tunnel's CONNECT goes to no server, and what is inside comes here when it is looked into.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from interpose.core.exchange import Exchange
from interpose.core.handler import Answered, Handler
from interpose.core.message import Request, Response
from interpose.core.networks import Networks
from interpose.core.query import Matcher, compile_query, parse
from interpose.core.query.live import Live
from interpose.filters.privacy.fields import Circumstances, circumstances_of, inbound, outbound, trail_of
from interpose.filters.privacy.options import PrivacyRule
from interpose.filters.privacy.plan import PROFILES, Plan, plan_of


class Rule(NamedTuple):
    """A rule that can be asked."""

    name: str
    matcher: Matcher | None
    plan: Plan


def rule_of(options: PrivacyRule) -> Rule:
    """A rule as it is asked."""
    matcher = compile_query(parse(options.when)) if options.when else None
    return Rule(options.name or options.profile, matcher, plan_of(options))


def first_of(rules: Sequence[Rule], live: Live) -> Rule | None:
    """The rule that decides; None where nothing is to change."""
    for rule in rules:
        if rule.matcher is None or rule.matcher.matches(live):
            return None if rule.plan == PROFILES["keep"] else rule
    return None


class Privacy:
    """The filter. `trusted` are networks of proxies whose word about their clients is passed on where somebody is
    identified; gateways tell servers who asks by themselves (`identifies`). `wall` is the clock that `time:` in a
    condition means."""

    def __init__(
        self,
        rules: Sequence[PrivacyRule],
        trusted: Sequence[str] = (),
        wall: Callable[[], float] = time.time,
        *,
        identifies: bool = True,
    ) -> None:
        self._rules = [rule_of(rule) for rule in rules]
        if not identifies:
            self._rules = [_keeping_the_trail(rule) for rule in self._rules]
        self._trusted = Networks(trusted)
        self._wall = wall

    def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        """See `core.handler.Filter`."""
        if request.method == "CONNECT":
            return forward(exchange, request)
        rule = first_of(self._rules, Live(exchange, request, time=self._wall(), route=exchange.route))
        if rule is None:
            return forward(exchange, request)
        around = circumstances_of(request)
        if rule.plan.trail == "send":
            is_trusted = exchange.client.host in self._trusted
            around = around._replace(who=trail_of(exchange, request.target), is_trusted=is_trusted)
        exchange.notes["privacy"] = rule.name
        request.fields.lines = inbound(request.fields.lines, rule.plan, around)
        answering = forward(exchange, request)
        if type(answering) is Answered:
            fields = answering.response.fields
            fields.lines = outbound(fields.lines, rule.plan, around)
            return answering
        return _awaited(answering, rule.plan, around)


def _keeping_the_trail(rule: Rule) -> Rule:
    return rule._replace(plan=rule.plan._replace(trail="keep")) if rule.plan.trail == "send" else rule


async def _awaited(answering: Awaitable[Response], plan: Plan, around: Circumstances) -> Response:
    response = await answering
    response.fields.lines = outbound(response.fields.lines, plan, around)
    return response
