"""Questions to a running instance, over the Unix socket in its state directory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

MAX_ANSWER_BYTES = 16 << 20
CONNECT_TIMEOUT_S = 2.0


class NoAnswer(Exception):
    """An instance that cannot be asked, or whose answer makes no sense: one sentence."""


class Answer(NamedTuple):
    """The status of an answer and the JSON in it."""

    status: int
    content: Any


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


async def ask(control: Path, method: str, path: str, timeout_s: float, content: bytes = b"") -> Answer:
    """Send one request, with JSON as its content or with none, and give the answer. Raises `NoAnswer`."""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_unix_connection(str(control), limit=MAX_ANSWER_BYTES)
            try:
                # HTTP/1.0: the answer comes without chunks and ends with the connection.
                head = f"{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
                writer.write(head.encode() + content)
                data = await reader.read(MAX_ANSWER_BYTES)
                while more := await reader.read(MAX_ANSWER_BYTES):
                    data += more
            finally:
                writer.close()
    except TimeoutError:
        raise NoAnswer(f"it did not answer within {timeout_s:g} s.") from None
    except OSError as error:
        raise NoAnswer(f"{control} cannot be asked: {(error.strerror or str(error)).lower()}.") from None
    first, separator, received = data.partition(b"\r\n\r\n")
    words = first.split(b" ", 2)
    try:
        return Answer(int(words[1]), msgspec.json.decode(received))
    except (IndexError, ValueError):
        what = "ended before its answer did" if not separator else "gave an answer that makes no sense"
        raise NoAnswer(f"it {what}.") from None
