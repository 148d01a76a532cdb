"""Which process has an address that is in use, as far as the kernel tells (Linux, /proc).

Only for a message: the answer is None wherever it is not known, such as for another user's process.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from pathlib import Path

from interpose.core.printable import printable
from interpose.net.address import LOOPBACK, SocketAddress, ip_address

PROC = Path("/proc")
_PID = re.compile(r"[0-9]+")
_LISTENING, _UNCONNECTED, _LISTENING_UNIX = "0A", "07", "00010000"


def holder_of(where: SocketAddress, *, udp: bool = False, proc: Path = PROC) -> str | None:
    """The process that listens on `where`, as `nginx (pid 123)`; the one with the lowest number when it shares the
    socket with its workers."""
    sockets = _unix_sockets(where.path, proc) if where.is_unix else _inet_sockets(where, udp, proc)
    if not sockets:
        return None
    links = {f"socket:[{inode}]" for inode in sockets}
    processes = [name for name in _names(proc) if _PID.fullmatch(name)]
    for pid in sorted(processes, key=lambda name: (len(name), name)):
        if any(_link(proc / pid / "fd" / name) in links for name in _names(proc / pid / "fd")):
            return f"{_name(pid, proc)} (pid {pid})"
    return None


def _inet_sockets(where: SocketAddress, udp: bool, proc: Path) -> set[str]:
    """The inodes of sockets that receive on the port of `where`, on its address or on one that includes it."""
    address = ip_address(LOOPBACK if where.host == "localhost" else where.host)
    if address is None:
        return set()
    own = address.packed
    in_the_way = {_spelled(bytes(4)), _spelled(bytes(16)), _spelled(own), _spelled(bytes(10) + b"\xff\xff" + own)}
    state = _UNCONNECTED if udp else _LISTENING
    found = set()
    for table in ("udp", "udp6") if udp else ("tcp", "tcp6"):
        for words in _rows(proc / "net" / table):
            if len(words) > 9 and words[3] == state:
                host, _, port = words[1].partition(":")
                if port == f"{where.port:04X}" and (host in in_the_way or not any(own)):
                    found.add(words[9])
    return found


def _spelled(packed: bytes) -> str:
    """An address as the kernel prints it: words of 32 bits in the machine's order."""
    step = -1 if sys.byteorder == "little" else 1
    return "".join([packed[start : start + 4][::step].hex() for start in range(0, len(packed), 4)]).upper()


def _unix_sockets(path: str, proc: Path) -> set[str]:
    table = proc / "net" / "unix"
    return {words[6] for words in _rows(table, path) if len(words) > 7 and words[3] == _LISTENING_UNIX}


def _rows(table: Path, ending: str = "") -> list[list[str]]:
    """The words of each line that ends with `ending`."""
    with contextlib.suppress(OSError):
        lines = table.read_text("utf-8", "replace").split("\n")
        return [[word for word in line.split(" ") if word] for line in lines if line.endswith(ending)]
    return []


def _names(directory: Path) -> list[str]:
    with contextlib.suppress(OSError):
        return os.listdir(directory)
    return []


def _link(path: Path) -> str:
    with contextlib.suppress(OSError):
        return os.readlink(path)
    return ""


def _name(pid: str, proc: Path) -> str:
    with contextlib.suppress(OSError):
        return printable((proc / pid / "comm").read_bytes().rstrip(b"\n"))
    return "a process"
