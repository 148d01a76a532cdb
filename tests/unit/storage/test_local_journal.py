"""The journal in this process does what every journal does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.journal_conformance import JournalConformance

from interpose.core.journal import Journal
from interpose.storage.journal.reader import Reader
from interpose.storage.journal.thread import JournalThread
from interpose.storage.local_journal import LocalJournal


class TestConformance(JournalConformance):
    @pytest.fixture
    async def journal(self, tmp_path: Path) -> AsyncIterator[Journal]:
        thread, reader = JournalThread(str(tmp_path)), Reader(str(tmp_path))
        yield LocalJournal(thread, reader)
        thread.close()
        reader.close()
