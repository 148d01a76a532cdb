"""Requests that an instance sends of its own accord: held ones whose clients have gone, and replays of recorded ones.

The supervisor moves no traffic, so it asks a worker. A held request goes on from where it was held; a replayed one
passes its listener's route as if it had just come, and no rule about who may come is asked again. Either is recorded.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable, Mapping

import msgspec

from interpose.core.exchange import Exchange, Outcome
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.handler import Handler, chain
from interpose.core.hold import HeldMessage
from interpose.core.message import Request, Response
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Target
from interpose.filters.hold.filter import Hold
from interpose.filters.recorder import Recorder
from interpose.protocol.held import apply_to_request
from interpose.storage.desk.keeper import body_of_content

TOPIC = b"deliver"
_NOWHERE = Target(Form.ABSOLUTE, "http", Authority("nowhere"), "/")


class Order(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """What is to be sent, and for whom: a message that was held (`hold`), or one that is repeated (`replay_of`)."""

    message: HeldMessage
    listener: str
    route: str = ""
    client: tuple[str, int] = ("", 0)
    user: str = ""
    hold: str = ""
    replay_of: int = 0


class Delivered(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """How it was answered; or the failure: its kind, what there is to say, whether anything had been sent."""

    exchange: str = ""
    status: int = 0
    failure: str = ""
    detail: str = ""
    sent: bool = False


class Deliveries:
    """(in a worker) Carries orders out. `recorders` are asked for each time, as a reload may bring others."""

    def __init__(self, worker: int, recorders: Callable[[], list[Recorder]]) -> None:
        self._worker = worker
        self._numbers = itertools.count(1 << 32)
        self._recorders = recorders

    async def answer(self, question: bytes, own: Mapping[str, Handler], holds: Iterable[Hold]) -> bytes:
        """Carry out the order that `question` is, after its topic. `own` are the handlers for it, by listener."""
        return _ENCODE(await self.deliver(_ORDER.decode(question), own, holds))

    async def deliver(self, order: Order, own: Mapping[str, Handler], holds: Iterable[Hold]) -> Delivered:
        """Send it, and take the answer to its end."""
        loop = asyncio.get_running_loop()
        exchange = Exchange(
            next(self._numbers), self._worker, order.listener, Address(*order.client), loop.time(), "http"
        )
        exchange.user = order.user or None
        exchange.route = order.route
        request = Request("GET", _NOWHERE, Fields())
        response: Response | None = None
        failure: Failure | None = None
        size = 0
        try:
            handler = self._handler(order, own, holds)
            self._prepare(exchange, request, order)
            response = await chain(self._recorders(), handler)(exchange, request)
            async for chunk in response.body:
                size += len(chunk)
        except Failure as error:
            failure = error
        except ValueError as error:
            failure = Failure("proxy_internal_error", Side.INTERNAL, f"This cannot be sent: {error}.")
        except Exception as error:
            exchange.finish(Outcome(0, size, Failure("proxy_internal_error", Side.INTERNAL, repr(error)), loop.time()))
            raise
        status = response.status if response is not None else 0
        exchange.finish(Outcome(status, size, failure, loop.time()))
        if failure is None:
            return Delivered(exchange=exchange.id, status=status)
        sent = failure.sent or any(attempt.head for attempt in exchange.attempts)
        return Delivered(exchange=exchange.id, status=0, failure=failure.kind, detail=failure.detail, sent=sent)

    def _handler(self, order: Order, own: Mapping[str, Handler], holds: Iterable[Hold]) -> Handler:
        if not order.hold:
            if order.listener not in own:
                raise ValueError(f"there is no listener {order.listener!r} (any more) that speaks HTTP")
            return own[order.listener]
        here = [hold for hold in holds if hold.listener == order.listener]
        for hold in here:
            # Where a listener has one route only, no router says its name.
            if hold.route == order.route or (not order.route and len(here) == 1):
                return hold.deliver
        raise ValueError(f"the route {order.route or order.listener!r} that it was held on does not exist any more")

    def _prepare(self, exchange: Exchange, request: Request, order: Order) -> None:
        """Let the request be what is sent, before anybody records it."""
        if order.message.method == "CONNECT":
            raise ValueError("a tunnel has nobody at its other end any more")
        apply_to_request(order.message, request)
        request.body = body_of_content(order.message.content)
        exchange.scheme = request.target.scheme
        if order.hold:
            exchange.notes["hold"] = order.hold
        else:
            exchange.notes["replay_of"] = str(order.replay_of)


_ORDER = msgspec.msgpack.Decoder(Order)
_ENCODE = msgspec.msgpack.Encoder().encode
_DELIVERED = msgspec.msgpack.Decoder(Delivered)


def encode_order(order: Order) -> bytes:
    """The question to a worker."""
    return TOPIC + b" " + _ENCODE(order)


def decode_delivered(answer: bytes) -> Delivered:
    """The answer of a worker."""
    return _DELIVERED.decode(answer)
