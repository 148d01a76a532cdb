"""What may happen to a journal's files: damage (F8), and the end of the process at any moment (F9)."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support import journal_world
from tests.support.journal_records import record
from tests.support.journal_world import RECORDS, check, fill, known, mutated, mutations

from interpose.core.query import parse
from interpose.core.record import Part, encode_records
from interpose.storage.journal import retention, rows, schema
from interpose.storage.journal.journal import JournalWriter
from interpose.storage.journal.reader import Reader
from interpose.storage.journal.redaction import Redaction
from interpose.storage.journal.thread import JournalThread


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("filled")
    fill(directory)
    return directory


def test_an_undamaged_journal_has_everything(filled: Path, tmp_path: Path) -> None:
    shutil.copytree(filled, tmp_path / "j")
    assert check(tmp_path / "j", at_least=RECORDS) == RECORDS


def test_f8_a_damaged_journal_opens_and_says_nothing_wrong(filled: Path, tmp_path: Path) -> None:
    counts = []
    for number, (kind, dice) in enumerate(mutations(27)):
        directory = tmp_path / str(number)
        shutil.copytree(filled, directory)
        database = directory / "journal.db"
        database.write_bytes(mutated(database.read_bytes(), kind, dice))
        counts.append(check(directory))
        shutil.rmtree(directory)
    assert 0 in counts
    assert any(count > 0 for count in counts)


def test_f8_text_that_is_none_any_more_costs_its_record_only(filled: Path, tmp_path: Path) -> None:
    shutil.copytree(filled, tmp_path / "j")
    database = tmp_path / "j" / "journal.db"
    database.write_bytes(
        database.read_bytes().replace(b"https://shop.example/item/7?", b"https://sho\xff.example/item/7?")
    )
    reader = Reader(str(tmp_path / "j"))
    assert [row.id for row in reader.find(limit=1000).rows] == [id for id in range(RECORDS, 0, -1) if id != 7]
    assert reader.get(7) is None
    reader.close()


def test_f8_an_octet_changed_in_a_record_is_noticed(filled: Path, tmp_path: Path) -> None:
    shutil.copytree(filled, tmp_path / "j")
    database = tmp_path / "j" / "journal.db"
    data = database.read_bytes()
    place = data.index(b"X-Number: 7\r\n")
    database.write_bytes(data[:place] + b"Y" + data[place + 1 :])
    reader = Reader(str(tmp_path / "j"))
    assert reader.get(7) is None
    assert reader.get(8) is not None
    reader.close()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE state SET value = 'text'",
        "INSERT INTO seen VALUES ('nonsense', 1), ('status', '1); DROP TABLE flow')",
        "DROP TABLE seen",
        "UPDATE shelf SET first = 'x', newest = 'y'",
        "UPDATE flow SET target = x'ff', started = 'never'",
        "UPDATE kept SET record = 7",
        "DROP TABLE words_1",
    ],
)
def test_f8_tables_that_are_not_what_they_were_are_survived(filled: Path, tmp_path: Path, change: str) -> None:
    shutil.copytree(filled, tmp_path / "j")
    database = sqlite3.connect(tmp_path / "j" / "journal.db")
    database.execute(change)
    database.commit()
    database.close()
    thread = JournalThread(str(tmp_path / "j"))
    thread.offer(encode_records([record(99)]))
    thread.mark(1, "star").exception(20)
    assert thread.written + thread.dropped == 1
    thread.close()
    reader = Reader(str(tmp_path / "j"))
    for query in (None, parse("method:GET"), parse("status:200"), parse("firefox"), parse("age:>1s")):
        with contextlib.suppress(sqlite3.Error):
            assert all(row.target == known(row.id).target for row in reader.find(query).rows if row.id <= RECORDS)
    reader.close()


@pytest.mark.parametrize("name", ["journal.db", "journal.db-wal"])
def test_f8_what_is_no_file_is_an_error_and_no_hang(filled: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(filled, tmp_path / "j")
    path = tmp_path / "j" / name
    path.unlink(missing_ok=True)
    path.mkdir()
    with pytest.raises((OSError, sqlite3.Error)):
        JournalWriter(str(tmp_path / "j"))


def test_f8_a_database_of_something_else_is_set_aside(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "journal.db")
    other.execute("CREATE TABLE flow (something TEXT)")
    other.commit()
    other.close()
    assert check(tmp_path) == 0
    assert len([path for path in tmp_path.iterdir() if ".corrupt-" in path.name]) == 1


def test_f8_a_schema_that_is_not_even_text_is_damage(filled: Path, tmp_path: Path) -> None:
    shutil.copytree(filled, tmp_path / "j")
    database = tmp_path / "j" / "journal.db"
    data = database.read_bytes()
    assert b"CREATE TABLE flow (" in data
    database.write_bytes(data.replace(b"CREATE TABLE flow (", b"CREATE TABLE \xc9low ("))
    reader = Reader(str(tmp_path / "j"))
    assert reader.find().rows == []
    reader.close()
    assert check(tmp_path / "j") == 0


def test_f8_a_newer_journal_is_set_aside_and_not_changed(filled: Path, tmp_path: Path) -> None:
    shutil.copytree(filled, tmp_path / "j")
    database = sqlite3.connect(tmp_path / "j" / "journal.db")
    database.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    database.close()
    assert check(tmp_path / "j") == 0
    (aside,) = (tmp_path / "j").glob(f"journal.db.version-{schema.VERSION + 1}-*[0-9]")
    kept = sqlite3.connect(aside)
    assert kept.execute("SELECT count(*) FROM flow").fetchone() == (RECORDS,)
    kept.close()


# --- the end at any moment -------------------------------------------------------------------------------------------


class Points:
    """Ends the process, as a kill does, at the `last`-th of the calls that it was told of."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.count = 0

    def wrap(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            if self.count == self.last:
                os._exit(7)
            return call(*arguments, **options)

        return counted


class Database(sqlite3.Connection):
    """A connection whose changes are such calls."""

    points: Points

    def execute(self, sql: str, *rest: Any) -> sqlite3.Cursor:
        if sql.startswith(("BEGIN", "COMMIT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "PRAGMA incremental")):
            return self.points.wrap(super().execute)(sql, *rest)  # type: ignore[no-any-return]
        return super().execute(sql, *rest)

    def executemany(self, sql: str, rows: Any) -> sqlite3.Cursor:
        return self.points.wrap(super().executemany)(sql, rows)  # type: ignore[no-any-return]


def live(directory: Path, points: Points, written: int, patch: pytest.MonkeyPatch) -> None:
    """A life of a journal: records come, some with files, are indexed, and the oldest go. Tells what is committed."""
    Database.points = points
    connect = sqlite3.connect
    patch.setattr(sqlite3, "connect", lambda *rest, **options: connect(*rest, **{**options, "factory": Database}))
    patch.setattr(retention, "STEP_RECORDS", 2)
    write = os.write
    for name in ("write", "rename", "unlink"):
        patch.setattr(os, name, points.wrap(getattr(os, name)))
    writer = JournalWriter(str(directory), Redaction(()))
    for number in range(1, 7, 2):
        rows = writer.add([known(number), known(number + 1)])
        write(written, b"%d " % rows[-1].id)
        writer.index_some(2)
    writer.retain(1, 0.0)
    writer.close()
    os._exit(0)


def lives(directory: Path) -> Iterator[tuple[int, int, int]]:
    """A life for each moment at which it may end: its status, the last number it knew to be committed, the moment."""
    for last in range(1, 400):
        place = directory / str(last)
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            try:
                os.close(reading)
                with pytest.MonkeyPatch.context() as patch:
                    live(place, Points(last), writing, patch)
            finally:
                os._exit(1)
        os.close(writing)
        with open(reading, "rb") as file:
            told = file.read().split()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        yield status, int(told[-1]) if told else 0, last
        if status == 0:
            return
        shutil.rmtree(place, ignore_errors=True)


def test_f9_whenever_the_process_ends_what_was_committed_is_there_and_nothing_is_torn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_world, "RECORDS", 6)
    ended = 0
    for status, committed, last in lives(tmp_path):
        assert status in (0, 7), f"the life that was to end at call {last} failed"
        ended += status == 7
        if committed:
            gone = 2 if committed == 6 else 0  # the oldest may have been removed by then
            present = check(tmp_path / str(last))
            assert present >= committed - gone
    assert ended > 30


def test_f9_a_file_without_its_record_does_no_harm(tmp_path: Path) -> None:
    writer = JournalWriter(str(tmp_path))
    content = b"x" * (rows.INLINE_BYTES + 1)
    writer.contents.put(content)  # the process ended before the record was committed
    writer.add([record(1, request=Part(b"", content, len(content)))])
    assert writer._number("SELECT uses FROM blob") == 1
    while writer.retain(1, 0.0):
        pass
    assert not [path for path in (tmp_path / "contents").rglob("*") if path.is_file()]
    writer.close()
