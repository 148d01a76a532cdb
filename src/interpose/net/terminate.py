"""TLS on a listener, as a step before another stream handler.

The ClientHello is looked at, the context is chosen, then `start_tls` gets the bytes that were looked at. OpenSSL's own
callback for server names is not used: with it, a context that asks for a client certificate fails open.

Looking is done by callback and only the handshake by a coroutine: new connections are made at the rate at which a
server can shake hands, and each task, future and timeout of asyncio's would be one or two per cent of that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from interpose.core.failure import Failure, Side
from interpose.core.stream import Stream, StreamHandler, TlsInfo
from interpose.net.certificate import UNRECOGNIZED_NAME, Choice
from interpose.net.tls import HANDSHAKE_TIMEOUT_S


class Hello(Protocol):
    """What of a ClientHello is asked for here."""

    @property
    def server_name(self) -> str | None:
        """The host the client wants, lower case."""


ReadHello = Callable[[bytes], Hello | None]
"""The ClientHello at the beginning of some bytes, None while there are too few, `Failure` when it is none."""


class TlsTermination:
    """A stream handler that speaks TLS as the server, and then lets `handler` serve what is inside.

    `choose` says what a client is answered with that asks for a server name; it and `handler` may be changed while it
    runs. `not_tls` is sent to clients whose first byte is no TLS, before the connection is closed. `on_failure` hears
    of every handshake that came to nothing.
    """

    def __init__(
        self,
        choose: Callable[[str | None], Choice],
        handler: StreamHandler,
        read_hello: ReadHello,
        *,
        handshake_timeout_s: float = HANDSHAKE_TIMEOUT_S,
        not_tls: bytes = b"",
        on_failure: Callable[[Stream, Failure], None] | None = None,
    ) -> None:
        self.handler = handler
        self.choose = choose
        self.read_hello = read_hello
        self.handshake_timeout_s = handshake_timeout_s
        self.not_tls = not_tls
        self.on_failure = on_failure

    def __call__(self, stream: Stream) -> None:
        """Serve one stream."""
        stream.attach(_Opening(self, stream))


class _Opening:
    """A connection until TLS is spoken on it: the `Receiver` of its ClientHello, then what shakes hands."""

    __slots__ = ("_data", "_deadline", "_is_late", "_stream", "_termination")

    def __init__(self, termination: TlsTermination, stream: Stream) -> None:
        self._termination = termination
        self._stream = stream
        self._data = b""
        self._is_late = False
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(termination.handshake_timeout_s, self._too_late)

    def bytes_received(self, data: bytes) -> None:
        """See `core.stream.Receiver`. Once the ClientHello is whole, the handshake begins."""
        self._data = data = self._data + data if self._data else data
        termination, stream = self._termination, self._stream
        if termination.not_tls and data[0] != 22:
            stream.write(termination.not_tls)
        try:
            hello = termination.read_hello(data)
            if hello is None:
                return
            choice = termination.choose(hello.server_name)
            if choice.context is None:
                raise self._turned_away(choice, hello)
        except Failure as failure:
            self._failed(failure)
            return
        stream.hand_over(data)
        stream.run(self._shake_hands(choice, hello))

    def end_received(self) -> None:
        """See `core.stream.Receiver`."""
        self._failed(Failure("connection_terminated", Side.DOWNSTREAM, "The client left during the TLS handshake."))

    def writable(self) -> None:
        """See `core.stream.Receiver`. (What is written here is short.)"""

    def connection_lost(self, failure: Failure | None) -> None:
        """See `core.stream.Receiver`."""
        self._deadline.cancel()

    async def _shake_hands(self, choice: Choice, hello: Hello) -> None:
        stream, termination = self._stream, self._termination
        try:
            await stream.start_tls(choice.context)
        except Failure as failure:
            if not self._is_late:  # else it has been said already
                self._failed(failure)
            return
        finally:
            self._deadline.cancel()
        tls = stream.info.tls
        assert tls is not None
        version, cipher, _, protocol, certificate, _ = tls
        stream.info.tls = TlsInfo(version, cipher, hello.server_name, protocol, certificate, choice.trust)
        termination.handler(stream)

    def _too_late(self) -> None:
        self._is_late = True
        limit_s = self._termination.handshake_timeout_s
        detail = f"The client did not complete the TLS handshake within {limit_s:g} s."
        self._stream.abort()
        self._tell(Failure("connection_timeout", Side.DOWNSTREAM, detail))

    def _failed(self, failure: Failure) -> None:
        self._deadline.cancel()
        self._stream.close()
        self._tell(failure)

    def _tell(self, failure: Failure) -> None:
        if self._termination.on_failure is not None:
            self._termination.on_failure(self._stream, failure)

    def _turned_away(self, choice: Choice, hello: Hello) -> Failure:
        """Tell the client by a fatal alert, in a record of its own, that nobody here can be whom it asks for."""
        self._stream.write(bytes((21, 3, 3, 0, 2, 2, choice.alert)))
        what = "is known here" if choice.alert == UNRECOGNIZED_NAME else "has a usable certificate here"
        return Failure("tls_certificate_error", Side.DOWNSTREAM, f"No {hello.server_name or 'host'} {what}.")
