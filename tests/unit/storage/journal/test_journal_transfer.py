"""A journal is taken elsewhere as lines of JSON; what is taken in is looked at."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
from tests.support.journal_records import record

from interpose.core.query import parse
from interpose.core.record import Kind, Part, Passage, encode_records
from interpose.storage.journal import transfer
from interpose.storage.journal.journal import JournalWriter
from interpose.storage.journal.reader import Reader
from interpose.storage.journal.transfer import BadExport, entries, exported, take_in

HEADING = b'{"format":"interpose-journal","version":1}\n'


def import_into(directory: Path, data: bytes) -> Reader:
    writer = JournalWriter(str(directory))
    for batch in entries(io.BytesIO(data)):
        take_in(writer, batch)
    writer.close()
    return Reader(str(directory))


def test_an_exported_journal_is_the_same_where_it_is_taken_in(tmp_path: Path) -> None:
    writer = JournalWriter(str(tmp_path / "a"))
    large = os.urandom(20000)
    writer.add(
        [
            record(1, request=Part(b"Cookie: secret\r\n", b"\0\xff", 2), notes={"a": "é"}),
            record(2, response=Part(b"", large, 90000)),
            record(3, kind=Kind.TCP, messages=[Passage(0.5, True, b"\xfe", 1)], messages_total=1),
        ]
    )
    writer.mark(2, "star")
    writer.comment(3, "look")
    reader = Reader(str(tmp_path / "a"))
    lines = list(exported(reader))
    assert lines[0] == HEADING
    assert [json.loads(line)["id"] for line in lines[1:]] == [1, 2, 3]
    assert b"secret" not in b"".join(lines)
    copy = import_into(tmp_path / "b", b"".join(lines))
    for id in (1, 2, 3):
        ours, theirs = reader.whole(id), copy.whole(id)
        assert ours is not None
        assert theirs is not None
        assert encode_records([theirs]) == encode_records([ours])
    assert copy.find().rows == reader.find().rows
    kept = copy.get(1)
    assert kept is not None
    assert kept.request_redacted == ("cookie",)
    reader.close()
    copy.close()
    writer.close()


def test_an_export_may_have_a_query(tmp_path: Path) -> None:
    writer = JournalWriter(str(tmp_path))
    writer.add([record(number) for number in range(1, 30)])
    reader = Reader(str(tmp_path))
    lines = list(exported(reader, parse("id:>=10 id:<=12")))
    assert [json.loads(line)["id"] for line in lines[1:]] == [10, 11, 12]
    reader.close()
    writer.close()


def test_a_long_export_is_taken_in_by_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "BATCH_RECORDS", 2)
    line = transfer.msgspec.json.encode(transfer.Entry(record(1))) + b"\n"
    assert [len(batch) for batch in entries(io.BytesIO(HEADING + line * 5))] == [2, 2, 1]


LINE = transfer.msgspec.json.encode(transfer.Entry(record(1))) + b"\n"


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "line 1 does not say"),
        (b"{}\n", "line 1 does not say"),
        (b"\xff\xfe\n", "line 1 does not say"),
        (b'{"format":"har","version":1}\n', "line 1 does not say"),
        (b'{"format":"interpose-journal","version":2}\n', "version 2"),
        (HEADING + b"nonsense\n", "line 2 is no record"),
        (HEADING + b'{"record":[1]}\n', "line 2 is no record"),
        (HEADING + b'{"record":' + b"[" * 100_000 + b"\n", "line 2 is no record"),
        (HEADING + LINE + LINE[:-20], "line 3 is not whole"),
        (HEADING + LINE.replace(b"40001", b"9" * 30), "line 2 is no record|too large"),
        (HEADING + LINE.replace(b"40001", b"1" + b"0" * 18), None),
        (HEADING + LINE.replace(b"40001", b"1" + b"0" * 19), "too large"),
        (HEADING + LINE.replace(b'"proxy"', b'"\\ud800"'), "line 2 is no record"),
    ],
)
def test_what_is_no_export_is_refused_with_the_line(tmp_path: Path, data: bytes, complaint: str | None) -> None:
    if complaint is None:
        import_into(tmp_path, data).close()
        return
    with pytest.raises(BadExport, match=complaint):
        import_into(tmp_path, data)


def test_a_line_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "MAX_LINE_BYTES", 1000)
    with pytest.raises(BadExport, match="line 2 is longer than 1000 octets"):
        list(entries(io.BytesIO(HEADING + b"x" * 1001)))
