"""What was found out, kept for a while: a keyed digest of credentials, and never the credentials."""

from __future__ import annotations

import hashlib
import os
from typing import Generic, TypeVar

T = TypeVar("T")

MOST_REMEMBERED = 4096


class Remembered(Generic[T]):
    """What is known by digest, until a time of the caller's clock. Bounded: when it is full it forgets everything."""

    def __init__(self) -> None:
        self._keyed = hashlib.blake2b(key=os.urandom(32), digest_size=32)
        self._known: dict[bytes, tuple[T, float]] = {}

    def digest(self, value: bytes) -> bytes:
        """Tells credentials apart without keeping them: a MAC by keyed BLAKE2b, a tenth of the time of HMAC."""
        mac = self._keyed.copy()
        mac.update(value)
        return mac.digest()

    def get(self, digest: bytes, now: float) -> T | None:
        """What is known, None when that is nothing any more."""
        found = self._known.get(digest)
        return found[0] if found is not None and found[1] > now else None

    def keep(self, digest: bytes, known: T, until: float) -> None:
        """Know this until then."""
        if len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
        self._known[digest] = known, until

    def clear(self) -> None:
        """Forget everything."""
        self._known.clear()
