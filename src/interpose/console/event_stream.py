"""Server-sent events: the answer that does not end (WHATWG HTML, 9.2).

Nothing waits here for a client that does not read: it is written to when it has taken what came before, and what
happens meanwhile is in the history (`events`). Who takes nothing for STUCK_S is let go.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import MutableMapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from interpose.console.events import Client, Events, TooMany
from interpose.console.resource import Refusal

HEARTBEAT_S: Final = 15.0
STUCK_S: Final = 60.0
RETRY_MS: Final = 2000

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


def event_stream(events: Events, request: Request, heartbeat_s: float = HEARTBEAT_S) -> Response:
    """The answer to `request`: events from now on, or from behind the one that Last-Event-ID names."""
    try:
        client = events.client(request.headers.get("last-event-id", ""))
    except TooMany:
        raise Refusal(503, "So many watch already that nobody more can.") from None
    return _Stream(events, client, heartbeat_s)


class _Stream(Response):
    def __init__(self, events: Events, client: Client, heartbeat_s: float) -> None:
        super().__init__()
        self._events = events
        self._client = client
        self._heartbeat_s = heartbeat_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        writing = asyncio.ensure_future(self._write(send))
        leaving = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({writing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._client.close()
            writing.cancel()
            leaving.cancel()
            results = await asyncio.gather(writing, leaving, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, TimeoutError | OSError):
                raise result

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await _sent(send, b"retry: %d\n\n" % RETRY_MS)
        while not self._events.is_closed:
            text = self._client.next()
            if text:
                await _sent(send, text)
                continue
            try:
                async with asyncio.timeout(self._heartbeat_s):
                    await self._client.news.wait()
            except TimeoutError:
                await _sent(send, b": still here\n\n")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _sent(send: Send, text: bytes) -> None:
    message: MutableMapping[str, Any] = {"type": "http.response.body", "body": text, "more_body": True}
    async with asyncio.timeout(STUCK_S):
        await send(message)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
