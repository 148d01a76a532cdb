"""Octets that somebody else has made, given away as a file and as nothing else: no browser shows or runs them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Generator, Iterator

from starlette.responses import Response, StreamingResponse

_BATCH_BYTES = 1 << 18

FIELDS = {
    "Content-Disposition": "attachment",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


def download(data: bytes, name: str, *, is_cut: bool = False, tag: str = "") -> Response:
    """`data` as the file `name` (letters, digits, dots and dashes of ours)."""
    return Response(data, headers=_fields(name, is_cut, tag), media_type="application/octet-stream")


def streamed(pieces: Iterator[bytes], name: str, media_type: str = "application/octet-stream") -> Response:
    """The same of a content that is read while it is sent, by another thread than the loop's."""
    return StreamingResponse(batches(pieces), headers=_fields(name), media_type=media_type)


async def batches(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Some pieces at a time: going to another thread costs more than reading a short one. `pieces` (a generator) is
    closed when nobody wants more of it."""
    reading = _Reading(pieces)
    try:
        while batch := await asyncio.to_thread(reading.some):
            yield batch
    finally:
        reading.close()


class _Reading:
    """Pieces that are read by one thread after the other. Whoever leaves does not wait for one that still reads: it
    closes them itself when it is done."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._lock = threading.Lock()
        self._is_over = False

    def some(self) -> bytes:
        """The next pieces, b"" at the end."""
        try:
            with self._lock:
                return b"" if self._is_over else _some(self._pieces)
        finally:
            if self._is_over:
                self.close()

    def close(self) -> None:
        """No more is wanted."""
        self._is_over = True
        if isinstance(self._pieces, Generator) and self._lock.acquire(blocking=False):
            try:
                self._pieces.close()
            finally:
                self._lock.release()


def _some(pieces: Iterator[bytes]) -> bytes:
    taken: list[bytes] = []
    size = 0
    for piece in pieces:
        taken.append(piece)
        size += len(piece)
        if size >= _BATCH_BYTES:
            break
    return b"".join(taken)


def _fields(name: str, is_cut: bool = False, tag: str = "") -> dict[str, str]:
    fields = {**FIELDS, "Content-Disposition": f'attachment; filename="{name}"'}
    if is_cut:
        fields["X-Content-Cut"] = "true"
    if tag:
        fields["ETag"] = f'"{tag}"'
    return fields
