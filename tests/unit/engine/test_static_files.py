"""Answers with files: fields, conditions, ranges, memory, large contents."""

from __future__ import annotations

import asyncio
import errno
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from email import message_from_bytes
from pathlib import Path

import pytest

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure
from interpose.core.fields import Fields
from interpose.core.handler import Answered
from interpose.core.message import Request, Response
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Target
from interpose.engine.static_files import FilesOptions, StaticFiles
from interpose.protocol.media_types import media_type_of
from interpose.storage import site as site_module

TEXT = b"0123456789" * 10
LARGE = bytes(range(256)) * 4096


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(site_module, "SETTLED_S", 0.0)
    (tmp_path / "text.txt").write_bytes(TEXT)
    (tmp_path / "large.bin").write_bytes(LARGE)
    (tmp_path / "page.html").write_text("<p>page")
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "index.html").write_text("<p>app")
    return tmp_path


@pytest.fixture
def files(root: Path, threads: Executor) -> Callable[..., StaticFiles]:
    clock = Clock()

    def make(**options: object) -> StaticFiles:
        made = StaticFiles(FilesOptions(root=str(root), **options), threads, clock, wall=lambda: 2e9)  # type: ignore[arg-type]
        made.test_clock = clock  # type: ignore[attr-defined]
        return made

    return make


def asked(path: str, *fields: tuple[str, str], method: str = "GET", query: str | None = None) -> Request:
    return Request(method, Target(Form.ORIGIN, "http", Authority("a"), path, query), Fields(fields))


def exchange() -> Exchange:
    return Exchange(1, 0, "web", Address("10.0.0.7", 1), 0.0)


async def answer(
    handler: StaticFiles, path: str, *fields: tuple[str, str], method: str = "GET"
) -> tuple[Response, bytes]:
    response = await handler(exchange(), asked(path, *fields, method=method))
    length = response.body.length
    content = b"".join([chunk async for chunk in response.body])
    assert length == len(content)
    return response, content


async def test_a_file_is_answered_with_its_type_and_validators(files: Callable[..., StaticFiles]) -> None:
    handler = files()
    response, content = await answer(handler, "/text.txt")
    assert (response.status, content) == (200, TEXT)
    names = [name for name, _ in response.fields]
    assert names == ["Content-Type", "ETag", "Last-Modified", "Accept-Ranges", "X-Content-Type-Options"]
    assert response.fields["Content-Type"] == "text/plain; charset=utf-8"
    assert re.fullmatch(r'"[0-9a-f]+-64"', response.fields["ETag"]) is not None
    large, content = await answer(handler, "/large.bin")
    assert (large.fields["Content-Type"], content) == ("application/octet-stream", LARGE)
    head, content = await answer(handler, "/text.txt", method="HEAD")
    assert (head.status, content, head.declared_length, head.fields) == (200, b"", 100, response.fields)
    head, content = await answer(handler, "/large.bin", method="HEAD")
    assert (head.declared_length, head.fields) == (len(LARGE), large.fields)


async def test_what_is_small_is_answered_at_once_until_it_is_looked_at_again(
    files: Callable[..., StaticFiles], root: Path
) -> None:
    handler = files()
    await answer(handler, "/page.html")
    (root / "page.html").write_text("<p>new page")
    at_once = handler(exchange(), asked("/page.html"))
    assert isinstance(at_once, Answered)
    assert at_once.response.body.take() == b"<p>page"
    handler.test_clock.now += 1.1  # type: ignore[attr-defined]
    assert (await answer(handler, "/page.html"))[1] == b"<p>new page"
    (root / "page.html").unlink()
    handler.test_clock.now += 1.1  # type: ignore[attr-defined]
    with pytest.raises(Failure) as raised:
        await answer(handler, "/page.html")
    assert raised.value.status == 404


async def test_memory_is_bounded(files: Callable[..., StaticFiles], root: Path) -> None:
    handler = files(memory_bytes=100_000)
    for number in range(50):
        (root / f"{number}.bin").write_bytes(bytes(20_000))
        await answer(handler, f"/{number}.bin")
    assert handler._used <= 100_000
    assert len(handler._ready) == 4
    handler = files(memory_bytes=0)
    await answer(handler, "/text.txt")
    assert (handler._used, handler._ready) == (0, {})


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_files_are_for_reading(files: Callable[..., StaticFiles], method: str) -> None:
    response = await files()(exchange(), asked("/text.txt", method=method))
    assert (response.status, response.fields["Allow"]) == (405, "GET, HEAD")


