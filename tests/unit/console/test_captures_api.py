"""Captures and archives by the API."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from tests.support.console import Console
from tests.support.journal_records import record
from tests.support.tshark import complaints, fields

from interpose.console import transfer
from interpose.core.record import Part, Try


async def test_a_capture_has_what_the_query_means(console: Console, tmp_path: Path) -> None:
    await console.record(*(record(number) for number in range(3)))
    answer = await console.control.get("/flows/export?format=pcapng&q=path:/item/1")
    assert answer.fields["content-type"] == "application/x-pcapng"
    assert answer.fields["content-disposition"] == 'attachment; filename="interpose-flows.pcapng"'
    file = tmp_path / "it.pcapng"
    file.write_bytes(answer.content)
    assert complaints(file) == []
    assert fields(file, "http.request", "http.request.uri") == [("https://shop.example/item/1?page=1",)]


async def test_long_contents_are_in_a_capture_as_well(console: Console, tmp_path: Path) -> None:
    content = b"long " * 10_000
    await console.record(record(0, response=Part(b"", content, len(content), 0.2)))
    file = tmp_path / "it.pcapng"
    file.write_bytes((await console.control.get("/flows/export?format=pcapng")).content)
    assert fields(file, "http.response && frame.interface_name == clients", "http.content_length") == [("50000",)]
    assert complaints(file) == []


async def test_an_export_begins_after_a_number(console: Console) -> None:
    await console.record(*(record(number) for number in range(4)))
    lines = (await console.control.get("/flows/export?after=2")).content.splitlines()
    assert [msgspec.json.decode(line)["id"] for line in lines[1:]] == [3, 4]


async def test_an_archive_is_taken_in(console: Console) -> None:
    await console.record(*(record(number) for number in range(3)))
    archive = (await console.control.get("/flows/export?format=har")).content
    assert len(json.loads(archive)["log"]["entries"]) == 3
    for mark in (b"", b"\xef\xbb\xbf \n"):  # some programs write a byte order mark
        taken = await console.control.ask("POST", "/flows/import", mark + archive)
        assert taken.json == {"imported": 3}
    assert (await console.control.get("/flows/count?q=listener:har")).json["count"] == 6


async def test_an_archive_that_is_not_whole_leaves_nothing_behind(console: Console) -> None:
    await console.record(record())
    archive = (await console.control.get("/flows/export?format=har")).content
    for bad in (archive[:-9], archive.replace(b'"method":"GET"', b'"method":5'), b'{"log":{}}'):
        answer = await console.control.ask("POST", "/flows/import", bad)
        assert answer.status == 422, bad
        assert "Nothing was taken in." in answer.json["errors"][0]
    assert (await console.control.get("/flows/count")).json["count"] == 1


async def test_an_archive_has_a_limit(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "MAX_FILE_BYTES", 1 << 20)
    answer = await console.control.ask("POST", "/flows/import", b'{"log":' + bytes(1 << 20))
    assert (answer.status, answer.json["errors"]) == (
        413,
        ["The HAR file is longer than 1 MiB; take it in in parts."],
    )


@pytest.mark.parametrize("kind", ["pcapng", "har"])
async def test_a37_no_secret_leaves_in_a_capture(console: Console, kind: str) -> None:
    secret = b"Authorization: Bearer s3cret\r\nCookie: id=s3cret\r\n"
    head = b"GET / HTTP/1.1\r\nHost: shop.example\r\n" + secret + b"\r\n"
    attempt = Try(
        "https://shop.example", 0.01, 0.02, 0.1, ("10.1.1.1", 5555), ("192.0.2.9", 443), head=head, status=200
    )
    answered = Part(b"Set-Cookie: id=s3cret\r\n", b"ok", 2, 0.2)
    await console.record(record(0, request=Part(secret), response=answered, attempts=[attempt]))
    answer = await console.control.get(f"/flows/export?format={kind}")
    assert b"[redacted]" in answer.content
    assert b"s3cret" not in answer.content


async def test_there_are_no_other_formats(console: Console) -> None:
    answer = await console.control.get("/flows/export?format=tar")
    assert answer.json["errors"] == ["There is no format 'tar'; there are journal, pcapng, har."]
