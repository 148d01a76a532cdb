"""Holds messages until somebody has decided about them (phase EDIT).

A rule is a query; the first rule that matches decides, for the request before it goes on and for the response before
it goes back. What is held is read whole and stored by the desk before anything else; then its exchange waits, without
deadlines of its own, until the desk says what becomes of it. What goes on is what was approved, octet for octet: its
digest is compared.
"""

from __future__ import annotations

import base64
import contextlib
import os
import time
from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from interpose.core.body import Body
from interpose.core.exchange import Exchange, Outcome
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.handler import Handler
from interpose.core.hold import Decision, Desk, Held, HeldMessage, Mode, Ruling, Settled, Verdict
from interpose.core.message import Request, Response
from interpose.core.query import Matcher, compile_query, parse
from interpose.core.query.live import Live
from interpose.core.query.words import Need
from interpose.core.units import Bytes
from interpose.protocol.content_coding import Bounds, CodingError, coding_of, decoded
from interpose.protocol.held import apply_to_request, held_request, held_response, response_of
from interpose.storage.desk.keeper import ContentKeeper, body_of_content

PLACE = "/.well-known/interpose/held/"
"""Below this path a client asks what has become of a message that was accepted; every host behind us has it."""

MOST_HELD_BYTES = 1 << 30
MOST_SEARCHED_BYTES = 1 << 20
"""How much of a content a rule with `body:` looks through."""

Query = Annotated[str, Meta(extra={"kind": "query"})]
Label = Annotated[str, Meta(extra={"kind": "label"})]
Name = Annotated[str, Meta(extra={"kind": "name"})]
Wait = Annotated[float, Meta(ge=0, le=30 * 86400)]


class HoldRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which messages wait until somebody has looked. The first rule that matches decides."""

    name: Label = ""
    """What the desk calls it. Empty: its query."""

    when: Query
    """What it means, as a query: `method:POST host:shop.example`."""

    side: Literal["inbound", "outbound"] = "inbound"
    """Requests before they go on, or responses before they go back."""

    action: Literal["hold", "pass"] = "hold"
    """`pass` lets through what rules after it would hold."""

    mode: Literal["wait", "accept"] = "wait"
    """(inbound) The client waits; or it is told 202 with a place to ask, and the desk delivers later."""

    timeout_s: Wait = 300.0
    """(wait) After this long `on_timeout` is what happens. 0: never."""

    on_timeout: Literal["drop", "release"] = "drop"
    """What happens to a message about which nobody decided in time."""

    streams: bool = False
    """(outbound) Hold endless streams of events too, which means: until they end."""

    listeners: tuple[Name, ...] = ()
    """The listeners it applies to, by name. Empty: all that speak HTTP."""


class HoldOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is held on one listener, and how much of it at most."""

    rules: tuple[HoldRule, ...] = ()
    """In the order in which they are asked."""
    max_content_bytes: Bytes = MOST_HELD_BYTES
    """The longest content that can be held."""


class Rule:
    """A rule that can be asked."""

    def __init__(self, options: HoldRule) -> None:
        self.options = options
        self.name = options.name or options.when
        self.matcher: Matcher = compile_query(parse(options.when))
        self.reads_request = bool(self.matcher.needs & Need.REQUEST_BODY)
        self.reads_response = bool(self.matcher.needs & Need.RESPONSE_BODY)


