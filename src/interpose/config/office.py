"""What an instance keeps for all of its workers: the journal and the desk, in the supervisor's process.

Both are opened before the first worker starts and closed when the last one is gone, and read their tables of the
configuration then: a reload does not change them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from interpose.config.announcing import Announcing
from interpose.config.console_place import ConsolePlace
from interpose.config.deliveries import Order, decode_delivered, encode_order
from interpose.config.desk import desk_directory
from interpose.config.desk_options import desk_options
from interpose.config.load import state_dir
from interpose.config.model import Config
from interpose.core.failure import Failure, Side
from interpose.core.hold import Held, HeldMessage, Settled
from interpose.core.journal import Summary
from interpose.engine.linked_desk import answered
from interpose.storage.desk.local import LocalDesk
from interpose.storage.desk.views import HoldRow
from interpose.storage.journal.reader import Reader
from interpose.storage.journal.redaction import Redaction
from interpose.storage.journal.thread import JournalThread

log = logging.getLogger("interpose")

DELIVERY_S = 330.0
"""How long a worker may take to deliver one message: longer than any server may take to answer."""


class Instance(Protocol):
    """The supervisor, as far as it is asked here."""

    @property
    def is_ready(self) -> bool:
        """Whether a worker serves."""

    async def ask_a_worker(self, question: bytes, timeout_s: float) -> bytes | None:
        """What one worker answers; None when none does."""


class Office:
    """See the module, and `engine.calls.Office`. `on_flows` and `on_hold` hear of what is new, on the loop."""

    def __init__(self, config: Config, console: ConsolePlace | None = None) -> None:
        self.config = config
        self.console = console
        self.journal: JournalThread | None = None
        self.reader: Reader | None = None
        self.desk: LocalDesk | None = None
        self.on_flows: Callable[[list[Summary]], object] | None = None
        self.on_hold: Callable[[HoldRow], object] | None = None
        self.on_new_hold: Callable[[HoldRow], object] | None = None
        self._announcing: Announcing | None = None
        self._instance: Instance | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self) -> None:
        """Open what the configuration asks for. ValueError, a sentence, when something cannot be opened."""
        self._loop = asyncio.get_running_loop()
        config = self.config
        if config.journal is not None:
            directory = journal_directory(config)
            self.journal = JournalThread(
                directory,
                redaction=Redaction(config.journal.redact),
                max_bytes=config.journal.max_bytes,
                max_age_s=config.journal.max_age_s,
                on_written=self._written,
            )
            self.reader = Reader(directory)
        if config.console is not None or config.holds or config.scripts:
            directory = desk_directory(config)
            Path(directory).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._announcing = Announcing(config.desk)
            self.desk = LocalDesk(
                directory,
                desk_options(config),
                deliver=self._deliver,
                changed=self._hold_changed,
                announce=self._hold_is_new,
            )
            await self.desk.start()
            if self.desk.problem:
                log.error("%s", self.desk.problem)

    async def begin(self, instance: Any) -> None:
        """See `engine.calls.Office`."""
        self._instance = instance

    async def end(self) -> None:
        """See `engine.calls.Office`."""
        if self.desk is not None:
            await self.desk.close()
        if self._announcing is not None:
            await self._announcing.close()
        if self.journal is not None:
            await asyncio.to_thread(self.journal.close)

    def record(self, data: bytes) -> None:
        """See `engine.calls.Office`."""
        if self.journal is not None:
            self.journal.offer(data)

    async def answer(self, topic: str, question: bytes) -> bytes:
        """See `engine.calls.Office`."""
        if self.desk is None or not topic.startswith("desk."):
            raise Failure("proxy_configuration_error", Side.INTERNAL, f"Nobody answers what is asked about {topic}.")
        return await answered(self.desk, topic, question)

    async def replay(self, order: Order) -> Any:
        """Have a worker send `order`; what came of it. `Failure` when no worker does."""
        if self._instance is None or not self._instance.is_ready:
            raise Failure("destination_unavailable", Side.INTERNAL, "No worker is there to send it.")
        answer = await self._instance.ask_a_worker(encode_order(order), DELIVERY_S)
        if answer is None:  # the worker died, or took too long: it may have sent it
            why = "The worker that was to send it did not say what came of it."
            raise Failure("destination_unavailable", Side.INTERNAL, why, sent=True)
        return decode_delivered(answer)

    async def _deliver(self, held: Held, message: HeldMessage) -> Settled:
        """(desk) Send what was held, by a worker."""
        delivered = await self.replay(
            Order(
                message=message,
                listener=held.listener,
                route=held.route,
                client=held.client,
                user=held.user,
                hold=held.id,
            )
        )
        if delivered.failure:
            raise Failure(delivered.failure, Side.UPSTREAM, delivered.detail, sent=delivered.sent)
        return Settled(status=delivered.status)

    def _written(self, rows: list[Summary]) -> None:
        """(journal's thread) These records are new."""
        if self.on_flows is not None and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.on_flows, rows)

    def _hold_changed(self, row: HoldRow) -> None:
        if self.on_hold is not None:
            self.on_hold(row)

    def _hold_is_new(self, row: HoldRow) -> None:
        if self._announcing is not None:
            self._announcing.tell(row)
        if self.on_new_hold is not None:
            self.on_new_hold(row)


def journal_directory(config: Config) -> str:
    """Where the journal of this instance is."""
    assert config.journal is not None
    return config.journal.dir or str(state_dir(config.process.state_dir) / config.process.name / "journal")