async def test_conditions_are_judged(files: Callable[..., StaticFiles]) -> None:
    handler = files()
    whole, _ = await answer(handler, "/text.txt")
    tag, date = whole.fields["ETag"], whole.fields["Last-Modified"]
    for path in ("/text.txt", "/large.bin"):
        whole, _ = await answer(handler, path)
        tag, date = whole.fields["ETag"], whole.fields["Last-Modified"]
        for fields in (("If-None-Match", f'"x", W/{tag}'), ("If-Modified-Since", date), ("If-None-Match", "*")):
            response, content = await answer(handler, path, fields)
            assert (response.status, content) == (304, b"")
            assert [name for name, _ in response.fields] == ["ETag", "Last-Modified"]
        for fields in (("If-Match", '"x"'), ("If-Unmodified-Since", "Mon, 01 Jan 1990 00:00:00 GMT")):
            assert (await answer(handler, path, fields))[0].status == 412
        for fields in (("If-None-Match", '"x"'), ("If-Match", tag), ("If-Modified-Since", "never")):
            assert (await answer(handler, path, fields))[0].status == 200


async def test_a_file_that_was_changed_just_now_has_a_weak_tag(
    files: Callable[..., StaticFiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_module, "SETTLED_S", 3600.0)
    response, _ = await answer(files(), "/text.txt")
    assert response.fields["ETag"].startswith('W/"')
    parts, content = await answer(files(), "/text.txt", ("Range", "bytes=0-1"), ("If-Range", response.fields["ETag"]))
    assert (parts.status, content) == (200, TEXT)


@pytest.mark.parametrize("path", ["/text.txt", "/large.bin"])
@pytest.mark.parametrize(
    ("range_", "first", "last"),
    [("0-0", 0, 0), ("1-3", 1, 3), ("90-", 90, None), ("-5", -5, None), ("5-99999999999999999999", 5, None),
     ("0-10,5-20", 0, 20), ("0-10, 11-20", 0, 20)],
)  # fmt: skip
async def test_a_part_is_answered(
    files: Callable[..., StaticFiles], path: str, range_: str, first: int, last: int | None
) -> None:
    data = TEXT if path == "/text.txt" else LARGE
    response, content = await answer(files(), path, ("Range", f"bytes={range_}"))
    assert response.status == 206
    assert content == data[first : None if last is None else last + 1]
    start = first % len(data)
    assert response.fields["Content-Range"] == f"bytes {start}-{start + len(content) - 1}/{len(data)}"


@pytest.mark.parametrize("path", ["/text.txt", "/large.bin"])
async def test_several_parts_are_answered_in_one(files: Callable[..., StaticFiles], path: str) -> None:
    data = TEXT if path == "/text.txt" else LARGE
    response, content = await answer(files(), path, ("Range", "bytes=70-79, 0-4, -3"))
    assert response.status == 206
    mail = message_from_bytes(b"Content-Type: " + response.fields["Content-Type"].encode() + b"\r\n\r\n" + content)
    parts = [(part["Content-Range"], part.get_payload(decode=True)) for part in mail.get_payload()]
    size = len(data)
    assert parts == [
        (f"bytes 70-79/{size}", data[70:80]), (f"bytes 0-4/{size}", data[:5]),
        (f"bytes {size - 3}-{size - 1}/{size}", data[-3:]),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("range_", "status"),
    [("bytes=" + ",".join(f"{n}-{n}" for n in range(0, 18, 2)), 200), ("bytes=100-", 416), ("bytes=-0", 416),
     ("bytes=5-1", 200), ("lines=0-1", 200), ("bytes=", 200), ("bytes=a-b", 200), ("bytes=--1", 200),
     ("bytes=" + "0-," * 1000, 200), ("bytes=99999999999999999999999-", 416), ("bytes=0-,0-,0-,0-", 206),
     ("bytes=+1-2", 200), ("bytes=0x1-2", 200), ("bytes=\xb2-3", 200)],
)  # fmt: skip
async def test_a31_no_range_makes_more_than_there_is(
    files: Callable[..., StaticFiles], range_: str, status: int
) -> None:
    response, content = await answer(files(), "/text.txt", ("Range", range_))
    assert (response.status, len(content) <= len(TEXT)) == (status, True)
    if status == 416:
        assert response.fields["Content-Range"] == "bytes */100"


async def test_the_best_version_is_chosen_and_caches_are_told(files: Callable[..., StaticFiles], root: Path) -> None:
    (root / "page.html.br").write_bytes(b"brotli")
    (root / "page.html.gz").write_bytes(b"gzip")
    handler = files()
    seen = {}
    for accept, coding, content in [
        ("gzip, br", "br", b"brotli"), ("gzip", "gzip", b"gzip"), ("br;q=0, *", "gzip", b"gzip"),
        ("", None, b"<p>page"),
    ]:  # fmt: skip
        response, got = await answer(handler, "/page.html", *([("Accept-Encoding", accept)] if accept else []))
        assert (response.fields.get("Content-Encoding"), got) == (coding, content)
        assert response.fields["Vary"] == "Accept-Encoding"
        assert response.fields["Content-Type"] == "text/html; charset=utf-8"
        seen[response.fields["ETag"]] = coding
    assert len(seen) == 3
    plain, _ = await answer(handler, "/text.txt", ("Accept-Encoding", "br"))
    assert "Vary" not in plain.fields
    none, _ = await answer(files(precompressed=()), "/page.html", ("Accept-Encoding", "br"))
    assert none.fields.get("Content-Encoding") is None


async def test_a_directory_is_answered_with_its_index_or_a_list_or_not_at_all(
    files: Callable[..., StaticFiles], root: Path
) -> None:
    assert (await answer(files(), "/app/"))[1] == b"<p>app"
    response = await files()(exchange(), asked("/app", query="x=1"))
    assert (response.status, response.fields["Location"]) == (301, "./app/?x=1")
    with pytest.raises(Failure) as raised:
        await answer(files(index=()), "/app/")
    assert raised.value.status == 404
    (root / "app" / "a&b.txt").write_text("12")
    (root / "app" / "javascript:alert(1)").mkdir()
    response, content = await answer(files(index=(), listing=True), "/app/")
    assert b'<a href="./a%26b.txt">a&amp;b.txt</a> 2 bytes' in content
    assert b'<a href="./javascript%3Aalert%281%29/">javascript:alert(1)/</a>' in content
    assert b'<a href="../">' in content
    assert response.fields["Content-Security-Policy"].startswith("default-src 'none'")


async def test_names_are_tried_in_turn(files: Callable[..., StaticFiles]) -> None:
    handler = files(tries=("{path}.html", "/app/index.html"))
    assert (await answer(handler, "/page"))[1] == b"<p>page"
    for _ in range(2):
        response, content = await answer(handler, "/any/route")
        assert (content, response.fields["Content-Type"]) == (b"<p>app", "text/html; charset=utf-8")


async def test_a_file_that_becomes_shorter_breaks_off_and_is_no_whole_answer(
    files: Callable[..., StaticFiles], root: Path
) -> None:
    response = await files()(exchange(), asked("/large.bin"))
    assert response.body.length == len(LARGE)
    os.truncate(root / "large.bin", 300_000)
    with pytest.raises(Failure, match="shorter"):
        await response.body.read(len(LARGE))


async def test_who_leaves_leaves_no_file_open(files: Callable[..., StaticFiles]) -> None:
    handler = files()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        response = await handler(exchange(), asked("/large.bin"))
        await response.body.next_chunk()
        response.body.close()
        parts = await handler(exchange(), asked("/large.bin", ("Range", "bytes=0-9,20-29")))
        parts.body.close()
        task = asyncio.ensure_future(handler(exchange(), asked("/large.bin")))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        del response, parts, task
    await asyncio.get_running_loop().run_in_executor(handler._threads, int)
    await asyncio.get_running_loop().run_in_executor(handler._threads, int)
    assert len(os.listdir("/proc/self/fd")) <= before


async def test_what_may_not_be_read_is_403_and_what_the_disk_cannot_give_500(
    files: Callable[..., StaticFiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    for error, status in ((errno.EACCES, 403), (errno.EPERM, 403), (errno.EIO, 500), (errno.ENOENT, 404)):

        def refuse(*given: object, error: int = error) -> None:
            raise OSError(error, os.strerror(error))

        monkeypatch.setattr(site_module, "_opened", refuse)
        with pytest.raises(Failure) as raised:
            await answer(files(), "/text.txt")
        assert raised.value.status == status


@pytest.mark.parametrize(
    ("path", "media_type"),
    [("/a.html", "text/html; charset=utf-8"), ("/a.JSON", "application/json"), ("/a.tar.gz", "application/gzip"),
     ("/a", "application/octet-stream"), ("/.html", "application/octet-stream"), ("/a.b/c", "application/octet-stream"),
     ("/a.css", "text/css; charset=utf-8"), ("/a.mine", "application/octet-stream")],
)  # fmt: skip
def test_media_types_go_by_endings(path: str, media_type: str) -> None:
    assert media_type_of(path) == media_type
