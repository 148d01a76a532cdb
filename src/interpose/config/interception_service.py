"""What one worker has learned about clients that do not believe our certificates, told to all of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import msgspec

from interpose.config.live_interception import TOPIC
from interpose.core.failure import Failure, Side
from interpose.engine.calls import Calls
from interpose.engine.learned import Learned

LEARNED = "interception.learned"


class Refusal(msgspec.Struct, forbid_unknown_fields=True):
    """A client that did not believe our certificate for a host."""

    client: str
    host: str


class InterceptionService:
    """(in the supervisor, a `config.office.Service`) `publish` tells whoever watches, with the kind of the event."""

    def __init__(self) -> None:
        self.publish: Callable[[str, Any], None] | None = None
        self._instance: Any = None

    async def open(self) -> None:
        """See `Service`."""

    async def answer(self, topic: str, question: bytes) -> bytes:
        """See `Service`."""
        if topic != LEARNED:
            raise Failure("proxy_configuration_error", Side.INTERNAL, f"Nobody answers what is asked about {topic}.")
        if self.publish is not None:
            self.publish("interception", msgspec.json.decode(question, type=Refusal))
        if self._instance is not None:
            await self._instance.ask_workers(TOPIC + b" learn " + question)
        return b""

    async def begin(self, instance: Any) -> None:
        """See `Service`. An instance in one process has nobody else to tell."""
        self._instance = instance if hasattr(instance, "ask_workers") else None

    async def close(self) -> None:
        """See `Service`."""


class Spread:
    """(in a worker) Tells the supervisor what was learned here. Where there is none to tell, nobody has to know."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._telling: set[asyncio.Task[None]] = set()

    def __call__(self, client: str, host: str) -> None:
        """Tell of it, without waiting."""
        telling = asyncio.get_running_loop().create_task(self._tell(Refusal(client, host)))
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    async def _tell(self, refusal: Refusal) -> None:
        with contextlib.suppress(Failure):
            await self._calls.ask(LEARNED, msgspec.json.encode(refusal))


def take(learned: list[Learned], encoded: bytes, now: float) -> None:
    """(in a worker) Somebody has learned this."""
    refusal = msgspec.json.decode(encoded, type=Refusal)
    for one in learned:
        one.take(refusal.client, refusal.host, now)
