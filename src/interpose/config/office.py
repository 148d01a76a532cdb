"""What an instance keeps for all of its workers: the journal and the desk, in the supervisor's process.

Both are opened before the first worker starts and closed when the last one is gone, and read their tables of the
configuration then: a reload does not change them. What shows them is `config.front`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from interpose.config.access import holds
from interpose.config.announcing import Announcing
from interpose.config.deliveries import Delivered, Order, decode_delivered, encode_order
from interpose.config.desk import desk_directory
from interpose.config.desk_options import desk_options
from interpose.config.limit_places import SERVICE as LIMITS
from interpose.config.limit_places import needs_service
from interpose.config.load import state_dir
from interpose.config.model import Config
from interpose.core.failure import Failure, Side
from interpose.core.hold import Held, HeldMessage, Settled
from interpose.core.journal import Summary
from interpose.engine import linked_desk, linked_journal
from interpose.storage.desk.local import LocalDesk
from interpose.storage.desk.views import HoldRow
from interpose.storage.journal.reader import Reader
from interpose.storage.journal.redaction import Redaction
from interpose.storage.journal.thread import JournalThread
from interpose.storage.local_journal import LocalJournal

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


class Service(Protocol):
    """What the workers of an instance share, besides the journal and the desk: asked about topics of its own."""

    async def open(self) -> None:
        """(once, before the first worker starts) Be ready. ValueError, a sentence, when that cannot be."""

    async def answer(self, topic: str, question: bytes) -> bytes:
        """The answer to a worker's call, soon: nobody else is kept waiting, but the worker is. Raises `Failure`."""

    async def begin(self, instance: Any) -> None:
        """(once, when the workers serve) `instance` is the supervisor."""

    async def close(self) -> None:
        """(once, when the workers are gone) Write out what waits."""


class Front(Protocol):
    """What shows all of it to people, and hears of what is new."""

    async def begin(self, instance: Any) -> None:
        """(once, when the workers serve) Show it."""

    async def end(self) -> None:
        """(once) Show no more."""

    def flows(self, rows: list[Summary]) -> None:
        """These records are new."""

    def hold(self, row: HoldRow) -> None:
        """This hold is new, or not what it was."""


class Office:
    """See the module, and `engine.calls.Office`. `make_front` makes what shows it, once it is open; None: nobody is
    shown anything but who asks `journal`, `readers` and `desk`."""

    def __init__(self, config: Config, make_front: Callable[[Office], Front] | None = None) -> None:
        self.config = config
        self.journal: JournalThread | None = None
        self.readers: list[Reader] = []
        self.desk: LocalDesk | None = None
        self.services: dict[str, Service] = services_of(config)
        """By the first word of their topics."""
        self._announcing = Announcing(config.desk)
        self._make_front = make_front
        self._front: Front | None = None
        self._instance: Instance | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self) -> None:
        """See `engine.calls.Office`."""
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
            self.readers = [Reader(directory), Reader(directory)]
        if config.console is not None or config.holds or holds(config) or config.uses_scripts:
            self.desk = await self._opened_desk()
        for service in self.services.values():
            await service.open()
        if self._make_front is not None:
            self._front = self._make_front(self)

    async def _opened_desk(self) -> LocalDesk:
        directory = desk_directory(self.config)
        Path(directory).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        desk = LocalDesk(
            directory,
            desk_options(self.config),
            deliver=self._deliver,
            changed=self._hold_changed,
            announce=self._announcing.tell,
        )
        await desk.start()
        if desk.problem:
            log.error("%s", desk.problem)
        return desk

    async def begin(self, instance: Any) -> None:
        """See `engine.calls.Office`."""
        self._instance = instance
        for service in self.services.values():
            await service.begin(instance)
        if self._front is not None:
            await self._front.begin(instance)

    async def end(self) -> None:
        """See `engine.calls.Office`."""
        if self._front is not None:
            await self._front.end()
        for service in self.services.values():
            await service.close()
        if self.desk is not None:
            await self.desk.close()
        await self._announcing.close()
        if self.journal is not None:
            await asyncio.to_thread(self.journal.close)
        for reader in self.readers:
            reader.close()

    def record(self, data: bytes) -> None:
        """See `engine.calls.Office`."""
        if self.journal is not None:
            self.journal.offer(data)

    async def answer(self, topic: str, question: bytes) -> bytes:
        """See `engine.calls.Office`."""
        if self.journal is not None and topic.startswith("journal."):
            return await linked_journal.answered(LocalJournal(self.journal, self.readers[0]), topic, question)
        if (service := self.services.get(topic.partition(".")[0])) is not None:
            return await service.answer(topic, question)
        if self.desk is None or not topic.startswith("desk."):
            raise Failure("proxy_configuration_error", Side.INTERNAL, f"Nobody answers what is asked about {topic}.")
        return await linked_desk.answered(self.desk, topic, question)

    async def send(self, order: Order) -> Delivered:
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
        order = Order(
            message=message,
            listener=held.listener,
            route=held.route,
            client=held.client,
            user=held.user,
            hold=held.id,
        )
        delivered = await self.send(order)
        if delivered.failure:
            raise Failure(delivered.failure, Side.UPSTREAM, delivered.detail, sent=delivered.sent)
        return Settled(status=delivered.status)

    def _written(self, rows: list[Summary]) -> None:
        """(journal's thread) These records are new."""
        if self._front is not None and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody is shown anything
                self._loop.call_soon_threadsafe(self._front.flows, rows)

    def _hold_changed(self, row: HoldRow) -> None:
        if self._front is not None:
            self._front.hold(row)


def services_of(config: Config) -> dict[str, Service]:
    """What `config` has its workers share."""
    services: dict[str, Service] = {}
    if config.blocklists:
        from interpose.config.blocklist_keeper import BlockListKeeper

        services["blocklist"] = BlockListKeeper(config)
    if config.experiments:
        from interpose.config.experiment_service import ExperimentService

        services["experiments"] = ExperimentService(config)
    if needs_service(config):
        from interpose.config.limiting import service_of

        services[LIMITS] = service_of(config)
    if config.interception is not None:
        from interpose.config.interception_service import InterceptionService

        services["interception"] = InterceptionService()
    if config.acme is not None:
        from interpose.config.acme import AcmeService

        services["acme"] = AcmeService(config)
    return services


def journal_directory(config: Config) -> str:
    """Where the journal of this instance is."""
    assert config.journal is not None
    return config.journal.dir or str(state_dir(config.process.state_dir) / config.process.name / "journal")
