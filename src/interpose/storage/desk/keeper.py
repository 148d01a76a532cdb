"""(in a worker) Keeps the content of a message that is about to be held: small in memory, large in a file on the disk.

Disk is waited for on one thread, one thing after the other, so that a file is never closed under a write whose waiter
was cancelled.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from interpose.core.body import EMPTY, Body
from interpose.core.failure import Failure, Side
from interpose.core.hold import INLINE_BYTES, Content
from interpose.storage.desk.contents import IncomingFile
from interpose.storage.reading import body_of

T = TypeVar("T")

PIECE_BYTES = 1 << 20
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class ContentKeeper:
    """Contents of at most `most_bytes`, for the desk in `directory`."""

    def __init__(self, directory: str, most_bytes: int) -> None:
        self._directory = directory
        self._most = most_bytes
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="holding")

    async def keep(self, body: Body, id: str) -> Content:
        """All of `body`; above 64 KiB in a file that is written and synced when this returns.

        Raises the body's own `Failure` where it breaks off, one with 413 when it is too large, one with 507 when the
        disk does not take it; nothing is left of it then.
        """
        if body is EMPTY:
            return Content()
        if body.length is not None and body.length > self._most:
            body.close()
            raise self._too_large()
        chunks: list[bytes] = []
        size = 0
        while chunk := await body.next_chunk():
            chunks.append(chunk)
            size += len(chunk)
            if size > INLINE_BYTES:
                return await self._keep_in_file(body, id, b"".join(chunks))
        return Content.of(b"".join(chunks))

    async def _keep_in_file(self, body: Body, id: str, waiting: bytes) -> Content:
        file: IncomingFile | None = None
        try:
            file = await self._blocking(IncomingFile, self._directory, id)
            while waiting:
                if file.size + len(waiting) > self._most:
                    raise self._too_large()
                await self._blocking(file.write, waiting)
                waiting = await body.next_chunk()
            return await self._blocking(file.finish)
        except BaseException as error:
            body.close()
            if file is not None:
                self._blocking(file.discard)
            if isinstance(error, OSError):
                raise _not_stored(error) from error
            raise

    async def is_sound(self, content: Content) -> bool:
        """Whether it is what its digest says."""
        if not content.file:
            return hashlib.sha256(content.data).digest() == content.sha256
        try:
            return await self._blocking(_digest_of, content.file) == content.sha256
        except OSError:
            return False

    async def octets(self, content: Content) -> bytes:
        """All of it, for what is small by nature. `Failure` when its file is gone."""
        if not content.file:
            return content.data
        try:
            return await self._blocking(_octets_of, content.file)
        except OSError as error:
            raise _not_stored(error) from error

    def close(self) -> None:
        """No more comes."""
        self._thread.shutdown(wait=False)

    def _blocking(self, function: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    def _too_large(self) -> Failure:
        why = f"The content is larger than the {self._most} bytes that can be held."
        return Failure("http_request_error", Side.DOWNSTREAM, why, status=413)


def body_of_content(content: Content) -> Body:
    """A body of what was kept, for one reader. `Failure` when the file is gone."""
    if not content.size:
        return EMPTY
    if not content.file:
        return Body(content.data)
    try:
        descriptor = os.open(content.file, _OPEN)
    except OSError as error:
        why = f"What was held cannot be read: {error.strerror}."
        raise Failure("proxy_internal_error", Side.INTERNAL, why) from error
    return body_of(
        lambda place, limit: os.pread(descriptor, limit, place), 0, content.size - 1, lambda: os.close(descriptor)
    )


def _octets_of(path: str) -> bytes:
    with os.fdopen(os.open(path, _OPEN), "rb") as file:
        return file.read()


def _digest_of(path: str) -> bytes:
    sha256 = hashlib.sha256()
    with os.fdopen(os.open(path, _OPEN), "rb", buffering=0) as file:
        while piece := file.read(PIECE_BYTES):
            sha256.update(piece)
    return sha256.digest()


def _not_stored(error: OSError) -> Failure:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        why = "The disk has no room for what is to be held."
        return Failure("proxy_internal_error", Side.INTERNAL, why, status=507)
    return Failure("proxy_internal_error", Side.INTERNAL, f"What is to be held cannot be stored: {error.strerror}.")
