"""The journal: records go in, come out as they were, and go when they are old or too many."""

from __future__ import annotations

import gzip
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.journal_records import STARTED, record

from interpose.core.journal import Trait
from interpose.core.query import parse
from interpose.core.record import Kind, Part, Passage, Record
from interpose.storage.journal import retention, rows, schema, shelves
from interpose.storage.journal.contents import Contents
from interpose.storage.journal.journal import JournalWriter
from interpose.storage.journal.reader import Reader
from interpose.storage.journal.redaction import Redaction
from interpose.storage.journal.text import MAX_TEXT_BYTES, text_of


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[JournalWriter]:
    writer = JournalWriter(str(tmp_path))
    yield writer
    writer.close()


@pytest.fixture
def reader(tmp_path: Path, writer: JournalWriter) -> Iterator[Reader]:
    reader = Reader(str(tmp_path))
    yield reader
    reader.close()


def files(directory: Path) -> list[Path]:
    return sorted(path for path in (directory / "contents").rglob("*") if path.is_file())


def test_numbers_grow_and_are_never_given_twice(tmp_path: Path) -> None:
    writer = JournalWriter(str(tmp_path))
    assert [row.id for row in writer.add([record(1), record(2)])] == [1, 2]
    while writer.retain(1, 0.0):
        pass
    assert writer.totals.records == 0
    writer.close()
    writer = JournalWriter(str(tmp_path))
    assert [row.id for row in writer.add([record(3)])] == [3]
    writer.close()


def test_what_was_written_is_what_is_read(writer: JournalWriter, reader: Reader) -> None:
    sent = record(7, request=Part(b"A: 1\r\n", b"hello", 500), kind=Kind.WEBSOCKET, messages_total=3, notes={"a": "b"})
    sent.messages = [Passage(0.5, True, b"hi", 2, "text")]
    (row,) = writer.add([record(7, request=sent.request, kind=sent.kind, messages_total=3, notes=sent.notes,
                                messages=list(sent.messages))])  # fmt: skip
    assert reader.find().rows == [row]
    assert (row.method, row.host, row.status, row.request_size) == ("GET", "shop.example", 200, 500)
    assert (row.messages, row.response_type, row.client, row.client_port) == (3, "text/plain", "10.0.0.7", 40007)
    assert reader.whole(row.id) == sent
    kept = reader.get(row.id)
    assert kept is not None
    assert (kept.request_kept, kept.response_kept, kept.messages_kept) == (5, 6, 1)
    assert (kept.record.request.content, kept.record.request.size, kept.record.messages) == (b"", 500, [])
    assert kept.record.attempts == sent.attempts
    assert reader.content(row.id, of_response=False) == b"hello"
    assert reader.content(row.id, of_response=True) == b"item 7"
    assert reader.messages(row.id) == sent.messages


def test_what_is_not_there_is_none(writer: JournalWriter, reader: Reader) -> None:
    assert reader.get(1) is None
    assert reader.whole(1) is None
    assert reader.content(1, of_response=True) is None
    assert reader.messages(1) is None
    assert (reader.find().rows, reader.count().count) == ([], 0)
    assert not writer.mark(1, "star")


def test_redacted_fields_are_named(writer: JournalWriter, reader: Reader) -> None:
    writer.add([record(1, request=Part(b"Cookie: secret\r\n"), response=Part(b"Set-Cookie: secret\r\n"))])
    kept = reader.get(1)
    assert kept is not None
    assert (kept.request_redacted, kept.response_redacted) == (("cookie",), ("set-cookie",))
    assert kept.record.request.fields == b"Cookie: [redacted]\r\n"
    writer.index_some()
    assert reader.find(parse("secret")).rows == []


