"""Questions to a control socket, and answers that are whole, cut off or nonsense."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from interpose.cli import flow_follow
from interpose.cli.control_client import NoAnswer, ask, asked, reviewer


@asynccontextmanager
async def listening(directory: Path, answer: bytes | None, heard: list[bytes] | None = None) -> AsyncIterator[Path]:
    """A control socket that answers every question with these octets, or (None) never."""
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        with contextlib.suppress(ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            content = await reader.readexactly(size)
            if heard is not None:
                heard.append(head + content)
            if answer is None:
                await reader.read()
            writer.write(answer or b"")
            writer.close()
            await writer.wait_closed()

    path = directory / "control.sock"
    async with await asyncio.start_unix_server(serve, str(path)):
        yield path
        await asyncio.gather(*serving)


async def test_a_question_says_who_asks(tmp_path: Path) -> None:
    heard: list[bytes] = []
    async with listening(tmp_path, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", heard) as control:
        answer = await ask(control, "PUT", "/v1/x", 5, b"[1]", {"If-Match": '"7"'})
    assert (answer.status, answer.content) == (200, {})
    head, _, content = heard[0].partition(b"\r\n\r\n")
    assert content == b"[1]"
    assert head.split(b"\r\n") == [
        b"PUT /v1/x HTTP/1.0", b"Host: localhost", b"Content-Length: 3", b"Interpose-Reviewer: " + reviewer().encode(),
        b'If-Match: "7"',
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "it ended before its answer did."),
        (b"HTTP/1.1 200 OK\r\n", "it ended before its answer did."),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", "it ended before its answer did."),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{", "it gave an answer that makes no sense."),
        (b"HTTP/1.1 OK\r\n\r\n{}", "it gave an answer that makes no sense."),
        (b"220 mail\r\n\r\n", "it gave an answer that makes no sense."),
    ],
)
async def test_an_answer_that_is_none_is_said(tmp_path: Path, answer: bytes, why: str) -> None:
    async with listening(tmp_path, answer) as control:
        with pytest.raises(NoAnswer) as error:
            await ask(control, "GET", "/v1/x", 5)
    assert str(error.value) == why


async def test_a_question_goes_out_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who refuses by the head alone, and closes, is heard: nothing is left to be written into the closed socket."""
    written: list[bytes] = []

    class Refusing:
        """A socket whose other end answers the first piece and takes no second one."""

        def write(self, data: bytes) -> None:
            if written:
                raise BrokenPipeError
            written.append(data)

        def close(self) -> None:
            pass

    async def connect(path: str, limit: int) -> tuple[asyncio.StreamReader, Refusing]:
        reader = asyncio.StreamReader()
        reader.feed_data(b"HTTP/1.0 404 Not Found\r\nContent-Length: 2\r\n\r\n{}")
        reader.feed_eof()
        return reader, Refusing()

    monkeypatch.setattr(asyncio, "open_unix_connection", connect)
    answer = await ask(Path("control.sock"), "POST", "/v1/x", 5, b'{"query": null}')
    assert answer.status == 404
    assert written[0].endswith(b'\r\n\r\n{"query": null}')


async def test_nobody_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(NoAnswer, match="cannot be asked: no such file"):
        await ask(tmp_path / "none", "GET", "/v1/x", 5)


async def test_silence_has_an_end(tmp_path: Path) -> None:
    async with listening(tmp_path, None) as control:
        with pytest.raises(NoAnswer, match=r"did not answer within 0\.05 s"):
            await ask(control, "GET", "/", 0.05)


async def test_an_error_of_who_asks_is_not_one_of_the_instance(tmp_path: Path) -> None:
    async with listening(tmp_path, b"HTTP/1.1 200 OK\r\n\r\n{}") as control:
        with pytest.raises(BrokenPipeError):
            async with asked(control, "GET", "/v1/x"):
                raise BrokenPipeError


async def test_a_file_is_sent_whole(tmp_path: Path) -> None:
    heard: list[bytes] = []
    data = bytes(range(256)) * 4000
    async with (
        listening(tmp_path, b"HTTP/1.1 200 OK\r\n\r\n{}", heard) as control,
        asked(control, "POST", "/v1/x", io.BytesIO(data)) as received,
    ):
        assert await received.content() == b"{}"
    assert heard[0].endswith(data)


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_events_are_read_however_they_come(size: int) -> None:
    text = (
        b"retry: 2000\n\nid: a-1\nevent: flow\ndata: {\"id\":1}\n\n: still here\n\n"
        b"event: dropped\ndata: {\"count\":3}\n\nid: a-9\nevent: flow\ndata: {\"id\":9}\n\nid: a-10\nevent: fl"
    )  # fmt: skip

    class Pieces:
        async def pieces(self) -> AsyncIterator[bytes]:
            for start in range(0, len(text), size):
                yield text[start : start + size]

    found = [event async for events in flow_follow.happenings(Pieces()) for event in events]  # type: ignore[arg-type]
    assert found == [("flow", {"id": 1}), ("dropped", {"count": 3}), ("flow", {"id": 9})]
