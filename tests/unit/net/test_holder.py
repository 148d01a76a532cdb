"""Whose address it is, read from a /proc of the test's own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from interpose.net.address import SocketAddress
from interpose.net.holder import holder_of

pytestmark = pytest.mark.skipif(sys.byteorder != "little", reason="the tables below are of a little-endian machine")

TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F41 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1001 1 0 100 0 0 10 0
   1: 0200007F:1F41 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1002 1 0 100 0 0 10 0
   2: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1003 1 0 100 0 0 10 0
   3: 0100007F:1F42 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 1004 1 0 100 0 0 10 0
"""
TCP6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when
   0: 00000000000000000000000001000000:1F43 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 \
00000000     0        0 1005 1 0 100 0 0 10 0
   1: 0000000000000000FFFF00000100007F:1F44 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 \
00000000     0        0 1006 1 0 100 0 0 10 0
"""
UDP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
   0: 0100007F:1F41 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1007 2 0 0
"""
UNIX = """\
Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 1008 /run/two  words.sock
0000000000000000: 00000003 00000000 00000000 0001 03 1009 /run/other.sock
"""
PROCESSES = {
    "7": ("nginx", ["1003"]),
    "12": ("ec\x1bho", ["1001", "1005"]),
    "100": ("worker", ["1001", "1003"]),
    "101": ("java", ["1004", "1006"]),
    "102": ("dns", ["1007"]),
    "103": ("unix", ["1008", "1009"]),
}


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "net").mkdir()
    for name, table in (("tcp", TCP), ("tcp6", TCP6), ("udp", UDP), ("unix", UNIX)):
        (tmp_path / "net" / name).write_text(table)
    for pid, (name, inodes) in PROCESSES.items():
        descriptors = tmp_path / pid / "fd"
        descriptors.mkdir(parents=True)
        (tmp_path / pid / "comm").write_text(f"{name}\n")
        (descriptors / "0").symlink_to("/dev/null")
        for number, inode in enumerate(inodes, 3):
            (descriptors / str(number)).symlink_to(f"socket:[{inode}]")
    (tmp_path / "self").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("where", "holder"),
    [
        (SocketAddress("127.0.0.1", 8001), "ec\\x1bho (pid 12)"),
        (SocketAddress("localhost", 8001), "ec\\x1bho (pid 12)"),
        (SocketAddress("127.0.0.2", 8001), None),
        (SocketAddress("127.0.0.3", 8001), None),
        (SocketAddress("0.0.0.0", 8001), "ec\\x1bho (pid 12)"),
        (SocketAddress("127.0.0.1", 80), "nginx (pid 7)"),
        (SocketAddress("127.0.0.1", 8002), None),
        (SocketAddress("::1", 8003), "ec\\x1bho (pid 12)"),
        (SocketAddress("127.0.0.1", 8004), "java (pid 101)"),
        (SocketAddress("name.example", 8001), None),
        (SocketAddress("", 0, "/run/two  words.sock"), "unix (pid 103)"),
        (SocketAddress("", 0, "/run/other.sock"), None),
    ],
)
def test_the_process_that_listens_is_named(proc: Path, where: SocketAddress, holder: str | None) -> None:
    assert holder_of(where, proc=proc) == holder


def test_udp_is_another_table(proc: Path) -> None:
    assert holder_of(SocketAddress("127.0.0.1", 8001), udp=True, proc=proc) == "dns (pid 102)"
    assert holder_of(SocketAddress("127.0.0.1", 80), udp=True, proc=proc) is None


def test_what_cannot_be_read_is_not_known(proc: Path, tmp_path: Path) -> None:
    os.rename(proc / "12" / "fd", proc / "12" / "other")
    assert holder_of(SocketAddress("127.0.0.1", 8001), proc=proc) == "worker (pid 100)"
    assert holder_of(SocketAddress("127.0.0.1", 8001), proc=tmp_path / "none") is None
