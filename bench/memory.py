"""Memory of processes, and who holds which connections, read from /proc."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

_ESTABLISHED = "01"


def pss_bytes(pids: Iterable[int]) -> int:
    """The proportional set size of these processes: private pages, and each shared page divided by its users."""
    return sum(_pss_bytes(pid) for pid in pids)


def settled_pss_bytes(pids: Iterable[int], *, deadline_s: float = 5.0) -> int:
    """The same, once it has stopped moving by more than a tenth of a per cent within a quarter of a second."""
    pids = list(pids)
    last = pss_bytes(pids)
    deadline = time.monotonic() + deadline_s
    while time.monotonic() < deadline:
        time.sleep(0.25)
        now = pss_bytes(pids)
        if abs(now - last) <= last // 1000:
            return now
        last = now
    return last


def connections_by_pid(pids: Iterable[int], port: int) -> Counter[int]:
    """How many established connections to a local port each process holds."""
    inodes = _established_inodes(port)
    held: Counter[int] = Counter()
    for pid in pids:
        held[pid] = sum(1 for inode in _socket_inodes(pid) if inode in inodes)
    return held


def _pss_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def _established_inodes(port: int) -> set[str]:
    inodes = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        columns = line.split()
        if columns[3] == _ESTABLISHED and int(columns[1].rpartition(":")[2], 16) == port:
            inodes.add(columns[9])
    return inodes


def _socket_inodes(pid: int) -> list[str]:
    try:
        descriptors = list(os.scandir(f"/proc/{pid}/fd"))
    except OSError:
        return []
    inodes = []
    for descriptor in descriptors:
        try:
            link = os.readlink(descriptor.path)
        except OSError:
            continue
        if link.startswith("socket:["):
            inodes.append(link[len("socket:[") : -1])
    return inodes
