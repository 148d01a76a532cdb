"""What passes fast is recorded whole, and found while more comes."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.recorded_load import Origin, Recording, exchanges

EXCHANGES = 3000


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose path is short enough for a Unix socket."""
    return tmp_path_factory.mktemp("d")


async def test_every_exchange_is_in_the_journal_and_found_by_its_text(place: Path) -> None:
    async with Origin() as origin, Recording(place, origin.address) as instance:
        await exchanges(instance.port, EXCHANGES)
        dropped = await instance.has(EXCHANGES)
        assert dropped == 0
        [flow] = (await instance.found("path:/things/1234")).flows
        assert len((await instance.found('body:"89abcde\n0123"')).flows) == 100
        assert (flow["path"], flow["status"], flow["response_size"]) == ("/things/1234", 200, 1024)
        status, whole = await instance.ask("GET", f"/v1/flows/{flow['id']}")
        assert status == 200
        assert whole["request"]["redacted"] == ["cookie"]
        [attempt] = whole["attempts"]
        assert attempt["line"] == "GET /things/1234 HTTP/1.1"
