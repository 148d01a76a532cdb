"""A file that is read again when it changes, and whose old content stays when the new one is broken."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from interpose.storage.file_signature import signature

log = logging.getLogger("interpose")

LOOK_S = 1.0

T = TypeVar("T")


class WatchedFile(Generic[T]):
    """What `read` makes of a file; ValueError, one sentence per line of it, where it makes nothing of it.

    `value` is what counts now. `what` is what the log calls it, `count` how many of them there are.
    """

    def __init__(
        self, path: str, what: str, read: Callable[[Path], T], count: Callable[[T], int], clock: Callable[[], float]
    ) -> None:
        self._path = Path(path)
        self._what = what
        self._read = read
        self._count = count
        self._clock = clock
        self._seen = signature(self._path)
        self._next_look = clock() + LOOK_S
        self.value = read(self._path)

    def look(self) -> bool:
        """Read the file again if it changed, at most once a second; whether there is a new value."""
        now = self._clock()
        if now < self._next_look:
            return False
        self._next_look = now + LOOK_S
        seen = signature(self._path)
        if seen == self._seen:
            return False
        self._seen = seen
        try:
            self.value = self._read(self._path)
        except ValueError as error:
            problems = str(error).replace("\n", "; ")
            log.warning("%s not read again, the old ones stay: %s: %s", self._what, self._path, problems)
            return False
        log.info("%s read again from %s: %d", self._what, self._path, self._count(self.value))
        return True
