"""TLS contexts, for listeners and for connections to origins, and the step that ends TLS on a listener."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

ALPN = ["http/1.1"]
HANDSHAKE_TIMEOUT_S = 10.0
SHUTDOWN_TIMEOUT_S = 2.0


def client_context(ca_file: str | None = None, *, verify: bool = True) -> ssl.SSLContext:
    """The context for connections to origins: TLS 1.2 or later, certificate and name verified.

    `ca_file` replaces the system's authorities. `ValueError` with one sentence when it cannot be used.
    """
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"The authorities in {ca_file} cannot be used: {_words(error)}.") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(ALPN)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def upgrade(
    transport: asyncio.Transport,
    protocol: asyncio.Protocol,
    context: ssl.SSLContext,
    received: bytes,
    *,
    server_name: str | None,
    handshake_timeout_s: float = HANDSHAKE_TIMEOUT_S,
) -> asyncio.Transport:
    """The transport that continues `transport` in TLS, as the client of `server_name`, else as the server.

    `received` are bytes of the handshake that were read already. The event loop's own `start_tls` takes none, so they
    are fed to the TLS protocol that it installs, after its `connection_made` and before the loop polls for more:
    `start_tls` schedules that in its first step, and what is scheduled next runs in the same round. Raises OSError.
    """
    loop = asyncio.get_running_loop()
    starting = loop.create_task(
        loop.start_tls(
            transport, protocol, context,
            server_side=server_name is None,
            server_hostname=server_name,
            ssl_handshake_timeout=handshake_timeout_s,
            ssl_shutdown_timeout=SHUTDOWN_TIMEOUT_S,
        )
    )  # fmt: skip
    if received:
        loop.call_soon(loop.call_soon, _feed, transport, protocol, received)
    upgraded = await starting
    # uvloop reports a connection that was closed in the middle of the handshake as a success.
    if upgraded is None or upgraded.is_closing():
        raise ConnectionResetError("closed during the TLS handshake")
    return upgraded


def _feed(transport: asyncio.Transport, protocol: asyncio.Protocol, received: bytes) -> None:
    tls_protocol: Any = transport.get_protocol()
    if transport.is_closing() or tls_protocol is protocol:
        return
    view = memoryview(received)
    while view:
        room = memoryview(tls_protocol.get_buffer(len(view)))
        size = min(len(room), len(view))
        room[:size] = view[:size]
        tls_protocol.buffer_updated(size)
        view = view[size:]


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).lower().replace("_", " ")
    return (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
