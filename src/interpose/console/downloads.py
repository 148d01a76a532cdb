"""Octets that somebody else has made, given away as a file and as nothing else: no browser shows or runs them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

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
    """Some pieces at a time: going to another thread costs more than reading a short one."""
    try:
        while batch := await asyncio.to_thread(_some, pieces):
            yield batch
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            await asyncio.to_thread(close)


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
