import asyncio
from pathlib import Path

import pytest

from interpose.config.watching import signature, watch


class Reloads:
    """Counts, and lets a test wait for the next one."""

    def __init__(self) -> None:
        self.count = 0
        self.news = asyncio.Event()

    async def __call__(self) -> None:
        self.count += 1
        self.news.set()

    async def next(self) -> None:
        async with asyncio.timeout(10):
            await self.news.wait()
        self.news.clear()


@pytest.fixture
async def reloads(tmp_path: Path):
    """Of a file that a link leads to, through a directory that can be exchanged."""
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "file").write_text("a")
    (tmp_path / "now").symlink_to("one")
    (tmp_path / "file").symlink_to("now/file")
    reloads = Reloads()
    watching = asyncio.create_task(watch(tmp_path / "file", reloads, look_s=0.01))
    await asyncio.sleep(0)  # it has looked for the first time
    yield reloads
    watching.cancel()


async def test_a_file_that_is_written_is_read_again(reloads: Reloads, tmp_path: Path) -> None:
    (tmp_path / "one" / "file").write_text("bb")
    await reloads.next()


async def test_a_directory_that_is_exchanged_as_that_of_a_config_map_is_noticed(
    reloads: Reloads, tmp_path: Path
) -> None:
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "file").write_text("a")
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").rename(tmp_path / "now")
    await reloads.next()


async def test_a_file_that_is_away_for_a_moment_is_waited_for(reloads: Reloads, tmp_path: Path) -> None:
    before = signature(tmp_path / "file")
    (tmp_path / "one" / "file").unlink()
    assert signature(tmp_path / "file") is None
    (tmp_path / "one" / "file").write_text("cc")
    assert signature(tmp_path / "file") != before
    await reloads.next()
    assert reloads.count == 1
