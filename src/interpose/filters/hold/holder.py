"""Has messages held by the desk, and carries out what is decided."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable

from interpose.core.body import EMPTY
from interpose.core.exchange import Exchange, Outcome
from interpose.core.failure import Failure, Side
from interpose.core.hold import Decision, Desk, Held, HeldMessage, Mode, Ruling, Settled, Verdict
from interpose.core.message import Request, Response
from interpose.filters.hold.options import HoldRule
from interpose.protocol.held import apply_to_request, held_request, held_response, response_of
from interpose.storage.desk.keeper import ContentKeeper, body_of_content

WAIT_S = 300.0
"""How long a client waits where nobody has said how long."""


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
        message = held_request(request, await self.keeper.keep(request.body, id))
        deciding = self._decided(exchange, self._held(id, exchange, message, reason, rule))
        del message  # nothing of it is needed while it waits
        request.body = EMPTY
        decision = await deciding
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

    async def piece(self, exchange: Exchange, message: HeldMessage, reason: str, rule: HoldRule) -> Decision:
        """Hold a piece of a stream, or a datagram."""
        held = self._held(new_id(), exchange, message, reason, rule)
        decision = await self._decided(exchange, held)
        if decision.verdict is Verdict.RELEASE:
            self.desk.settled(held.id, Settled())
        return decision

    async def released_piece(self, decision: Decision) -> bytes:
        """The octets that were approved."""
        return await self.keeper.octets((await self._approved(decision)).content)

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
            deciding = self.desk.hold(held)
            del held
            decision = await deciding
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
            timeout_s=timeout_of(rule),
            on_timeout=Verdict(rule.on_timeout),
            request=request,
        )


def dropped(exchange: Exchange, decision: Decision, rule: str) -> Failure:
    """The failure that tells a client that its message, or the answer to it, was dropped."""
    who = "Nobody decided in time" if decision.by == "deadline" else f"{decision.by} decided so"
    why = f"{who}: {decision.why}" if decision.why else f"{who}."
    exchange.refused_by("hold", rule, why)
    return Failure("http_request_denied", Side.DOWNSTREAM, f"This message was held and then dropped. {why}")


def timeout_of(rule: HoldRule) -> float:
    """When it is decided by itself, in seconds: 0 for never."""
    if rule.timeout_s is not None:
        return rule.timeout_s
    return WAIT_S if rule.mode == "wait" else 0.0


def new_id() -> str:
    """A name for a hold: ten letters and digits that cannot be guessed, or confused when they are read aloud."""
    return base64.b32encode(os.urandom(10))[:10].decode("ascii").lower()


def _unusable(error: ValueError) -> Failure:
    return Failure("proxy_internal_error", Side.INTERNAL, f"What was decided cannot be sent: {error}.")
