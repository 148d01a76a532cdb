"""(in the supervisor) Counting for all workers: the limits' `Service`.

Workers say what their limits allow before they ask, so a reload needs nothing here. A worker that is killed cannot say
that its exchanges have ended: once a second its process is looked for. What the day has used up is written down every
few seconds and at the end, for the next run.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from interpose.core.limit_book import LimitBook, Verdict
from interpose.engine.limit_words import Asked, Told, decode_asked, encode_told
from interpose.storage.durable import replace_file

log = logging.getLogger("interpose")

LOOK_S = 1.0
WRITE_S = 5.0
FILE = "limits.json"
LARGEST_FILE_BYTES = 64 << 20


class DayBytes(msgspec.Struct):
    """What is written down: the day (since 1970, UTC), and the bytes of each key of each limit."""

    day: int
    limits: Mapping[str, Mapping[str, int]]


class LimitOffice:
    """See the module. `directory` is the instance's, for what is written down; None: nothing is."""

    def __init__(
        self,
        directory: Path | None,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        is_alive: Callable[[str], bool] | None = None,
    ) -> None:
        self.books: dict[str, LimitBook] = {}
        self._directory = directory
        self._monotonic = monotonic
        self._wall = wall
        self._is_alive = is_alive or process_is_alive
        self._flows: dict[tuple[str, str], Counter[str]] = {}
        self._owners: set[str] = set()
        self._earlier = DayBytes(-1, {})
        self._has_changed = False
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """See `config.office.Service`."""
        if self._directory is not None:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._earlier = written(self._directory / FILE)
        self._task = asyncio.get_running_loop().create_task(self._look())

    async def begin(self, instance: Any) -> None:
        """See `config.office.Service`."""

    async def close(self) -> None:
        """See `config.office.Service`."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
        if (content := self._content()) is not None:
            self._write(content)

    async def answer(self, topic: str, question: bytes) -> bytes:
        """See `config.office.Service`."""
        return encode_told(self.told(decode_asked(question)))

    def told(self, asked: Asked) -> Told:
        """The answer to a worker."""
        owner, now = asked.owner, self._monotonic()
        self._owners.add(owner)
        for name, terms, max_keys in asked.terms:
            book = self.books.get(name)
            if book is None:
                book = self.books[name] = LimitBook(terms, max_keys)
                book.at(self._wall())
                book.restore(self._earlier.day, self._earlier.limits.get(name, {}))
            book.terms = terms
        if asked.running is not None:
            for book in self.books.values():
                book.forget(owner)
            for name, key, count in asked.running:
                if (known := self.books.get(name)) is not None:
                    known.restore_running(key, owner, count)
        for name, key in asked.releases:
            if (known := self.books.get(name)) is not None:
                known.release(key, owner)
        flows = [self._flow(owner, name, key, size, count) for name, key, size, count in asked.flows]
        return Told([self._take(name, key, now, owner) for name, key in asked.takes], flows)

    def _take(self, name: str, key: str, now: float, owner: str) -> Verdict:
        return self.books[name].take(key, now, owner)

    def _flow(self, owner: str, name: str, key: str, size: int, count: int) -> tuple[bool, float]:
        """Note what a worker has passed of a key; whether that is used up, and its share of the bytes a second."""
        book = self.books.get(name)
        if book is not None and size and book.terms.bytes_per_day:
            book.spend(key, size)
            self._has_changed = True
        flow = self._flows.setdefault((name, key), Counter())
        flow[owner] = count
        if not count:
            del flow[owner]
        total = flow.total()
        if not total:
            del self._flows[name, key]
        return book is not None and book.is_used_up(key), count / total if total else 1.0

    async def _look(self) -> None:
        next_write = self._monotonic() + WRITE_S
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                self.look()
                if self._monotonic() >= next_write:
                    next_write = self._monotonic() + WRITE_S
                    if (content := self._content()) is not None:
                        await asyncio.to_thread(self._write, content)
            except Exception:
                log.exception("the limits could not be looked after")

    def look(self) -> None:
        """Forget what dead workers had under way, and begin the new day."""
        for owner in [owner for owner in self._owners if not self._is_alive(owner)]:
            self._owners.discard(owner)
            for book in self.books.values():
                book.forget(owner)
            for place, flow in list(self._flows.items()):
                del flow[owner]
                if not flow:
                    del self._flows[place]
        for book in self.books.values():
            self._has_changed = book.at(self._wall()) or self._has_changed

    def _content(self) -> bytes | None:
        """What is to be written down; None when that has not changed."""
        if self._directory is None or not self._has_changed:
            return None
        self._has_changed = False
        used = {name: book.used for name, book in self.books.items()}
        day = max((day for day, _ in used.values()), default=-1)
        return msgspec.json.encode(DayBytes(day, {name: sizes for name, (_, sizes) in used.items() if sizes}))

    def _write(self, content: bytes) -> None:
        """Write it down. What cannot be written is said, and counting goes on."""
        assert self._directory is not None
        try:
            with opened(self._directory) as directory:
                replace_file(directory, FILE, content)
        except OSError as error:
            log.warning("the bytes of the day cannot be written down in %s: %s", self._directory, error.strerror)


def written(path: Path) -> DayBytes:
    """What an earlier run has written down; nothing where that cannot be read."""
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise ValueError(f"it is larger than {LARGEST_FILE_BYTES} bytes")
        return msgspec.json.decode(path.read_bytes(), type=DayBytes)
    except FileNotFoundError:
        return DayBytes(-1, {})
    except (OSError, ValueError, msgspec.DecodeError) as error:
        log.warning("%s is of no use, and limits count the bytes of this day from now on: %s", path, error)
        return DayBytes(-1, {})


@contextlib.contextmanager
def opened(directory: Path) -> Iterator[int]:
    """A descriptor of a directory."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def process_is_alive(owner: str) -> bool:
    """Whether the process is there whose number an owner begins with."""
    try:
        os.kill(int(owner.partition(".")[0]), 0)
    except ProcessLookupError:
        return False
    return True
