"""Where keys come from: a file, or a URL whose answer is kept and renewed.

Fetched keys are renewed in the background once they are old, and at once when a token names one that nobody knows: that
is how an issuer brings in a new key. Anybody can invent names of keys, so the time between two fetches has a least. Old
keys go on while the issuer's server is away, for a stated time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from interpose.core.failure import Failure
from interpose.filters.authentication.keys import KeySet, read_keys
from interpose.filters.authentication.options import AuthenticationOptions
from interpose.filters.authentication.watched_file import WatchedFile

log = logging.getLogger("interpose")

MOST_BYTES = 1 << 20
RETRY_S = 1.0
"""The least time between two fetches as long as there are no keys at all."""

Fetch = Callable[[], Awaitable[bytes]]
"""The set as it is now. `Failure`, or ValueError with a sentence, when it cannot be had."""


class KeySource(Protocol):
    """Keys, and what is new about them."""

    generation: int
    """Another number with each change."""

    def look(self) -> KeySet | None:
        """The keys, None where none are good any more. Where it is time, new ones are seen to."""

    async def renew(self) -> None:
        """Wait for newer keys, unless they were asked for a moment ago."""


class FileKeys:
    """Keys in a file. Raises ValueError for one that cannot be used."""

    def __init__(self, options: AuthenticationOptions, clock: Callable[[], float] = time.monotonic) -> None:
        assert options.jwks_file is not None

        def read(path: Path) -> KeySet:
            return read_keys(content_of(path), options.algorithms, with_secrets=True)

        self._file = WatchedFile(options.jwks_file, "keys", read, len, clock)
        self.generation = 0

    def look(self) -> KeySet | None:
        """See `KeySource`."""
        self.generation += self._file.look()
        return self._file.value

    async def renew(self) -> None:
        """See `KeySource`: a changed file is seen without being asked for."""


class FetchedKeys:
    """Keys that are fetched when they are first needed, by a task that ends with its `fetch`."""

    def __init__(
        self, options: AuthenticationOptions, fetch: Fetch, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._options = options
        self._fetch = fetch
        self._clock = clock
        self._keys: KeySet | None = None
        self._content = b""
        self._fetched = 0.0
        self._next = clock()
        self._task: asyncio.Task[None] | None = None
        self._is_failing = False
        self.generation = 0

    def look(self) -> KeySet | None:
        """See `KeySource`."""
        if self._keys is None:
            return None
        age = self._clock() - self._fetched
        if age >= self._options.refresh_s:
            self._begin()
        return self._keys if age < max(self._options.stale_s, self._options.refresh_s) else None

    async def renew(self) -> None:
        """See `KeySource`."""
        task = self._begin()
        if task is not None:
            await asyncio.shield(task)  # it is for all who wait, and goes on when one of them leaves

    def _begin(self) -> asyncio.Task[None] | None:
        """The fetch that is under way, or a new one when it is time for that."""
        if self._task is None and self._clock() >= self._next:
            self._task = asyncio.get_running_loop().create_task(self._renew())
            self._task.add_done_callback(self._done)
        return self._task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("keys of %s", self._options.jwks_url, exc_info=error)

    async def _renew(self) -> None:
        least_s = self._options.least_refresh_s
        self._next = self._clock() + (least_s if self._keys is not None else min(least_s, RETRY_S))
        try:
            content = await self._fetch()
            keys = read_keys(content, self._options.algorithms, with_secrets=False)
        except (Failure, ValueError) as error:
            if not self._is_failing:
                log.warning("keys not fetched, the old ones stay: %s: %s", self._options.jwks_url, error)
            self._is_failing = True
            return
        self._next = self._clock() + least_s
        self._is_failing = False
        self._fetched = self._clock()
        if content != self._content:
            self._keys, self._content = keys, content
            self.generation += 1
            log.info("keys fetched from %s: %d", self._options.jwks_url, len(keys))


def content_of(path: Path) -> bytes:
    """The content of a file; ValueError where it cannot be had."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    if len(content) > MOST_BYTES:
        raise ValueError(f"is larger than {MOST_BYTES} bytes")
    return content
