"""The journal at the other end of a link passes the tests of a journal that is here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.journal_conformance import JournalConformance

from interpose.core.journal import Journal
from interpose.engine.answering import Answering
from interpose.engine.calls import Calls, DirectCalls, NoOffice
from interpose.engine.linked_journal import LinkedJournal, answered
from interpose.storage.journal.reader import Reader
from interpose.storage.journal.thread import JournalThread
from interpose.storage.local_journal import LocalJournal


class JournalOffice(NoOffice):
    """The supervisor's side of a journal."""

    def __init__(self, thread: JournalThread, reader: Reader) -> None:
        self._thread = thread
        self._journal = LocalJournal(thread, reader)

    def record(self, data: bytes) -> None:
        self._thread.offer(data)

    async def answer(self, topic: str, question: bytes) -> bytes:
        return await answered(self._journal, topic, question)


class Worker:
    """The two ends of a link without the link."""

    def __init__(self, office: JournalOffice) -> None:
        self._answering = Answering(office)
        self.calls = Calls(self._to_supervisor, self._offered)

    def _to_supervisor(self, message: Any) -> None:
        self._answering.heard(self, message)  # type: ignore[arg-type]

    def _offered(self, message: Any) -> bool:
        self._to_supervisor(message)
        return True

    def send(self, message: Any) -> None:
        self.calls.replied(message)


WAYS: dict[str, Callable[[JournalOffice], Calls]] = {
    "linked": lambda office: Worker(office).calls,
    "direct": DirectCalls,
}


@pytest.mark.parametrize("way", list(WAYS))
class TestConformance(JournalConformance):
    @pytest.fixture
    async def journal(self, tmp_path: Path, way: str) -> AsyncIterator[Journal]:
        thread, reader = JournalThread(str(tmp_path)), Reader(str(tmp_path))
        yield LinkedJournal(WAYS[way](JournalOffice(thread, reader)))
        thread.close()
        reader.close()
