"""How a peer that vanished without a word is noticed (F12)."""

from __future__ import annotations

import asyncio
import socket

# After 90 s of silence, and after 30 s when it leaves what it was sent unacknowledged or its window shut.
KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000),
)


def prepare_listener(sock: socket.socket) -> None:
    """Set the options on a listening socket: the connections it accepts inherit them, at no cost for each."""
    for option in KEEPALIVE:
        sock.setsockopt(*option)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def keep_alive(transport: asyncio.BaseTransport) -> None:
    """Set the options on a connection. Both loops have set TCP_NODELAY already."""
    # The object that uvloop gives out makes a socket for every call; one for all of them is quicker.
    theirs = transport.get_extra_info("socket")
    sock = socket.socket(theirs.family, socket.SOCK_STREAM, socket.IPPROTO_TCP, theirs.fileno())
    try:
        for option in KEEPALIVE:
            sock.setsockopt(*option)
    finally:
        sock.detach()
