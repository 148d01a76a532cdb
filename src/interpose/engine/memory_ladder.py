"""What a worker gives up as its memory nears the limit, step by step, long before the kernel ends it.

Each level includes the ones below it. A level is taken as soon as its threshold is reached and left only well below
it, so that a worker at the threshold does not change its mind every second.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Callable

from interpose.protocol.number import decimal


class MemoryLevel(enum.IntEnum):
    """What to give up."""

    OK = 0
    """Nothing."""
    SHED = 1
    """Idle keep-alive connections: their clients open new ones elsewhere."""
    REFUSE = 2
    """New requests: they get 503."""
    STOP = 3
    """New connections: they wait in the kernel's queue or at another worker."""
    RECYCLE = 4
    """The process: the supervisor starts another, then this one drains."""


THRESHOLDS: tuple[tuple[float, MemoryLevel], ...] = (
    (0.85, MemoryLevel.SHED),
    (0.92, MemoryLevel.REFUSE),
    (0.95, MemoryLevel.STOP),
    (1.00, MemoryLevel.RECYCLE),
)
"""Fractions of the limit at which levels begin."""

SLACK = 0.03
"""A level is left when the fraction is so far below its threshold."""


def level_at(fraction: float, before: MemoryLevel = MemoryLevel.OK) -> MemoryLevel:
    """The level at `fraction` of the limit, coming from the level `before`."""
    level = MemoryLevel.OK
    for threshold, candidate in THRESHOLDS:
        if fraction >= threshold or (candidate <= before and fraction > threshold - SLACK):
            level = candidate
    return level


def resident_bytes(path: str = "/proc/self/statm") -> int:
    """The memory this process occupies now; 0 where the system does not say."""
    try:
        with open(path, "rb") as file:
            pages = decimal(file.read(256).split(b" ")[1])
    except (OSError, IndexError):
        return 0
    return (pages or 0) * os.sysconf("SC_PAGESIZE")


class Ladder:
    """The level of one process, looked at once a second."""

    def __init__(self, limit_bytes: int, read: Callable[[], int] = resident_bytes) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self.level = MemoryLevel.OK
        self._read = read

    def look(self) -> MemoryLevel:
        """The level now. Without a limit it is always OK."""
        self.used_bytes = self._read()
        if self.limit_bytes > 0:
            self.level = level_at(self.used_bytes / self.limit_bytes, self.level)
        else:
            self.level = MemoryLevel.OK
        return self.level
