"""Following redirects: a client's own requests, one after the other, until an answer that leads no further."""

from __future__ import annotations

from collections.abc import Callable

from interpose.core.body import EMPTY
from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, bad_response
from interpose.core.handler import Handler
from interpose.core.message import Request, Response
from interpose.protocol.redirect import CREDENTIALS, Redirect, redirect

MAX_UNREAD_BYTES = 65536
"""How much of a redirect's own content is read for the sake of its connection; beyond that a new one is cheaper."""


class Follow:
    """A filter that asks again where an answer leads elsewhere, at most `most` times.

    `told` hears of each redirect before it is followed. The request's body must be complete in memory.
    """

    def __init__(self, most: int, told: Callable[[Response, Redirect], None]) -> None:
        self._most = most
        self._told = told

    async def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Response:
        """See `core.handler.Filter`."""
        for _ in range(self._most):
            following = request.copy()
            response = await forward(exchange, request)
            location = response.fields.get("Location")
            next_one = redirect(following.method, following.target, response.status, location)
            if next_one is None:
                return response
            await _finish(response)
            self._told(response, next_one)
            request = _request(following, next_one)
        response = await forward(exchange, request)
        if redirect(request.method, request.target, response.status, response.fields.get("Location")) is not None:
            response.body.close()
            raise bad_response(f"There were more than {self._most} redirects, the last one to {request.target}.")
        return response


def _request(before: Request, decided: Redirect) -> Request:
    before.method = decided.method
    before.target = decided.target
    if decided.is_other_origin:
        before.fields.remove(*CREDENTIALS)
    if not decided.keeps_content:
        before.body = EMPTY
        before.fields.remove("Content-Type", "Content-Encoding", "Content-Language", "Content-Location")
    return before


async def _finish(response: Response) -> None:
    """Read a short content to its end, so that the connection can be used again; give up a long or broken one."""
    try:
        await response.body.read(MAX_UNREAD_BYTES)
    except Failure:
        response.body.close()
