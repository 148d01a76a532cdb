"""Who may go where below HTTP, and how often: access rules, block lists and limits, one after the other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from interpose.config import access, blocklists, limiting
from interpose.config.limit_places import limits_for
from interpose.config.model import Config, Listener
from interpose.config.parts import Parts
from interpose.config.steps import error_answer
from interpose.core.exchange import Exchange
from interpose.core.failure import Failure
from interpose.core.target import Authority
from interpose.engine.conversations import Conversation, Serve

Admit = Callable[[Exchange, Authority, str], Awaitable[Authority]]
"""See `engine.socks.Admit`."""


def admission_of(config: Config, listener: Listener, parts: Parts) -> Admit | None:
    """What conversations of `listener` ask before they go anywhere; None where everything is allowed."""
    asked: list[Admit] = []
    if access.rules_for(config, listener):
        asked.append(access.access_of(config, listener, parts).admit)
    if blocklists.lists_for(config, listener):
        render = error_answer(config, listener)
        asked.append(blocklists.block_lists_of(config, listener, parts, render).admit)
    if limits_for(config, listener):
        asked.append(limiting.limiting_of(config, listener, parts, error_answer(config, listener)).admit)
    return asked[0] if len(asked) == 1 else _one_after_another(asked) if asked else None


def _one_after_another(asked: Sequence[Admit]) -> Admit:
    async def admit(exchange: Exchange, authority: Authority, kind: str) -> Authority:
        for one in asked:
            authority = await one(exchange, authority, kind)
        return authority

    return admit


class Admitted:
    """A `Serve` behind an `Admit`. What is asked about is the address of ours that the client connected to: it names no
    other."""

    def __init__(self, admit: Admit, serve: Serve) -> None:
        self._admit = admit
        self._serve = serve

    def __call__(self, conversation: Conversation) -> None:
        """Serve one conversation, if that is allowed."""
        conversation.stream.run(self._serve_if_admitted(conversation))

    async def _serve_if_admitted(self, conversation: Conversation) -> None:
        host, port = conversation.exchange.local
        try:
            await self._admit(conversation.exchange, Authority(host, port), "tcp")
        except Failure as failure:
            conversation.fail(failure)
        else:
            if (around := conversation.exchange.around) is not None:
                conversation.stream = around(conversation.stream)
            self._serve(conversation)
