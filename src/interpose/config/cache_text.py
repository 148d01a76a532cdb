"""A cache as one writes it on the command line: `256MiB`, or `256MiB,DIR`."""

from __future__ import annotations

import re
from typing import Any

from interpose.config.problem import ConfigError, Problem
from interpose.protocol.number import decimal

NAME = "cache"
MEMORY_SHARE = 8
"""With a directory the size is that of the disk, and so much less is kept in memory."""
MOST_MEMORY_BYTES = 256 << 20
LEAST_BYTES = 1 << 20

_SIZE = re.compile(r"([0-9]{1,9})(?:\.([0-9]))?([KMGT]i?B?|B)?", re.IGNORECASE)
_SHIFTS = {"": 0, "b": 0, "k": 10, "m": 20, "g": 30, "t": 40}


def cache_table(text: str) -> dict[str, Any]:
    """The table that `SIZE` or `SIZE,DIR` stands for. ConfigError when it is neither."""
    written, _, directory = text.partition(",")
    size = bytes_of(written.strip())
    if size is None or size < LEAST_BYTES or ("," in text and not directory.strip()):
        message = "must be a size such as 256MiB or 2GiB, 1MiB at least, and perhaps a comma and a directory"
        raise ConfigError([Problem("cache[1]", text, message)])
    if not directory:
        return {"name": NAME, "memory_bytes": size}
    memory = min(max(size // MEMORY_SHARE, LEAST_BYTES), MOST_MEMORY_BYTES)
    return {"name": NAME, "memory_bytes": memory, "dir": directory.strip(), "disk_bytes": size}


def bytes_of(text: str) -> int | None:
    """A number of bytes with a unit; units are powers of 1024, however they are spelled. None for anything else."""
    match = _SIZE.fullmatch(text)
    if match is None:
        return None
    tenths = (decimal(match[1].encode("ascii")) or 0) * 10 + (decimal((match[2] or "0").encode("ascii")) or 0)
    return (tenths << _SHIFTS[(match[3] or "")[:1].lower()]) // 10
