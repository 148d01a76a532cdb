"""Holds messages of a conversation: those of a WebSocket, pieces of a stream, and datagrams, each by itself."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from interpose.core.exchange import Exchange
from interpose.core.hold import Content, HeldMessage, Verdict, What
from interpose.core.message import Request
from interpose.core.message_filter import BINARY, CLOSE, DATAGRAM, PIECE, TEXT, Message, Pass
from interpose.core.query.live import Live
from interpose.core.query.matching import Subject
from interpose.filters.hold.holder import Holder
from interpose.filters.hold.options import HoldOptions
from interpose.filters.hold.rules import MOST_SEARCHED_BYTES, Rule

_WHAT = {PIECE: What.CHUNK, DATAGRAM: What.DATAGRAM, TEXT: What.WEBSOCKET, BINARY: What.WEBSOCKET}


class HoldMessages:
    """A `core.message_filter.MessageFilter`: a message that a rule means goes on as it is when it was released, or as
    it was edited; not at all when it was dropped. `Failure` when it cannot be held.

    `request` is the one that a WebSocket began with.
    """

    def __init__(self, options: HoldOptions, holder: Holder, request: Request | None = None) -> None:
        self._holder = holder
        self._request = request
        rules = [Rule(rule) for rule in options.rules]
        self._rules = {
            side: [rule for rule in rules if (rule.options.side == "inbound") is side] for side in (True, False)
        }

    def means(self, *, inbound: bool) -> bool:
        """Whether there is any rule for this direction."""
        return bool(self._rules[inbound])

    async def __call__(self, exchange: Exchange, message: Message, forward: Pass) -> None:
        """See the class."""
        rule = self._rule_for(exchange, message)
        if rule is None:
            await forward(message)
            return
        target = exchange.asked.partition(" ")[2] if self._request is None else str(self._request.target)
        held = HeldMessage(_WHAT[message.kind], target=target, content=Content.of(message.data))
        decision = await self._holder.piece(exchange, held, rule.name, rule.options)
        if decision.verdict is Verdict.RELEASE:
            await forward(message.with_data(await self._holder.released_piece(decision)))

    def _rule_for(self, exchange: Exchange, message: Message) -> Rule | None:
        rules = self._rules[message.inbound]
        if rules and message.kind != CLOSE:
            subject = self._subject(exchange, message)
            for rule in rules:
                if rule.matcher.matches(subject):
                    return rule if rule.options.action == "hold" else None
        return None

    def _subject(self, exchange: Exchange, message: Message) -> Subject:
        if self._request is None:
            return Piece(exchange, message.data, message.inbound)
        text = message.data[:MOST_SEARCHED_BYTES].decode("utf-8", "replace")
        return Live(
            exchange,
            self._request,
            time=time.time(),
            route=exchange.route,
            request_text=text if message.inbound else None,
            response_text=None if message.inbound else text,
        )


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
