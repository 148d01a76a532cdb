from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from tests.support.console import Console, console_in


@pytest_asyncio.fixture
async def console(tmp_path: Path) -> AsyncIterator[Console]:
    async with console_in(tmp_path) as made:
        yield made