class Holder:
    """Has messages held by `desk`, and carries out what is decided."""

    def __init__(self, desk: Desk, keeper: ContentKeeper, wall: Callable[[], float] = time.time) -> None:
        self.keeper = keeper
        self.desk = desk
        self._wall = wall

    async def request(
        self, exchange: Exchange, request: Request, reason: str, rule: HoldRule | None = None
    ) -> Decision:
        """Hold `request`. Released, it is what was approved; dropped or answered, that is the caller's to carry out."""
        id = new_id()
        content = await self.keeper.keep(request.body, id)
        held = self._held(id, exchange, held_request(request, content), reason, rule)
        decision = await self._decided(exchange, held)
        if decision.verdict is Verdict.RELEASE:
            message = await self._approved(decision)
            try:
                apply_to_request(message, request)
            except ValueError as error:
                raise _unusable(error) from None
            request.body = body_of_content(message.content)
        return decision

    async def for_script(self, exchange: Exchange, request: Request, reason: str) -> Ruling:
        """What `exchange.hold` does."""
        decision = await self.request(exchange, request, reason)
        if decision.verdict is Verdict.DROP:
            raise dropped(exchange, decision, reason)
        if decision.verdict is Verdict.ANSWER:
            return Ruling(decision.verdict, decision.by, decision.why, await self.answer(decision))
        held = exchange.notes["hold"]
        exchange.at_end(lambda outcome: self.settle(held, outcome))
        return Ruling(decision.verdict, decision.by, decision.why)

    async def accept(self, exchange: Exchange, request: Request, reason: str, rule: HoldRule) -> Held:
        """Have the desk deliver `request` later."""
        id = new_id()
        content = await self.keeper.keep(request.body, id)
        held = self._held(id, exchange, held_request(request, content), reason, rule)
        await self.desk.accept(held)
        exchange.notes["hold"] = held.id
        return held

    async def response(
        self, exchange: Exchange, request: HeldMessage, response: Response, reason: str, rule: HoldRule
    ) -> Response:
        """Hold `response`, the answer to `request`: what is to be answered instead. `Failure` when it is dropped."""
        id = new_id()
        content = await self.keeper.keep(response.body, id)
        held = self._held(id, exchange, held_response(response, content), reason, rule, request)
        decision = await self._decided(exchange, held)
        if decision.verdict is Verdict.DROP:
            raise dropped(exchange, decision, reason)
        released = await self.answer(decision)
        if response.declared_length is not None and not released.body.length:
            released.declared_length = response.declared_length
        exchange.at_end(lambda outcome: self.settle(held.id, outcome))
        return released

    async def answer(self, decision: Decision) -> Response:
        """The response that a decision brings."""
        message = await self._approved(decision)
        try:
            response = response_of(message)
        except ValueError as error:
            raise _unusable(error) from None
        response.body = body_of_content(message.content)
        return response

    def settle(self, id: str, outcome: Outcome) -> None:
        """Tell the desk how it went on."""
        failure = "" if outcome.failure is None else outcome.failure.kind
        self.desk.settled(id, Settled(status=outcome.status, failure=failure))

    async def _decided(self, exchange: Exchange, held: Held) -> Decision:
        exchange.notes["hold"] = held.id
        async with exchange.waiting(f"held: {held.rule}"):
            decision = await self.desk.hold(held)
        exchange.notes["decided"] = f"{decision.verdict} by {decision.by}"
        if decision.version > 1:
            exchange.notes["edited"] = f"version {decision.version}"
        return decision

    async def _approved(self, decision: Decision) -> HeldMessage:
        """The message of a decision, when it is the one that was approved."""
        message = decision.message
        if message is None or message.digest != decision.digest or not await self.keeper.is_sound(message.content):
            why = "What was approved is not what is there: its digest differs."
            raise Failure("proxy_internal_error", Side.INTERNAL, why)
        return message

    def _held(
        self,
        id: str,
        exchange: Exchange,
        message: HeldMessage,
        reason: str,
        rule: HoldRule | None,
        request: HeldMessage | None = None,
    ) -> Held:
        rule = rule or HoldRule(when="*")
        return Held(
            id=id,
            message=message,
            mode=Mode(rule.mode),
            rule=reason,
            exchange=exchange.id,
            listener=exchange.listener,
            route=exchange.route,
            client=exchange.client,
            user=exchange.user or "",
            at=self._wall(),
            timeout_s=rule.timeout_s,
            on_timeout=Verdict(rule.on_timeout),
            request=request,
        )


class Hold:
    """The filter of one route: `listener` and `route` are what `Held` calls them."""

    def __init__(self, options: HoldOptions, holder: Holder, listener: str, route: str) -> None:
        self.listener = listener
        self.route = route
        self._holder = holder
        rules = [Rule(rule) for rule in options.rules]
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
            live = Live(exchange, request, time=time.time(), route=exchange.route, request_text=text)
            if rule.matcher.matches(live):
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
            live = Live(exchange, request, response, time=time.time(), route=exchange.route, response_text=text)
            if rule.matcher.matches(live):
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


async def in_memory(body: Body) -> Body:
    """`body` with the first octets of its content in memory, as many as are searched at most, or all of it."""
    if body.is_complete or body.ended:
        return body
    chunks: list[bytes] = []
    size = 0
    while size < MOST_SEARCHED_BYTES and (chunk := await body.next_chunk()):
        chunks.append(chunk)
        size += len(chunk)
    body.put_back(b"".join(chunks))
    return body


def searchable(body: Body, fields: Fields) -> str:
    """The content of a body, as far as it is here, as the text that a rule searches; undecodable content as it is."""
    data = body.take()
    body.put_back(data)
    data = data[:MOST_SEARCHED_BYTES]
    with contextlib.suppress(CodingError):
        data = decoded(data, coding_of(fields.every(b"content-encoding")), Bounds(max_bytes=MOST_SEARCHED_BYTES))
    return data.decode("utf-8", "replace")


def dropped(exchange: Exchange, decision: Decision, rule: str) -> Failure:
    """The failure that tells a client that its message, or the answer to it, was dropped."""
    who = "Nobody decided in time" if decision.by == "deadline" else f"{decision.by} decided so"
    why = f"{who}: {decision.why}" if decision.why else f"{who}."
    exchange.refused_by("hold", rule, why)
    return Failure("http_request_denied", Side.DOWNSTREAM, f"This message was held and then dropped. {why}")


def new_id() -> str:
    """A name for a hold: ten letters and digits that cannot be guessed, or confused when they are read aloud."""
    return base64.b32encode(os.urandom(10))[:10].decode("ascii").lower()


def _unusable(error: ValueError) -> Failure:
    return Failure("proxy_internal_error", Side.INTERNAL, f"What was decided cannot be sent: {error}.")
