"""The thread that writes: whatever the disk does, whoever gives it records goes on."""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.journal_records import STARTED, record

from interpose.core.journal import Summary
from interpose.core.query import parse
from interpose.core.record import Part, encode_records
from interpose.storage.journal import thread as thread_module
from interpose.storage.journal.journal import JournalWriter
from interpose.storage.journal.reader import Reader
from interpose.storage.journal.thread import JournalThread, count_of

PATIENCE_S = 20.0


def batch(*numbers: int) -> bytes:
    return encode_records([record(number) for number in numbers])


def until(holds: Callable[[], bool]) -> None:
    """Return when it holds. (The thread has a clock of its own; nothing here depends on how fast it is.)"""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.005)


@pytest.mark.parametrize("count", [0, 1, 15, 16, 70000])
def test_the_records_of_a_batch_are_counted_without_reading_it(count: int) -> None:
    small = encode_records([record(1, attempts=[], request=Part(), response=Part())])[1:]
    head = bytes([0x90 | count]) if count < 16 else b"\xdc" + count.to_bytes(2, "big") if count < 1 << 16 else (
        b"\xdd" + count.to_bytes(4, "big"))  # fmt: skip
    assert count_of(head + small * count) == count
    assert count_of(b"") == 0


def test_what_is_offered_is_written_and_told(tmp_path: Path) -> None:
    told: list[Summary] = []
    thread = JournalThread(str(tmp_path), on_written=told.extend)
    assert thread.offer(batch(1, 2))
    assert thread.offer(batch(3))
    thread.close()
    assert [(row.id, row.exchange) for row in told] == [(1, "1-1"), (2, "1-2"), (3, "1-3")]
    assert (thread.written, thread.dropped) == (3, 0)
    reader = Reader(str(tmp_path))
    assert [row.id for row in reader.find().rows] == [3, 2, 1]
    reader.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a priority for each thread")
def test_it_steps_behind_who_moves_traffic(tmp_path: Path) -> None:
    thread = JournalThread(str(tmp_path))
    own = os.getpriority(os.PRIO_PROCESS, 0)
    niceness = thread.call(lambda writer: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
    assert niceness.result(PATIENCE_S) == min(19, own + 5)
    assert os.getpriority(os.PRIO_PROCESS, 0) == own
    thread.close()


def test_marks_and_comments_wait_for_what_was_offered_before(tmp_path: Path) -> None:
    thread = JournalThread(str(tmp_path))
    thread.offer(batch(1))
    assert thread.mark(1, "star").result(PATIENCE_S)
    assert thread.comment(1, "so it is").result(PATIENCE_S)
    assert not thread.mark(2, "star").result(PATIENCE_S)
    thread.close()
    with pytest.raises(OSError, match="closed"):
        thread.mark(1, "").result(PATIENCE_S)
    assert not thread.offer(batch(2))
    assert thread.dropped == 1


def test_what_does_not_fit_into_the_queue_is_dropped_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on, has_begun = threading.Event(), threading.Event()
    add = JournalWriter.add

    def slowly(self: JournalWriter, records: list[object]) -> object:
        has_begun.set()
        assert may_go_on.wait(PATIENCE_S)
        return add(self, records)  # type: ignore[arg-type]

    monkeypatch.setattr(JournalWriter, "add", slowly)
    one = batch(1)
    thread = JournalThread(str(tmp_path), queue_bytes=3 * len(one))
    thread.offer(one)
    assert has_begun.wait(PATIENCE_S)
    assert [thread.offer(one) for _ in range(5)] == [True, True, True, False, False]
    may_go_on.set()
    thread.close()
    assert (thread.written, thread.dropped) == (4, 2)


def test_a_batch_that_is_none_is_dropped(tmp_path: Path) -> None:
    thread = JournalThread(str(tmp_path))
    thread.offer(b"\x92nonsense")
    thread.offer(batch(1))
    thread.close()
    assert (thread.written, thread.dropped) == (1, 2)


def test_text_is_indexed_when_there_is_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_module, "INDEX_S", 0.0)
    thread = JournalThread(str(tmp_path))
    thread.offer(batch(*range(1, 31)))
    until(lambda: thread.totals.indexed == 30)
    assert thread.index_lag_s == 0.0
    thread.close()
    assert thread.late == 0


def test_what_an_earlier_run_did_not_index_is_indexed_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = JournalWriter(str(tmp_path))
    writer.add([record(number) for number in range(1, 31)])
    writer.close()
    monkeypatch.setattr(thread_module, "INDEX_S", 0.0)
    thread = JournalThread(str(tmp_path))
    until(lambda: thread.totals.indexed == 30)
    thread.close()


