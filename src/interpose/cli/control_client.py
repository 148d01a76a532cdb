"""Questions to a running instance, over the Unix socket in its state directory."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import quote

import msgspec

MAX_ANSWER_BYTES = 16 << 20
CONNECT_TIMEOUT_S = 2.0
PIECE_BYTES = 1 << 18


class NoAnswer(Exception):
    """An instance that cannot be asked, or whose answer makes no sense: one sentence."""


class Answer(NamedTuple):
    """The status of an answer and the JSON in it."""

    status: int
    content: Any


class Received:
    """An answer whose content is still to come. The names of `fields` are in lower case."""

    def __init__(self, status: int, fields: Mapping[str, str], reader: asyncio.StreamReader) -> None:
        self.status = status
        self.fields = fields
        self._reader = reader

    async def pieces(self) -> AsyncIterator[bytes]:
        """The content as it comes. NoAnswer when it ends before its end, as far as one is known."""
        length = self.fields.get("content-length", "")
        left = int(length) if length.isascii() and length.isdecimal() else None
        try:
            while data := await self._reader.read(PIECE_BYTES):
                yield data
                left = None if left is None else left - len(data)
        except ConnectionError:
            raise NoAnswer("it ended before its answer did.") from None
        if left:
            raise NoAnswer("it ended before its answer did.")

    async def content(self) -> bytes:
        """All of it."""
        return b"".join([piece async for piece in self.pieces()])


def control_sockets(state_dir: Path) -> list[Path]:
    """Where instances with that state directory can be asked, dead or alive."""
    return sorted(state_dir.glob("*/control.sock"))


async def running_instances(controls: Iterable[Path]) -> list[str]:
    """The names of the instances that accept on their control sockets; those left behind by dead ones do not count."""
    found = []
    for control in controls:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, writer = await asyncio.open_unix_connection(str(control))
            writer.close()
            found.append(control.parent.name)
    return found


async def ask(
    control: Path,
    method: str,
    path: str,
    timeout_s: float,
    content: bytes = b"",
    fields: Mapping[str, str] | None = None,
) -> Answer:
    """Send one request, with JSON as its content or with none, and give the answer. Raises `NoAnswer`."""
    try:
        async with asyncio.timeout(timeout_s), asked(control, method, path, content, fields) as received:
            data = await received.content()
    except TimeoutError:
        raise NoAnswer(f"it did not answer within {timeout_s:g} s.") from None
    try:
        return Answer(received.status, msgspec.json.decode(data))
    except ValueError:
        raise NoAnswer("it gave an answer that makes no sense.") from None


@asynccontextmanager
async def asked(
    control: Path,
    method: str,
    path: str,
    content: bytes | BinaryIO = b"",
    fields: Mapping[str, str] | None = None,
) -> AsyncIterator[Received]:
    """Send one request, with octets or a file as its content; the head of the answer. Raises `NoAnswer`."""
    writer: asyncio.StreamWriter | None = None
    size = len(content) if isinstance(content, bytes) else content.seek(0, 2)
    lines = {"Host": "localhost", "Content-Length": str(size), "Interpose-Reviewer": reviewer(), **(fields or {})}
    # HTTP/1.0: the answer comes without chunks and ends with the connection.
    head = f"{method} {path} HTTP/1.0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    try:
        try:
            reader, writer = await asyncio.open_unix_connection(str(control), limit=MAX_ANSWER_BYTES)
            await _write(writer, f"{head}\r\n".encode(), content)
            received = await _received(reader)
        except OSError as error:
            raise NoAnswer(f"{control} cannot be asked: {(error.strerror or str(error)).lower()}.") from None
        yield received
    finally:
        if writer is not None:
            writer.close()


def reviewer() -> str:
    """The name of whoever runs this command, percent-encoded: what the desk knows them by."""
    try:
        return quote(getpass.getuser(), safe="")
    except (KeyError, OSError):  # a user without a name
        return "somebody"


async def _write(writer: asyncio.StreamWriter, head: bytes, content: bytes | BinaryIO) -> None:
    if isinstance(content, bytes):
        # In one piece: a refusal that follows the head at once must not meet content that is still to be written.
        writer.write(head + content)
        return
    writer.write(head)
    content.seek(0)
    with contextlib.suppress(ConnectionError):  # it has refused the rest, and says why
        while piece := await asyncio.to_thread(content.read, PIECE_BYTES):
            writer.write(piece)
            await writer.drain()


async def _received(reader: asyncio.StreamReader) -> Received:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        raise NoAnswer("it ended before its answer did.") from None
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    words = first.split(" ", 2)
    if len(words) < 2 or not (words[1].isascii() and words[1].isdecimal()):
        raise NoAnswer("it gave an answer that makes no sense.")
    named = (line.partition(":") for line in lines)
    return Received(int(words[1]), {name.lower(): value.strip(" \t") for name, _, value in named}, reader)