@pytest.mark.parametrize(
    ("changes", "traits"),
    [
        ({}, Trait(0)),
        ({"failure": "dns_error"}, Trait.ERROR),
        ({"held": "abc", "notes": {"edited": "bob"}}, Trait.HELD | Trait.EDITED),
        ({"replay_of": 3}, Trait.REPLAYED),
        ({"notes": {"filter": "allow", "rule": "r", "why": "w"}}, Trait.BLOCKED),
        ({"response": Part(b"Cache-Status: interpose; hit; ttl=3\r\n")}, Trait.CACHED),
        ({"response": Part(b"cache-status: far; hit, interpose; fwd=miss\r\n")}, Trait(0)),
        ({"response": Part(b"Cache-Status: far; fwd=miss\r\nCache-Status: interpose; hit\r\n")}, Trait.CACHED),
    ],
)
def test_what_was_done_with_an_exchange_is_noted(
    writer: JournalWriter, changes: dict[str, object], traits: Trait
) -> None:
    assert writer.add([record(1, **changes)])[0].traits == traits


def test_long_contents_are_files_that_records_share(tmp_path: Path, writer: JournalWriter, reader: Reader) -> None:
    large = os.urandom(rows.INLINE_BYTES + 1)
    other = os.urandom(rows.INLINE_BYTES + 2)
    passages = [Passage(0.0, True, other, len(other))]
    writer.add([record(1, request=Part(b"", large, len(large)), response=Part(b"", large, len(large)))])
    writer.add([record(2, request=Part(b"", large, len(large)), messages=passages)])
    assert len(files(tmp_path)) == 2
    assert reader.content(1, of_response=False) == reader.content(2, of_response=False) == large
    assert reader.messages(2) == passages
    assert writer.totals.bytes > len(large) + len(other)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in [*files(tmp_path), tmp_path / "journal.db"]}
    assert modes == {0o600}


def test_a_content_that_is_not_what_it_was_is_gone(tmp_path: Path, writer: JournalWriter, reader: Reader) -> None:
    large = os.urandom(rows.INLINE_BYTES + 1)
    writer.add([record(1, request=Part(b"", large, len(large)))])
    (path,) = files(tmp_path)
    path.write_bytes(bytes([large[0] ^ 1]) + large[1:])
    assert reader.content(1, of_response=False) is None
    whole = reader.whole(1)
    assert whole is not None
    assert whole.request.content == b""
    path.unlink()
    assert reader.content(1, of_response=False) is None


def test_marks_and_comments_are_found(writer: JournalWriter, reader: Reader) -> None:
    writer.add([record(1), record(2)])
    assert writer.mark(1, "star")
    assert writer.comment(2, "look here")
    assert [(row.id, row.mark, row.comment) for row in reader.find().rows] == [(2, "", "look here"), (1, "star", "")]
    assert [row.id for row in reader.find(parse("is:marked")).rows] == [1]
    assert [row.id for row in reader.find(parse("comment:HERE")).rows] == [2]
    assert writer.mark(1, "")
    assert reader.find(parse("is:marked")).rows == []


# --- retention -------------------------------------------------------------------------------------------------------


def test_old_records_go_with_their_files_and_indexes(
    tmp_path: Path, writer: JournalWriter, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "STEP_RECORDS", 10)
    monkeypatch.setattr(shelves, "SHELF_RECORDS", 20)
    large = os.urandom(rows.INLINE_BYTES + 1)
    for start in range(0, 60, 20):
        contents = [large if number == 5 else b"x%d" % number * 3000 for number in range(start, start + 20)]
        writer.add([record(start + n, response=Part(b"", data, len(data))) for n, data in enumerate(contents)])
        assert writer.index_some(20) == 20
    writer.add([record(60, response=Part(b"", large, len(large)))])
    assert len(shelves.shelves(writer._database)) == 3
    now = STARTED + 100
    steps = []
    while step := writer.retain(0, 100 - 44.5, now):
        steps.append(step)
    assert steps == [10, 10, 10, 10, 5]
    assert [row.id for row in reader.find().rows] == [*range(61, 45, -1)]
    assert [shelf.first for shelf in shelves.shelves(writer._database)] == [41]
    assert writer.totals.records == 16
    assert len(files(tmp_path)) == 16  # what the sixth record shared with the last one is still there
    assert reader.content(61, of_response=True) == large
    assert [row.id for row in reader.find(parse("x59x59")).rows] == [60]
    writer.index_some()
    while writer.retain(0, 1.0, now + 1000):
        pass
    assert files(tmp_path) == []
    assert writer.totals.bytes < 1 << 20


