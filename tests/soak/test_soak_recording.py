"""A hundred thousand exchanges through the real program, onto a journal that has a million records already."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from tests.soak.test_soak_journal import BATCH, records
from tests.support.recorded_load import Origin, Recording, exchanges, greatest_bytes, private_bytes

from interpose.storage.journal.journal import JournalWriter

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3000)]

RECORDS = 1_000_000
WARM_UP, EXCHANGES = 20_000, 80_000
TEXTS = ("body:quartz", "body:zyxwvu", '"x-n: 41f"', "things", "status:5xx body:abc", "body:89abcde")
MOST_FOUND_S, MOST_SHOWN_S = 0.3, 1.0
MOST_SUPERVISOR_BYTES = 200 << 20
PER_S = 1500.0
MOST_DROPPED = 0.01
"""The machine may have no core to spare for a moment."""
LOOKS = 5
FILLED = os.environ.get("INTERPOSE_SOAK_JOURNAL", "")
"""A directory with such a journal, which is then not made anew."""


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose path is short enough for a Unix socket."""
    return tmp_path_factory.mktemp("d")


def filled(directory: Path) -> str:
    """A journal with RECORDS records, all of them indexed."""
    if FILLED:
        return FILLED
    dice = random.Random(3)
    words = ["".join(dice.choices("abcdefghijklmnopqrst", k=dice.randint(3, 9))) for _ in range(5000)]
    writer = JournalWriter(str(directory))
    for start in range(0, RECORDS, BATCH):
        writer.add(records(start, words, dice))
        if start % 2000 == 0:
            writer.index_some(2000)
    while writer.index_some(2000):
        pass
    writer.close()
    return str(directory)


async def test_memory_stays_flat_and_what_was_recorded_is_there_at_once(place: Path) -> None:
    journal = filled(place / "journal")
    async with Origin() as origin, Recording(place, origin.address, journal) as instance:
        [worker] = await instance.pids()
        supervisor = instance.process.pid
        already = (await instance.ask("GET", "/v1/flows/count?q="))[1]["count"]
        await exchanges(instance.port, WARM_UP, per_s=PER_S)
        before = private_bytes(worker)
        await exchanges(instance.port, EXCHANGES, per_s=PER_S)
        after = private_bytes(worker)
        dropped = await instance.has(already + WARM_UP + EXCHANGES)
        print(f"{dropped} records dropped", end="; ")
        print(f"worker {before >> 10} KiB, then {after >> 10} KiB; supervisor {greatest_bytes(supervisor) >> 20} MiB")
        assert abs(after - before) <= before / 20
        assert dropped <= MOST_DROPPED * EXCHANGES
        for path in ("/v1/flows?limit=100", "/v1/overview"):
            shown_s = min([await instance.takes(path) for _ in range(LOOKS)])
            print(f"{path}: {shown_s * 1000:.0f} ms")
            assert shown_s < MOST_SHOWN_S, path
        for text in TEXTS:
            found_s = min([(await instance.found(text)).seconds for _ in range(LOOKS)])
            print(f"{text}: {found_s * 1000:.0f} ms")
            assert found_s < MOST_FOUND_S, text
        assert greatest_bytes(supervisor) < MOST_SUPERVISOR_BYTES
