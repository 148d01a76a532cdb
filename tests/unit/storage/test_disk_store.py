from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from interpose.storage.disk_store import DiskStore
from tests.support.store_conformance import MAX_OBJECT_BYTES, StoreConformance


class TestConformance(StoreConformance):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[DiskStore]:
        store = DiskStore(str(tmp_path / "cache"), 12 * MAX_OBJECT_BYTES, MAX_OBJECT_BYTES)
        yield store
        await store.close()
