"""Reading a configuration again when its file changes, for where nobody is there to say so."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

LOOK_S = 1.0

Signature = tuple[str, int, int, int]


async def watch(file: Path, reload: Callable[[], Awaitable[Any]], look_s: float = LOOK_S) -> None:
    """For ever: `reload` whenever `file` is another one, or has another content, than a look ago.

    A directory that a link leads to may be exchanged for another (as a ConfigMap's is), so what is looked at is where
    the path leads. A file that is away for a moment, while it is being replaced, is waited for.
    """
    seen = signature(file)
    while True:
        await asyncio.sleep(look_s)
        now = signature(file)
        if now is not None and now != seen:
            seen = now
            await reload()


def signature(file: Path) -> Signature | None:
    """What changes when a file is written or replaced; None when it is not there."""
    try:
        status = os.stat(file)
    except OSError:
        return None
    return os.path.realpath(file), status.st_mtime_ns, status.st_size, status.st_ino