def test_text_is_indexed_in_time_however_much_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_module, "INDEX_RECORDS", 50)
    monkeypatch.setattr(thread_module, "COMMIT_S", 0.0)
    thread = JournalThread(str(tmp_path))
    sent = 0
    deadline = time.monotonic() + PATIENCE_S
    while thread.totals.indexed == 0 and time.monotonic() < deadline:
        if thread.offer(batch(sent)):
            sent += 1
        else:
            time.sleep(0.001)  # it is never idle, but needs the interpreter to itself now and then
    assert thread.totals.indexed > 0
    thread.close()


def test_old_records_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_module, "TEND_S", 0.0)
    thread = JournalThread(str(tmp_path), max_age_s=60.0)
    young = record(3, started=time.time() + 3600)
    thread.offer(encode_records([record(1, started=STARTED - 1e8), young]))
    reader = Reader(str(tmp_path))
    until(lambda: [row.id for row in reader.find().rows] == [2])
    reader.close()
    thread.close()


# --- trouble ---------------------------------------------------------------------------------------------------------


def test_f6_a_full_disk_costs_records_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_module, "ASIDE_S", 0.0)
    thread = JournalThread(str(tmp_path))
    thread.offer(batch(1))
    most = thread.call(
        lambda writer: writer._number(f"PRAGMA max_page_count = {writer._number('PRAGMA page_count') + 2}")
    ).result(PATIENCE_S)
    assert most > 2
    before = thread.dropped
    for number in range(2, 60):
        thread.offer(encode_records([record(number, request=Part(b"", b"x" * 8000, 8000))]))
        if thread.dropped > before:
            break
        until(lambda number=number: thread.written + thread.dropped == number)  # type: ignore[misc]
    assert thread.dropped > before
    reader = Reader(str(tmp_path))
    assert reader.find().rows[-1].id == 1
    thread.call(lambda writer: writer._database.execute("PRAGMA max_page_count = 1000000").fetchone()).result(
        PATIENCE_S
    )
    written = thread.written
    thread.offer(batch(99))
    until(lambda: thread.written == written + 1)
    assert reader.find().rows[0].exchange == "1-63"
    reader.close()
    thread.close()


def test_f6_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_module, "ASIDE_S", 0.0)
    thread = JournalThread(str(tmp_path))
    large = record(1, request=Part(b"", os.urandom(9000), 9000), response=Part(b"", os.urandom(9000), 9000))
    data = encode_records([large])
    written = []

    def full(descriptor: int, view: memoryview) -> int:
        written.append(len(view))
        if len(written) > 1:
            raise OSError(28, "No space left on device")
        return real(descriptor, view)

    real = os.write
    monkeypatch.setattr(os, "write", full)
    thread.offer(data)
    until(lambda: thread.dropped == 1)
    monkeypatch.setattr(os, "write", real)
    thread.offer(data)
    until(lambda: thread.written == 1)
    thread.close()
    assert len([path for path in (tmp_path / "contents").rglob("*") if path.is_file()]) == 2


def test_f8_a_database_that_is_damaged_while_it_is_open_is_set_aside(tmp_path: Path) -> None:
    thread = JournalThread(str(tmp_path))
    thread.offer(batch(1))
    assert thread.mark(1, "").result(PATIENCE_S)

    def damage(writer: JournalWriter) -> None:
        writer._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = (tmp_path / "journal.db").stat().st_size
        (tmp_path / "journal.db").write_bytes(b"\xff" * size)
        writer._database.execute("PRAGMA shrink_memory")
        error = sqlite3.DatabaseError("database disk image is malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error

    with pytest.raises(OSError, match="malformed"):
        thread.call(damage).result(PATIENCE_S)
    thread.offer(batch(2))
    assert thread.mark(2, "star").result(PATIENCE_S)
    thread.close()
    reader = Reader(str(tmp_path))
    assert [(row.id, row.mark) for row in reader.find(parse("mark:star")).rows] == [(2, "star")]
    reader.close()
    assert [path.name for path in tmp_path.iterdir() if ".corrupt-" in path.name]


def test_a_directory_that_cannot_be_used_now_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_module, "ASIDE_S", 0.0)
    connect = sqlite3.connect
    fails = threading.Event()
    fails.set()

    def broken(*arguments: object, **options: object) -> sqlite3.Connection:
        if fails.is_set():
            raise sqlite3.OperationalError("unable to open database file")
        return connect(*arguments, **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(sqlite3, "connect", broken)
    thread = JournalThread(str(tmp_path))
    thread.offer(batch(1))
    until(lambda: thread.dropped == 1)
    with pytest.raises(OSError, match="cannot be used now"):
        thread.mark(1, "").result(PATIENCE_S)
    fails.clear()
    thread.offer(batch(2))
    until(lambda: thread.written == 1)
    thread.close()


def test_a_directory_that_must_not_be_used_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is not a directory"):
        JournalThread(str(tmp_path / "file"))
