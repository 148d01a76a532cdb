"""A journal with known records, and what must hold of it whatever has happened to its files."""

from __future__ import annotations

import random
import time
from pathlib import Path

from tests.support.journal_records import record

from interpose.core.query import parse
from interpose.core.record import Part, Record, encode_records
from interpose.storage.journal.journal import JournalWriter
from interpose.storage.journal.reader import Reader
from interpose.storage.journal.redaction import Redaction

RECORDS = 60
MOST_OPENING_S = 5.0


def known(number: int) -> Record:
    """The record of that number: every third one has a content of its own in a file, every fifth one shares one."""
    content = b"shared" * 2000 if number % 5 == 0 else b"own %d " % number * (2000 if number % 3 == 0 else 1)
    return record(number, request=Part(b"X-Number: %d\r\n" % number, content, len(content)))


def fill(directory: Path) -> None:
    """A journal with the records 1 to RECORDS, most of them indexed."""
    writer = JournalWriter(str(directory), Redaction(()))
    for start in range(1, RECORDS + 1, 20):
        writer.add([known(number) for number in range(start, start + 20)])
        if start < 40:
            writer.index_some(20)
    writer.close()


def mutations(count: int, seed: int = 8) -> list[tuple[str, random.Random]]:
    """What may have happened to a file."""
    kinds = ("flip", "flip", "page", "tail", "cut", "empty", "garbage", "head", "swap")
    return [(kinds[number % len(kinds)], random.Random(f"{seed}-{number}")) for number in range(count)]


def mutated(data: bytes, kind: str, dice: random.Random) -> bytes:
    """The octets of a file after that."""
    place = dice.randrange(len(data))
    match kind:
        case "flip":
            damaged = bytearray(data)
            for _ in range(dice.choice((1, 8, 200))):
                damaged[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
            return bytes(damaged)
        case "page":
            start = place // 4096 * 4096
            return data[:start] + dice.randbytes(4096) + data[start + 4096 :]
        case "tail":
            return data + dice.randbytes(5000)
        case "cut":
            return data[:place]
        case "empty":
            return b""
        case "garbage":
            return dice.randbytes(len(data))
        case "head":
            return dice.randbytes(100) + data[100:]
    half = len(data) // 2
    return data[half:] + data[:half]


def check(directory: Path, *, at_least: int = 0) -> int:
    """Open the journal and read all of it: nothing in it is wrong, it takes new records, and it took no longer than it
    may. How many of the known records are there; the first `at_least` have to be."""
    started = time.monotonic()
    writer = JournalWriter(str(directory), Redaction(()))
    assert time.monotonic() - started < MOST_OPENING_S
    reader = Reader(str(directory))
    try:
        present = _present(writer, reader)
        assert present >= set(range(1, at_least + 1))
        for attempt in range(2):
            try:
                (row,) = writer.add([record(4711)])
                assert [found.id for found in reader.find(parse("exchange:1-1267")).rows] == [row.id]
                break
            except Exception as error:  # damage that only writing meets, after which the journal begins anew
                assert attempt == 0
                writer.begin_anew(str(error))
        return len(present)
    finally:
        reader.close()
        writer.close()


def _present(writer: JournalWriter, reader: Reader) -> set[int]:
    present: set[int] = set()
    for id in range(1, RECORDS + 1):
        kept, whole = reader.get(id), reader.whole(id)
        if kept is None or whole is None:
            continue
        expected = known(id)
        assert kept.summary.target == expected.target
        if len(whole.request.content) == kept.request_kept:
            assert encode_records([whole]) == encode_records([expected])
            present.add(id)
        else:  # its file is gone, and it says so
            assert reader.content(id, of_response=False) is None
    for row in reader.find(limit=1000).rows:
        assert row.id > RECORDS or row.target == known(row.id).target
    for row in reader.find(parse("body:own"), limit=1000).rows:
        assert row.id > RECORDS or b"own" in known(row.id).request.content
    return present
