"""The shape below HTTP: a stream, what receives from it, what handles it.

A `Stream` is the only way bytes enter or leave. It is read in one of two manners: *pulled* by a coroutine (`peek`,
`read`), which is how openings are told apart and small servers are written, or *pushed* into a `Receiver` by
callbacks, which is how HTTP and tunnels move bytes without a task or an await for each chunk. `attach` goes from the
first to the second; what was peeked at or not yet read is delivered first.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Final, NamedTuple, Protocol

from interpose.core.failure import Failure


class Address(NamedTuple):
    """One end of a connection: IP address and port, or the path of a Unix socket ("" when unnamed) and port 0."""

    host: str
    port: int

    def __str__(self) -> str:
        if self.port == 0:
            return f"unix:{self.host}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


UNKNOWN: Final = Address("unknown", 0)
"""The other end of a connection that was gone before anybody asked who it was."""


class TlsInfo(NamedTuple):
    """What the handshake agreed on.

    `certificate` is the client's own (DER), where it was asked for one and showed one that is good; `trust` says by
    which rules that was judged, and equals that of others judged so (None: nobody was asked).
    """

    version: str
    cipher: str
    server_name: str | None = None
    protocol: str | None = None
    certificate: bytes | None = None
    trust: Hashable = None


class StreamInfo:
    """What is known of a connection: both addresses, TLS when there is any. `peer` is the other side's address.

    `on_exchange` is told of every exchange that begins on it, where somebody has to say more of it (interception).
    """

    __slots__ = ("local", "on_exchange", "peer", "tls")

    def __init__(self, peer: Address, local: Address, tls: TlsInfo | None = None) -> None:
        self.peer = peer
        self.local = local
        self.tls = tls
        self.on_exchange: Callable[[Any], None] | None = None


class Receiver(Protocol):
    """What bytes are pushed into. Every method is called from the loop and returns at once.

    After `connection_lost` nothing is called any more. `end_received` means the peer sends no more; writing may go on.
    """

    def bytes_received(self, data: bytes) -> None:
        """Take the bytes that arrived (never empty)."""

    def end_received(self) -> None:
        """The peer has sent its last byte."""

    def writable(self) -> None:
        """Writing may go on after `write` returned False."""

    def connection_lost(self, failure: Failure | None) -> None:
        """The connection is gone: None when it ended in order, else why (side still unknown: UPSTREAM is assumed)."""


class Stream(Protocol):
    """An ordered, reliable conversation: a TCP or Unix connection, with TLS or without, or a pair in memory.

    Waiting methods raise `Failure`; the others never raise.
    """

    @property
    def info(self) -> StreamInfo:
        """Both addresses and what TLS agreed on."""

    @property
    def written_bytes(self) -> int:
        """What was given to `write` so far."""

    @property
    def unsent_bytes(self) -> int:
        """What of it the peer has not taken yet."""

    @property
    def is_full(self) -> bool:
        """Whether `write` returned False and `Receiver.writable` is still to come."""

    @property
    def is_reading(self) -> bool:
        """Whether bytes are being received (see `pause`)."""

    def write(self, data: bytes) -> bool:
        """Send; False when the peer reads too slowly: stop until `Receiver.writable` or `drain`."""

    def end(self) -> None:
        """Send what is buffered, then tell the peer that nothing follows (half-close). Reading goes on."""

    def close(self) -> None:
        """Send what is buffered, then close both directions."""

    def abort(self) -> None:
        """Close now and drop what is buffered, so that the peer sees a reset and not an orderly end."""

    def pause(self) -> None:
        """Stop reading; the kernel's buffer fills and the peer has to wait."""

    def resume(self) -> None:
        """Read again."""

    def receive_in_pieces(self) -> None:
        """Receive at most 192 KiB at once from now on: that is what may have to wait for a slow reader."""

    def attach(self, receiver: Receiver) -> None:
        """Push from now on, beginning with what was received and not read."""

    def when_lost(self, function: Callable[[Failure | None], None]) -> None:
        """Call `function` once when the connection is gone, whoever receives from it then; at once when it is already.

        It gets what `Receiver.connection_lost` would, and comes after that.
        """

    def hand_over(self, early: bytes) -> None:
        """Take the stream from its receiver, to be pulled or attached anew; `early` was received and is read first."""

    async def peek(self, size: int) -> bytes:
        """At least `size` bytes, left in the stream; fewer when the peer ended."""

    async def read(self, limit: int = 65536) -> bytes:
        """Up to `limit` bytes; b"" when the peer sends no more."""

    async def drain(self) -> None:
        """Wait until the peer has read enough."""

    async def start_tls(self, context: Any, *, server_name: str | None = None) -> None:
        """Continue in TLS: as the server on an accepted stream, as the client with `server_name` on a dialled one."""

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run `coroutine` as the task of this stream: cancelled when the connection is lost, its end closes the
        stream."""


StreamHandler = Callable[[Stream], None]
"""Serves one stream: attaches a receiver or calls `stream.run`, and returns at once."""
