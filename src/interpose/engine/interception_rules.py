"""Which tunnels are looked into: rules in the order of the configuration, the first that matches decides."""

from __future__ import annotations

import enum
import time
from collections.abc import Sequence
from typing import NamedTuple

from interpose.core.exchange import Exchange
from interpose.core.fields import Fields
from interpose.core.message import Request
from interpose.core.query import Matcher
from interpose.core.query.live import Live, groups_of
from interpose.core.target import Authority, Form, Target
from interpose.net.address import ip_address


class Action(enum.IntEnum):
    """What becomes of a tunnel, the mildest last."""

    REFUSE = 0
    INTERCEPT = 1
    PASS = 2


class Decision(NamedTuple):
    """An action, the rule that says so ("" when none does), and why."""

    action: Action
    rule: str
    why: str


class InterceptionRule(NamedTuple):
    """One rule; `text` is its query."""

    matcher: Matcher
    action: Action
    text: str


class InterceptionRules:
    """The rules. What none of them matches is intercepted."""

    def __init__(self, rules: Sequence[InterceptionRule]) -> None:
        self._rules = tuple(rules)

    def decide(self, exchange: Exchange, request: Request | None, asked: Authority, host: str) -> Decision:
        """What becomes of a tunnel to `asked`, in which the client wants to speak with `host`.

        Where these differ the rules are asked about both, and the stricter answer counts: by wanting another host than
        the one it asked for, a client must not get what is not for it. But an address that no rule means says nothing.
        """
        decision = self._decide(exchange, request, asked)
        if host == asked.host:
            return decision
        other = self._decide(exchange, request, asked._replace(host=host))
        if not decision.rule and ip_address(asked.host) is not None:
            return other
        return min(decision, other, key=lambda one: one.action)

    def _decide(self, exchange: Exchange, request: Request | None, authority: Authority) -> Decision:
        fields = Fields() if request is None else request.fields
        connect = Request("CONNECT", Target(Form.AUTHORITY, "", authority, ""), fields)
        subject = Live(exchange, connect, time=time.time(), groups=groups_of(exchange))
        for rule in self._rules:
            # What lets pass has to be sure; what does not need not know the groups of a user of whom nobody says them.
            holds = rule.matcher.decide(subject)
            if holds or (holds is None and rule.action is not Action.PASS):
                words = {Action.REFUSE: "refuses", Action.INTERCEPT: "intercepts", Action.PASS: "passes"}
                return Decision(rule.action, rule.text, f"the rule {rule.text!r} {words[rule.action]} it")
        return Decision(Action.INTERCEPT, "", "no rule says otherwise")
