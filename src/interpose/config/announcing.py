"""Tells people that a message waits for them: on the terminal, and at a URL of theirs.

The URL is asked through the same client as `interpose get`, by one task, one message after the other. Nobody waits for
it: a URL that cannot be reached is tried thrice, and of what piles up meanwhile the oldest goes, counted.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import sys
from collections import deque
from collections.abc import Callable
from typing import Any, TextIO

import msgspec

from interpose.config.client import ReachOptions, own_exchange, requesting
from interpose.config.desk_model import Desk
from interpose.config.urls import page_of
from interpose.core.body import Body
from interpose.core.failure import Failure
from interpose.core.fields import Fields
from interpose.core.hold import What
from interpose.core.message import Request
from interpose.core.printable import printable
from interpose.core.version import __version__
from interpose.storage.desk.views import HoldRow

log = logging.getLogger("interpose")

MOST_QUEUED = 100
DELAYS_S = (1.0, 5.0)
"""Between the tries."""
CONNECT_S = 5.0
SILENCE_S = 10.0
LOOKED_AWAY_S = 1.0
"""The terminal rings once in this time, however many messages come."""

_NAMES = {
    What.REQUEST: "A request",
    What.RESPONSE: "A response",
    What.CHUNK: "A piece of a TCP conversation",
    What.DATAGRAM: "A datagram",
    What.WEBSOCKET: "A WebSocket message",
}
_TOLD = (
    *("id", "what", "mode", "method", "url", "status", "type", "size"),
    *("rule", "client", "user", "at", "deadline"),
)


def sentence(row: HoldRow) -> str:
    """What waits, for people."""
    what = f"{_NAMES[row.what]} is held: {row.method} {row.url}".rstrip(" ")
    return f"{what} from {row.client} ({row.rule}). See: interpose desk show {row.id}"


class Bell:
    """A line on `stream` for each hold, and a sound, when a person can see and hear it."""

    def __init__(self, stream: TextIO | None = None, now: Callable[[], float] | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._now = now
        self._silent_until = 0.0

    def ring(self, row: HoldRow) -> None:
        """Tell of a hold."""
        if not self._stream.isatty():
            return
        now = (self._now or asyncio.get_running_loop().time)()
        sound = "\a" if now >= self._silent_until else ""
        if sound:
            self._silent_until = now + LOOKED_AWAY_S
        self._stream.write(f"{sound}{printable(sentence(row).encode())}\n")
        self._stream.flush()


class Webhook:
    """Posts each hold to `url`, from `tell` on; `close` gives up what is left. `dropped` counts what was never told."""

    def __init__(self, url: str, delays_s: tuple[float, ...] = DELAYS_S) -> None:
        self._page = page_of(url)
        self._delays_s = delays_s
        self._queue: deque[bytes] = deque()
        self._task: asyncio.Task[None] | None = None
        self.dropped = 0

    def tell(self, row: HoldRow) -> None:
        """Have it told that this waits."""
        if len(self._queue) >= MOST_QUEUED:
            self._queue.popleft()
            self._lose()
        self._queue.append(body_for(row))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work())

    async def close(self) -> None:
        """Tell nothing more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _work(self) -> None:
        while self._queue:
            body = self._queue.popleft()
            for delay_s in (*self._delays_s, None):
                why = await self._post(body)
                if not why:
                    break
                if delay_s is None:
                    self._lose(why)
                else:
                    await asyncio.sleep(delay_s)

    async def _post(self, body: bytes) -> str:
        """Post it once; why that did not work, "" when it did."""
        fields = Fields([("Content-Type", "application/json"), ("User-Agent", f"interpose/{__version__}")])
        if self._page.login is not None:
            fields.set("Authorization", b"Basic " + base64.b64encode(self._page.login))
        request = Request("POST", self._page.target, fields, Body(body))
        options = ReachOptions(connect_timeout_s=CONNECT_S)
        try:
            async with asyncio.timeout(2 * SILENCE_S), requesting(options, silence_s=SILENCE_S) as ask:
                response = await ask(own_exchange(asyncio.get_running_loop().time()), request)
                response.body.close()  # what else it says interests nobody
        except Failure as failure:
            return str(failure)
        except (TimeoutError, ValueError) as error:
            return str(error) or "it took too long"
        return "" if 200 <= response.status < 300 else f"it answered {response.status}"

    def _lose(self, why: str = "too many wait to be told") -> None:
        self.dropped += 1
        if self.dropped & (self.dropped - 1) == 0:  # the 1st, 2nd, 4th, ...
            log.warning("the webhook of the desk was not told of %d held messages so far: %s", self.dropped, why)


def body_for(row: HoldRow) -> bytes:
    """What a webhook is sent. Of the URL only its origin and path: queries carry secrets."""
    said = msgspec.structs.replace(row, url=row.url.partition("?")[0])
    values: dict[str, Any] = {name: getattr(said, name) for name in _TOLD}
    return msgspec.json.encode({"text": sentence(said), "hold": values})


class Announcing:
    """All the ways in which `[desk]` wants people to be told."""

    def __init__(self, desk: Desk) -> None:
        self._bell = Bell() if desk.bell else None
        self._webhook = Webhook(desk.webhook) if desk.webhook else None

    def tell(self, row: HoldRow) -> None:
        """Tell that this waits for somebody."""
        if self._bell is not None:
            self._bell.ring(row)
        if self._webhook is not None:
            self._webhook.tell(row)

    async def close(self) -> None:
        """Tell nothing more."""
        if self._webhook is not None:
            await self._webhook.close()
