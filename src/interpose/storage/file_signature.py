"""Whether a file has changed, told without reading it."""

from __future__ import annotations

import os
from pathlib import Path


def signature(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file is written or replaced; None when it is not there."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
