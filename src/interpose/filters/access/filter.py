"""The filter that carries out what access rules decide."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.handler import Handler
from interpose.core.hold import Ruling, Verdict
from interpose.core.message import Request, Response
from interpose.core.target import Authority, Form, Target
from interpose.filters.access.asking import LONGEST_MESSAGE, Asker
from interpose.filters.access.rules import AccessRules, Rule

Hold = Callable[[Exchange, Request, str], Awaitable[Ruling]]
"""Has somebody look at the request; `Failure` when it was dropped."""


class Access:
    """The filter of one listener, and what its conversations below HTTP ask.

    `askers` are those of the rules that ask, by their numbers; `hold` is needed where a rule holds.
    """

    def __init__(self, rules: AccessRules, hold: Hold | None, askers: Mapping[int, Asker]) -> None:
        self.rules = rules
        self._hold = hold
        self._askers = dict(askers)

    def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        """See `core.handler.Filter`."""
        rule = self.rules.first(exchange, request)
        if rule is not None and rule.options.through:
            exchange.through = rule.options.through
        if rule is None or rule.options.action == "allow":
            return forward(exchange, request)
        if rule.options.action == "limit":
            exchange.named_limits = (*exchange.named_limits, rule.options.limit)
            return forward(exchange, request)
        if rule.options.action == "deny":
            raise denied(exchange, rule, rule.options.message)
        return self._waited(rule, exchange, request, forward)

    async def _waited(self, rule: Rule, exchange: Exchange, request: Request, forward: Handler) -> Response:
        answer = await self._decided(rule, exchange, request)
        return await forward(exchange, request) if answer is None else answer

    async def admit(self, exchange: Exchange, authority: Authority, kind: str) -> Authority:
        """Where a conversation below HTTP may lead that wants to lead to `authority`; else `Failure`, with its note.

        It is another one than was asked for only when somebody said so who held it.
        """
        request = Request("CONNECT", Target(Form.AUTHORITY, "", authority, ""), Fields())
        rule = self.rules.first(exchange, request, kind)
        if rule is not None and rule.options.through:
            exchange.through = rule.options.through
        if rule is not None and rule.options.action == "limit":
            exchange.named_limits = (*exchange.named_limits, rule.options.limit)
        if rule is None or rule.options.action in ("allow", "limit"):
            return authority
        if rule.options.action == "deny":
            raise denied(exchange, rule, rule.options.message)
        if await self._decided(rule, exchange, request) is not None:
            raise denied(exchange, rule, "Somebody answered in the place of the server.")
        return request.target.authority

    async def _decided(self, rule: Rule, exchange: Exchange, request: Request) -> Response | None:
        """None when it goes on, or what is answered instead; `Failure` when it does not."""
        if rule.options.action == "hold":
            assert self._hold is not None
            ruling = await self._hold(exchange, request, rule.name)
            return ruling.answer if ruling.verdict is Verdict.ANSWER else None
        decision = await self._askers[rule.number].decision(exchange, request, rule.name)
        if not decision.allow:
            raise denied(exchange, rule, decision.message[:LONGEST_MESSAGE] or rule.options.message)
        return None


def denied(exchange: Exchange, rule: Rule, message: str) -> Failure:
    """The refusal by `rule`, with its note; the client is told `message`, or which rule it was."""
    why = message or f"The rule “{rule.name}” does not allow this."
    exchange.refused_by("access", rule.name, why)
    return Failure("http_request_denied", Side.DOWNSTREAM, why, status=rule.options.status, public=bool(message))
