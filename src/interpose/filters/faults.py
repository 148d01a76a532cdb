"""Faults of exchanges: answers that come late, wrong, in part or never (phase ADMIT, the innermost of it).

What refuses a request stands before, so that a refusal is never blamed on a fault. Everything else is behind: to
compression, caches and retries a fault is what happens on the way to the client, which they can neither keep nor heal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.fault import Chances, Drawn, Fault, affects, spelled
from interpose.core.faulty_body import faulty_body
from interpose.core.fields import Fields
from interpose.core.handler import Handler
from interpose.core.message import Request, Response

INSTEAD = ("status", "timeout", "reset_peer")
"""Kinds that take the place of the answer: of the whole exchange, or (outbound) of what the origin answered."""

OF_CONTENT = ("bandwidth", "truncate")


class Faults:
    """The filter. `chances` are drawn for each exchange."""

    def __init__(self, chances: Chances) -> None:
        self._chances = chances

    async def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Response:
        """See `core.handler.Filter`."""
        drawn = self._chances.draw()
        if not drawn:
            return await forward(exchange, request)
        exchange.notes["faults"] = ", ".join(spelled(one.fault) for one in drawn)
        await _wait(exchange, _latency(drawn, "inbound"))
        for fault, _ in drawn:
            if fault.kind in INSTEAD and fault.direction != "outbound":
                return await _instead(exchange, request, fault, was_asked=False)
        _slow_request(request, drawn)
        response = await forward(exchange, request)
        try:
            for fault, _ in drawn:
                if fault.kind in INSTEAD:
                    instead = await _instead(exchange, request, fault, was_asked=True)
                    response.body.close()
                    return instead
            await _wait(exchange, _latency(drawn, "outbound"))
            await _change_answer(exchange, request, response, drawn)
        except BaseException:
            response.body.close()
            raise
        return response


async def _wait(exchange: Exchange, seconds: float) -> None:
    if seconds:
        async with exchange.waiting("fault"):
            await asyncio.sleep(seconds)


def _latency(drawn: Sequence[Drawn], direction: str) -> float:
    """Seconds that latency adds in one direction."""
    total = 0.0
    for fault, random in drawn:
        if fault.kind == "latency" and fault.direction in ("both", direction):
            jitter = random.uniform(-fault.jitter_s, fault.jitter_s) if fault.jitter_s else 0.0
            total += max(0.0, (fault.latency_s or 0.0) + jitter)
    return total


async def _instead(exchange: Exchange, request: Request, fault: Fault, *, was_asked: bool) -> Response:
    """What a fault gives the client instead of an answer: another one, or the end of the connection.

    `was_asked` says that the origin has the request already.
    """
    exchange.refused_by("faults", spelled(fault), "a fault that this instance was told to make")
    if fault.kind == "status":
        if fault.status in (204, 304):
            return Response(fault.status)
        return Response.text(fault.status, f"Status {fault.status} is a fault that this proxy was told to make.\n")
    if not was_asked and not request.body.ended:
        request.body.pipe(_Nowhere())  # who leaves is noticed only while something is read
    if fault.kind == "timeout" and not fault.after_s:
        async with exchange.waiting("fault"):
            await asyncio.get_running_loop().create_future()
    await _wait(exchange, fault.after_s)
    raise Failure("connection_terminated", Side.INTERNAL, f"The fault {fault.kind} broke the connection off.", status=0)


def _slow_request(request: Request, drawn: Sequence[Drawn]) -> None:
    """Let the content of a request take its time."""
    slow = [one for one in drawn if one.fault.kind == "bandwidth" and affects(one.fault, "inbound")]
    if slow and not request.body.is_complete:
        cut = Failure("http_request_error", Side.INTERNAL, "A fault cut the content of the request off.")
        request.body = faulty_body(request.body, slow, asyncio.get_running_loop(), cut)


async def _change_answer(exchange: Exchange, request: Request, response: Response, drawn: Sequence[Drawn]) -> None:
    """Let head and content of an answer take their time, or break off."""
    head_s = sum(one.fault.delay_s or 0.0 for one in drawn if one.fault.kind == "slow_head")
    of_content = [one for one in drawn if one.fault.kind in OF_CONTENT and affects(one.fault, "outbound")]
    if not head_s and not of_content:
        return
    if request.method in ("HEAD", "CONNECT") or response.status in (101, 204, 304):
        await _wait(exchange, head_s)  # there is no content behind which a head could drip
        return
    cut = Failure("http_response_incomplete", Side.INTERNAL, "A fault cut the content of the answer off.", sent=True)
    response.body = faulty_body(response.body, of_content, asyncio.get_running_loop(), cut, head_s)


class _Nowhere:
    """A sink for content that nobody is to get."""

    def __init__(self) -> None:
        self.on_drain: Callable[[], None] | None = None

    def write(self, chunk: bytes) -> bool:
        return True

    def end(self, trailers: Fields | None) -> None:
        pass

    def abort(self, failure: Failure) -> None:
        pass
