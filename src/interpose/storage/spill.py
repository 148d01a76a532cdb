"""Octets that do not fit into memory, in temporary files without a name, dropped from the front as they are read.

The place of an octet is its number in the whole content. Each segment of the content has a file of its own, opened when
its first octet comes and closed when its last one is dropped, so an endless content with a reader that is always a
little behind needs no endless file. Everything here blocks, for as long as the page cache takes.
"""

from __future__ import annotations

import errno
import logging
import os
import tempfile
import time
from typing import IO

log = logging.getLogger("interpose")

SEGMENT_BYTES = 64 << 20
COMPLAIN_S = 60.0


class SpillSpace:
    """What all spills of a worker may take together, and where: `max_bytes` in `directory` (None: where the system has
    its temporary files). `used` octets are in files now; `refused` counts writes that the bound or the disk did not
    take."""

    __slots__ = ("_next_complaint", "directory", "max_bytes", "refused", "segment_bytes", "used")

    def __init__(
        self, directory: str | None = None, max_bytes: int = 1 << 32, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        self.directory = directory
        self.max_bytes = max_bytes
        self.segment_bytes = segment_bytes
        self.used = 0
        self.refused = 0
        self._next_complaint = 0.0

    def complain(self, error: OSError) -> None:
        """Count a write that failed, and log it once in a while."""
        self.refused += 1
        if time.monotonic() >= self._next_complaint:
            self._next_complaint = time.monotonic() + COMPLAIN_S
            where = self.directory or tempfile.gettempdir()
            log.warning("content waits for its slowest reader: %s takes no more of it: %s", where, error.strerror)


class Spill:
    """The octets from `start` to before `end`, in files of `space`."""

    __slots__ = ("_files", "_sizes", "_space", "end", "start")

    def __init__(self, space: SpillSpace, start: int) -> None:
        self.start = self.end = start
        self._space = space
        self._files: dict[int, IO[bytes]] = {}
        self._sizes: dict[int, int] = {}

    def append(self, data: bytes | memoryview) -> None:
        """The next octets. Raises OSError when the bound or the disk does not take them: none of them is there then."""
        if self._space.used + len(data) > self._space.max_bytes:
            raise OSError(errno.EDQUOT, f"the limit is {self._space.max_bytes} bytes")
        place, view = self.end, memoryview(data)
        while view:
            number, offset = divmod(place, self._space.segment_bytes)
            written = os.pwrite(self._file(number), view[: self._space.segment_bytes - offset], offset)
            self._sizes[number] += written
            self._space.used += written
            place += written
            view = view[written:]
        self.end = place

    def read(self, place: int, limit: int) -> bytes:
        """From 1 to `limit` octets at `place`, which is between `start` and `end`. Raises OSError when it cannot."""
        number, offset = divmod(place, self._space.segment_bytes)
        limit = min(limit, self._space.segment_bytes - offset, self.end - place)
        data = os.pread(self._file(number), limit, offset)
        if not data:
            raise OSError(errno.EIO, f"the temporary file ends before octet {place}")
        return data

    def drop(self, place: int) -> None:
        """Nobody reads what is before `place` any more. (Space is freed segment by segment.)"""
        if place <= self.start:
            return
        for number in range(self.start // self._space.segment_bytes, place // self._space.segment_bytes):
            self._close(number)
        self.start = place
        self.end = max(self.end, place)

    def close(self) -> None:
        """Drop everything."""
        for number in tuple(self._files):
            self._close(number)
        self.start = self.end

    def _file(self, number: int) -> int:
        file = self._files.get(number)
        if file is None:
            file = tempfile.TemporaryFile(buffering=0, dir=self._space.directory)  # noqa: SIM115 - closed by `_close`
            self._files[number] = file
            self._sizes[number] = 0
        return file.fileno()

    def _close(self, number: int) -> None:
        file = self._files.pop(number, None)
        if file is not None:
            file.close()
            self._space.used -= self._sizes.pop(number)
