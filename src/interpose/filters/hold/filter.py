"""The filter that holds requests and responses."""

from __future__ import annotations

import msgspec

from interpose.core.body import Body
from interpose.core.exchange import Exchange
from interpose.core.fields import Fields
from interpose.core.handler import Handler
from interpose.core.hold import Held, Verdict
from interpose.core.message import Request, Response
from interpose.filters.hold.holder import Holder, dropped
from interpose.filters.hold.messages import HoldMessages
from interpose.filters.hold.options import HoldOptions
from interpose.filters.hold.rules import Rule, in_memory, searchable
from interpose.protocol.held import held_request

PLACE = "/.well-known/interpose/held/"
"""Below this path a client asks what has become of a message that was accepted; every host behind us has it."""


class Hold:
    """The filter of one route: `listener` and `route` are what `Held` calls them."""

    def __init__(self, options: HoldOptions, holder: Holder, listener: str, route: str) -> None:
        self.listener = listener
        self.route = route
        self._holder = holder
        rules = [Rule(rule) for rule in options.rules if not rule.messages]
        self._messages = HoldOptions(rules=tuple(rule for rule in options.rules if rule.messages))
        self._inbound = [rule for rule in rules if rule.options.side == "inbound"]
        self._outbound = [rule for rule in rules if rule.options.side == "outbound"]
        self._accepts = any(rule.options.mode == "accept" for rule in self._inbound)
        self._forward: Handler | None = None

    def stands_before(self, forward: Handler) -> None:
        """(core.handler.chain) What messages that are delivered later go to."""
        self._forward = forward

    async def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Response:
        """See `core.handler.Filter`."""
        if self._accepts and request.target.path.startswith(PLACE):
            return await self._standing(request)
        if "replay_of" in exchange.notes:  # whoever sends it again has looked at it
            return await forward(exchange, request)
        if self._messages.rules and request.upgrade == "websocket":
            began = Request(request.method, request.target, request.fields.copy(), version=request.version)
            began.upgrade = request.upgrade
            exchange.filter_messages(HoldMessages(self._messages, self._holder, began))
        rule = await self._rule_for_request(exchange, request) if self._inbound else None
        if rule is not None:
            if rule.options.mode == "accept" and request.method != "CONNECT" and request.upgrade is None:
                return accepted(await self._holder.accept(exchange, request, rule.name, rule.options))
            decision = await self._holder.request(exchange, request, rule.name, rule.options)
            if decision.verdict is Verdict.DROP:
                raise dropped(exchange, decision, rule.name)
            if decision.verdict is Verdict.ANSWER:
                return await self._holder.answer(decision)
            held = exchange.notes["hold"]
            exchange.at_end(lambda outcome: self._holder.settle(held, outcome))
        if not self._outbound:
            return await forward(exchange, request)
        asked = held_request(request)  # the request itself belongs to whoever it is forwarded to
        response = await forward(exchange, request)
        rule = await self._rule_for_response(exchange, request, response)
        if rule is None:
            return response
        return await self._holder.response(exchange, asked, response, rule.name, rule.options)

    async def deliver(self, exchange: Exchange, request: Request) -> Response:
        """Send what nobody waits for any more, from here inwards."""
        assert self._forward is not None
        return await self._forward(exchange, request)

    async def _rule_for_request(self, exchange: Exchange, request: Request) -> Rule | None:
        text: str | None = None
        for rule in self._inbound:
            if rule.reads_request and text is None:
                request.body = kept = await in_memory(request.body)
                text = searchable(kept, request.fields)
            if rule.matches(exchange, request, request_text=text):
                return rule if rule.options.action == "hold" else None
        return None

    async def _rule_for_response(self, exchange: Exchange, request: Request, response: Response) -> Rule | None:
        if response.then is not None:
            return None
        media_type = response.fields.first(b"content-type") or b""
        is_stream = media_type.lower().startswith(b"text/event-stream")
        text: str | None = None
        for rule in self._outbound:
            if is_stream and not rule.options.streams:
                continue
            if rule.reads_response and text is None:
                response.body = kept = await in_memory(response.body)
                text = searchable(kept, response.fields)
            if rule.matches(exchange, request, response, response_text=text):
                return rule if rule.options.action == "hold" else None
        return None

    async def _standing(self, request: Request) -> Response:
        """What has become of a message that was accepted, for the client that was told where to ask."""
        standing = await self._holder.desk.standing(request.target.path.removeprefix(PLACE))
        if standing is None:
            return Response.text(404, "Nothing of this name is held here.\n")
        response = Response(200, Fields([("Content-Type", "application/json"), ("Cache-Control", "no-store")]))
        how = standing.how
        said = {"state": standing.state, "decision": standing.verdict or None, "status": (how and how.status) or None}
        response.body = Body(msgspec.json.encode({**said, "failure": (how and how.failure) or None}) + b"\n")
        return response


def accepted(held: Held) -> Response:
    """What a client is told whose message the desk delivers later."""
    place = f"{PLACE}{held.id}"
    response = Response.text(202, f"Somebody has to look at this first. What becomes of it is said at {place}\n")
    response.fields.set("Location", place)
    response.fields.set("Cache-Control", "no-store")
    return response
