"""Holds what passes through a relay: pieces of a stream in their order, and datagrams, each by itself."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from interpose.core.exchange import Exchange
from interpose.core.hold import Content, HeldMessage, Verdict, What
from interpose.filters.hold.holder import Holder
from interpose.filters.hold.options import HoldOptions
from interpose.filters.hold.rules import MOST_SEARCHED_BYTES, Rule


class HoldPieces:
    """What a relay asks before it passes a piece on."""

    def __init__(self, options: HoldOptions, holder: Holder) -> None:
        self._holder = holder
        rules = [Rule(rule) for rule in options.rules]
        self._rules = {
            side: [rule for rule in rules if (rule.options.side == "inbound") is side] for side in (True, False)
        }

    def means(self, *, inbound: bool) -> bool:
        """Whether there is any rule for this direction."""
        return bool(self._rules[inbound])

    async def __call__(self, exchange: Exchange, data: bytes, *, inbound: bool, datagram: bool = False) -> bytes | None:
        """What is to be passed on instead of `data`: the same, or as it was edited; None when it was dropped.

        `Failure` when it cannot be held; nothing of it may go on then.
        """
        rule = self._rule_for(exchange, data, inbound)
        if rule is None:
            return data
        what = What.DATAGRAM if datagram else What.CHUNK
        message = HeldMessage(what, target=exchange.asked.partition(" ")[2], content=Content.of(data))
        decision = await self._holder.piece(exchange, message, rule.name, rule.options)
        if decision.verdict is not Verdict.RELEASE:
            return None
        return await self._holder.released_piece(decision)

    def _rule_for(self, exchange: Exchange, data: bytes, inbound: bool) -> Rule | None:
        rules = self._rules[inbound]
        if rules:
            piece = Piece(exchange, data, inbound)
            for rule in rules:
                if rule.matcher.matches(piece):
                    return rule if rule.options.action == "hold" else None
        return None


class Piece:
    """A piece as rules ask it (`core.query.Subject`). Of the other direction nothing is known."""

    __slots__ = ("_data", "_exchange", "_side", "_text")

    def __init__(self, exchange: Exchange, data: bytes, inbound: bool) -> None:
        self._exchange = exchange
        self._data = data
        self._side = "request" if inbound else "response"
        self._text: str | None = None

    def text(self, word: str) -> str | None:
        """See `Subject.text`."""
        exchange = self._exchange
        match word:
            case "kind":
                return exchange.scheme
            case "from":
                return exchange.client.host
            case "listener":
                return exchange.listener
            case "user":
                return exchange.user or ""
            case "host":
                return exchange.attempts[-1].origin.host if exchange.attempts else None
            case "to":
                peer = exchange.attempts[-1].peer if exchange.attempts else None
                return None if peer is None else peer.host
            case "request.body" | "response.body":
                return self._content() if word.startswith(self._side) else None
            case "text":
                return self._content()
        return None

    def texts(self, word: str, name: str) -> Sequence[str] | None:
        """See `Subject.texts`. It has no fields, cookies or parameters."""
        return ()

    def number(self, word: str) -> float | None:
        """See `Subject.number`."""
        match word:
            case "port":
                return self._exchange.attempts[-1].origin.port if self._exchange.attempts else None
            case "time":
                return time.time()
            case "status":
                return math.nan
            case "size":
                return len(self._data)
            case "request.size" | "response.size":
                return len(self._data) if word.startswith(self._side) else None
        return None

    def _content(self) -> str:
        if self._text is None:
            self._text = self._data[:MOST_SEARCHED_BYTES].decode("utf-8", "replace")
        return self._text