def test_a_journal_keeps_within_its_size(writer: JournalWriter, reader: Reader) -> None:
    most = 4 << 20
    for start in range(0, 6000, 500):
        text = b" ".join(b"%x" % (number * 2654435761 % 2**32) for number in range(100))
        writer.add([record(start + n, response=Part(b"", text, len(text))) for n in range(500)])
        writer.index_some()
        while writer.retain(most, 0.0):
            pass
        assert writer.totals.bytes <= most
    assert 500 < writer.totals.records < 6000
    assert reader.find().rows[0].id == 6000
    database = Path(writer.directory, "journal.db")
    deadline = time.monotonic() + 20
    while database.stat().st_size > 2 * most and time.monotonic() < deadline:
        writer.retain(most, 0.0)
        writer._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert database.stat().st_size <= 2 * most


def test_files_that_no_record_has_are_swept(tmp_path: Path, writer: JournalWriter) -> None:
    contents = writer.contents
    known, forgotten, young = (os.urandom(9000) for _ in range(3))
    writer.add([record(1, request=Part(b"", known, 9000))])
    digests = [contents.put(forgotten), contents.put(young)]
    (tmp_path / "contents" / "ab").mkdir(exist_ok=True)
    (tmp_path / "contents" / "ab" / "half.4711").write_bytes(b"torn")
    for path in files(tmp_path):
        if path.name != digests[1].hex():
            os.utime(path, (0, 0))
    assert sum(contents.sweep(writer._knows) for _ in range(256)) == 2
    assert contents.get(digests[0]) is None
    assert contents.get(digests[1]) == young
    assert len(files(tmp_path)) == 2


# --- texts -----------------------------------------------------------------------------------------------------------


def test_a29_a_bomb_is_undone_no_further_than_its_bound() -> None:
    bomb = gzip.compress(b"a" * (64 << 20))
    fields = b"Content-Encoding: gzip\r\n"
    started = time.process_time()
    assert len(text_of(Part(fields, bomb, len(bomb)))) == MAX_TEXT_BYTES
    nested = gzip.compress(bomb)
    assert len(text_of(Part(fields, nested, len(nested)))) <= len(bomb)
    twice = text_of(Part(b"Content-Encoding: gzip, gzip\r\n", nested, len(nested)))
    assert len(twice) <= len(nested)
    assert time.process_time() - started < 1.0


def test_a_content_that_was_cut_is_text_as_far_as_it_goes() -> None:
    whole = gzip.compress(os.urandom(30000).hex().encode())
    text = text_of(Part(b"content-encoding: GZIP\r\n", whole[:20000], len(whole)))
    assert 20000 < len(text) < 60000


# --- the directory ---------------------------------------------------------------------------------------------------


def test_two_processes_never_write_to_one_journal(tmp_path: Path, writer: JournalWriter) -> None:
    with pytest.raises(ValueError, match="in use by another process"):
        JournalWriter(str(tmp_path))


def test_a_directory_that_must_not_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is not a directory"):
        JournalWriter(str(tmp_path / "file"))
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(ValueError, match="chmod go-w"):
        JournalWriter(str(tmp_path / "open"))


def test_each_migration_leads_to_the_next_version(tmp_path: Path) -> None:
    database = schema.open_writer(str(tmp_path / "a.db"))
    assert database.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
    assert database.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    database.execute("PRAGMA user_version = 999")
    database.close()
    with pytest.raises(schema.NewerSchema, match="version 999"):
        schema.open_writer(str(tmp_path / "a.db"))


def test_without_a_place_for_files_a_record_is_kept_without_them() -> None:
    sent: Record = record(1, request=Part(b"", b"x" * 9000, 9000))
    made = rows.rows_of(1, sent, ((), ()), None)
    assert made.blobs == []
    stored = rows.stored_of(*made.kept)
    assert stored is not None
    assert rows.whole(stored, Contents("/nowhere")).request == Part(b"", b"", 9000)


def test_secrets_can_be_kept(tmp_path: Path) -> None:
    writer = JournalWriter(str(tmp_path / "j"), Redaction(()))
    writer.add([record(1, request=Part(b"Cookie: a=b\r\n"))])
    reader = Reader(str(tmp_path / "j"))
    assert [row.id for row in reader.find(parse("cookie.a:b")).rows] == [1]
    reader.close()
    writer.close()
