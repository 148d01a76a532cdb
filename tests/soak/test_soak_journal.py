"""The journal with a million records, and with whatever may happen to its file."""

from __future__ import annotations

import itertools
import random
import resource
import shutil
import statistics
import time
from pathlib import Path

import pytest
from tests.support.journal_records import BROWSER, STARTED, record
from tests.support.journal_world import check, fill, mutated, mutations

from interpose.core.query import parse
from interpose.core.record import Part, Record, decode_records, encode_records
from interpose.storage.journal.journal import JournalWriter
from interpose.storage.journal.reader import Reader

pytestmark = pytest.mark.soak

RECORDS = 1_000_000
BATCH = 500
QUERIES = (
    "", "host:host7.example", "status:5xx", "status:404 method:DELETE", "body:quartz", "body:zyxwvu", '"x-n: 41f"',
    "from:10.0.0.0/24", "age:<60s", "is:error", "mark:star", "kind:tcp",
)  # fmt: skip
MOST_FOUND_S = 0.3
MOST_WRITTEN_S = 60e-6
MOST_MEMORY_KIB = 200 << 10


def test_f8_after_each_of_200_mutations_it_opens_and_says_nothing_wrong(tmp_path: Path) -> None:
    fill(tmp_path / "whole")
    for number, (kind, dice) in enumerate(mutations(200, seed=11)):
        directory = tmp_path / str(number)
        shutil.copytree(tmp_path / "whole", directory)
        database = directory / "journal.db"
        database.write_bytes(mutated(database.read_bytes(), kind, dice))
        check(directory)
        shutil.rmtree(directory)


def records(start: int, words: list[str], dice: random.Random) -> list[Record]:
    """Half a thousand exchanges of 1 KiB, with other words in each."""
    made = []
    for number in range(start, start + BATCH):
        content = " ".join(dice.choices(words, k=140)).encode()[:1024]
        host = f"host{number % 97}.example"
        made.append(
            record(
                number,
                started=STARTED + number / 500,
                host=host,
                target=f"https://{host}/{words[number % len(words)]}?n={number:x}",
                client=(f"10.0.{number % 3}.{number % 250}", 40000),
                status=503 if number % 5003 == 0 else 404 if number % 211 == 0 else 200,
                request=Part(b"X-N: %x\r\n" % number + BROWSER),
                response=Part(b"Content-Type: text/plain\r\n", content, len(content)),
                failure="http_response_incomplete" if number % 10007 == 0 else "",
            )
        )
    return made


def test_a_million_records_are_written_flat_and_searched_at_once(tmp_path: Path) -> None:
    dice = random.Random(3)
    words = ["".join(dice.choices("abcdefghijklmnopqrst", k=dice.randint(3, 9))) for _ in range(5000)]
    writer = JournalWriter(str(tmp_path))
    costs: list[float] = []
    for start in range(0, RECORDS, BATCH):
        batch = encode_records(records(start, words, dice))
        begun = time.thread_time()
        writer.add(decode_records(batch))
        costs.append((time.thread_time() - begun) / BATCH)
        if start % 2000 == 0:
            writer.index_some(2000)
    while writer.index_some(2000):
        pass
    writer.mark(17, "star")
    tenth = len(costs) // 10
    assert statistics.median(costs) < MOST_WRITTEN_S
    assert statistics.median(costs[-tenth:]) < 1.5 * statistics.median(costs[:tenth])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < MOST_MEMORY_KIB
    reader = Reader(str(tmp_path), wall=lambda: STARTED + RECORDS / 500)
    for text in QUERIES:
        begun = time.perf_counter()
        found = reader.find(parse(text) if text else None)
        assert time.perf_counter() - begun < MOST_FOUND_S, text
        assert found.rows or text in ("status:404 method:DELETE", "body:quartz", "body:zyxwvu", "kind:tcp"), text
        assert all(first.id > second.id for first, second in itertools.pairwise(found.rows))
    reader.close()
    writer.close()
