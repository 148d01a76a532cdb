"""CPU time of processes, to the nanosecond.

Linux gives every process a clock that counts the CPU time of all its threads, ended ones included; user and system
time of /proc/PID/stat are the same sum in steps of 10 ms. What the kernel does for a socket in a software interrupt
is charged to whoever runs at that moment: on loopback mostly to the sender, for every peer alike.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

_SCHEDULER_CLOCK = 2  # of CPUCLOCK_PROF, CPUCLOCK_VIRT, CPUCLOCK_SCHED: the exact one


def cpu_s(pid: int) -> float:
    """CPU seconds that this process has used since it started; 0.0 once it is gone."""
    try:
        return time.clock_gettime((~pid << 3) | _SCHEDULER_CLOCK)
    except OSError:
        return _ticks_s(pid)


def snapshot(pids: Iterable[int]) -> dict[int, float]:
    """CPU seconds so far, by process."""
    return {pid: cpu_s(pid) for pid in pids}


def spent(before: dict[int, float], after: dict[int, float]) -> dict[int, float]:
    """CPU seconds between two snapshots, by process of the second; a process that is new counts whole."""
    return {pid: seconds - before.get(pid, 0.0) for pid, seconds in after.items()}


def _ticks_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
