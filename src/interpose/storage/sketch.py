"""About how often keys were asked for lately, in memory of a fixed size: a count-min sketch that ages.

Each key has one counter in each of four rows; other keys may share it, so the smallest of the four is never too low and
seldom too high. Halving every counter now and then forgets slowly, and before the counters are full. Python's hash of
bytes is keyed for each process, so nobody outside can make keys meet.
"""

from __future__ import annotations

MOST = 255
ADDED_PER_AGE = 4
"""Everything is halved after so many additions for each counter of a row: what a key that was never added seems to have
is about 1."""
_HALVES = bytes(count >> 1 for count in range(MOST + 1))


class Sketch:
    """Counts for about `keys` different keys, 1024 at least."""

    __slots__ = ("_left", "_mask", "_rows")

    def __init__(self, keys: int) -> None:
        self._mask = (1 << max(10, (keys - 1).bit_length())) - 1
        self._left = ADDED_PER_AGE * self._mask
        self._rows = [bytearray(self._mask + 1) for _ in range(4)]

    def count(self, key: bytes) -> int:
        """How often `key` was added, at most 255."""
        one, two, three, four = self._rows
        mask, mixed = self._mask, hash(key)
        return min(one[mixed & mask], two[mixed >> 14 & mask], three[mixed >> 28 & mask], four[mixed >> 42 & mask])

    def add(self, key: bytes) -> None:
        """`key` was asked for once more."""
        self.raise_to(key, self.count(key) + 1)
        self._left -= 1
        if self._left <= 0:
            self._left = ADDED_PER_AGE * self._mask
            self.age()

    def raise_to(self, key: bytes, count: int) -> None:
        """`key` was asked for at least so often."""
        count = min(count, MOST)
        mask, mixed = self._mask, hash(key)
        for row in self._rows:
            place = mixed & mask
            mixed >>= 14
            if row[place] < count:
                row[place] = count

    def age(self) -> None:
        """Forget half of everything."""
        for row in self._rows:
            row[:] = row.translate(_HALVES)
