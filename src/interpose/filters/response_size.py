"""How large an answer may be: 502 where its head says that it is larger, else a visible break where it becomes so.

Phase ADMIT: it is what clients are sent that counts, whatever was done to it on the way.
"""

from __future__ import annotations

from collections.abc import Awaitable

from interpose.core.body import Transform
from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.handler import Answered, Handler
from interpose.core.message import Request, Response


class ResponseSize:
    """The filter. `limit` in octets of content."""

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        """See `core.handler.Filter`. `Failure` http_response_body_size (502), at once or in the body."""
        answering = forward(exchange, request)
        if type(answering) is Answered:
            return self._judged(exchange, answering)
        return self._awaited(exchange, answering)

    async def _awaited(self, exchange: Exchange, answering: Awaitable[Response]) -> Response:
        return self._judged(exchange, Answered(await answering)).response

    def _judged(self, exchange: Exchange, answered: Answered) -> Answered:
        response = answered.response
        body = response.body
        length = len(body.arrived) if body.length is None else body.length
        if length > self._limit:
            body.close()
            raise self._refused(exchange)
        if body.length is None:
            response.body = body.map(self._counted(exchange))
        return answered

    def _counted(self, exchange: Exchange) -> Transform:
        left = self._limit

        def count(chunk: bytes | None) -> bytes:
            nonlocal left
            left -= len(chunk or b"")
            if left < 0:
                raise self._refused(exchange)
            return chunk or b""

        return count

    def _refused(self, exchange: Exchange) -> Failure:
        detail = f"The server's answer is larger than {self._limit} bytes."
        exchange.refused_by("response size", f"max_response_bytes = {self._limit}", detail)
        return Failure("http_response_body_size", Side.UPSTREAM, detail, sent=True)
