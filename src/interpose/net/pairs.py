"""Socket pairs between processes, and listening sockets passed over them.

A worker is started with one descriptor: its end of the *pair*, a Unix socket that keeps packets apart and carries
nothing but descriptors. The first one to come is the worker's end of the link, over which everything else is said.
"""

from __future__ import annotations

import array
import contextlib
import os
import socket
import stat
from collections.abc import Iterator, Sequence

_MOST_AT_ONCE = 64
"""Descriptors in one packet. The kernel takes 253."""

_PATIENCE_S = 5.0
"""How long a packet may take. It is sent before the message that announces it, so a wait says that something broke."""


def descriptor_pair() -> tuple[socket.socket, socket.socket]:
    """The supervisor's and the worker's end of a pair for descriptors."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(_PATIENCE_S)
    return ours, theirs


def link_pair() -> tuple[socket.socket, socket.socket]:
    """The supervisor's and the worker's end of a link, ready for an event loop."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


def inherited_pair(descriptor: int) -> socket.socket:
    """The worker's end of its pair, from the descriptor that it was started with."""
    pair = socket.socket(fileno=descriptor)
    pair.settimeout(_PATIENCE_S)
    pair.set_inheritable(False)
    return pair


def send_sockets(pair: socket.socket, sockets: Sequence[socket.socket]) -> None:
    """Pass `sockets` on; both processes have them then. OSError when the other side is gone or does not take them."""
    for start in range(0, len(sockets), _MOST_AT_ONCE):
        part = sockets[start : start + _MOST_AT_ONCE]
        socket.send_fds(pair, [b"%d" % len(part)], [sock.fileno() for sock in part])


def receive_sockets(pair: socket.socket, count: int) -> list[socket.socket]:
    """The next `count` sockets of those passed on. OSError when they do not come or are not as many."""
    received: list[socket.socket] = []
    try:
        while len(received) < count:
            packet = list(_descriptors(pair))
            received += [socket.socket(fileno=descriptor) for descriptor in packet]
            if not packet or len(received) > count:
                raise OSError(f"{len(received)} sockets came over the pair instead of {count}")
    except OSError:
        for sock in received:
            sock.close()
        raise
    for sock in received:
        sock.setblocking(False)
    return received


def _descriptors(pair: socket.socket) -> Iterator[int]:
    # Not socket.recv_fds: with it, what arrives would be inherited by every process that a user's script starts.
    data, ancillary, _, _ = pair.recvmsg(16, socket.CMSG_SPACE(_MOST_AT_ONCE * 4), socket.MSG_CMSG_CLOEXEC)
    if not data:
        raise OSError("the supervisor is gone")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers = array.array("i")
            numbers.frombytes(content[: len(content) - len(content) % numbers.itemsize])
            yield from numbers


def close_all(sockets: Sequence[socket.socket]) -> None:
    """Close every one, whatever state it is in."""
    for sock in sockets:
        with contextlib.suppress(OSError):
            sock.close()


def is_socket(descriptor: int) -> bool:
    """Whether the descriptor is open and a socket, for a sentence instead of a traceback when started by hand."""
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISSOCK(mode)
