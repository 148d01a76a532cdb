"""TLS on a listener, as a step before another stream handler.

The ClientHello is peeked at, the context is chosen, then `start_tls` gets the bytes that were peeked. OpenSSL's own
callback for server names is not used: with it, a context that asks for a client certificate fails open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from interpose.core.failure import Failure, Side
from interpose.core.stream import Stream, StreamHandler
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
        self._read_hello = read_hello
        self._handshake_timeout_s = handshake_timeout_s
        self._not_tls = not_tls
        self._on_failure = on_failure

    def __call__(self, stream: Stream) -> None:
        """Serve one stream."""
        stream.run(self._serve(stream))

    async def _serve(self, stream: Stream) -> None:
        try:
            await self._shake_hands(stream)
        except Failure as failure:
            if self._on_failure is not None:
                self._on_failure(stream, failure)
        else:
            self.handler(stream)

    async def _shake_hands(self, stream: Stream) -> None:
        limit_s = self._handshake_timeout_s
        try:
            async with asyncio.timeout(limit_s):
                hello = await self._hello(stream)
                choice = self.choose(hello.server_name)
                if choice.context is None:
                    raise _turned_away(stream, choice, hello)
                await stream.start_tls(choice.context)
        except TimeoutError:
            stream.abort()
            detail = f"The client did not complete the TLS handshake within {limit_s:g} s."
            raise Failure("connection_timeout", Side.DOWNSTREAM, detail) from None
        tls = stream.info.tls
        assert tls is not None
        stream.info.tls = tls._replace(server_name=hello.server_name, trust=choice.trust)

    async def _hello(self, stream: Stream) -> Hello:
        data = await stream.peek(1)
        if self._not_tls and data and data[0] != 22:
            stream.write(self._not_tls)
        while (hello := self._read_hello(data)) is None:
            seen = len(data)
            data = await stream.peek(seen + 1)
            if len(data) == seen:
                raise Failure("connection_terminated", Side.DOWNSTREAM, "The client left during the TLS handshake.")
        return hello


def _turned_away(stream: Stream, choice: Choice, hello: Hello) -> Failure:
    """Tell the client by a fatal alert, in a record of its own, that nobody here can be whom it asks for."""
    stream.write(bytes((21, 3, 3, 0, 2, 2, choice.alert)))
    stream.close()
    what = "is known here" if choice.alert == UNRECOGNIZED_NAME else "has a usable certificate here"
    return Failure("tls_certificate_error", Side.DOWNSTREAM, f"No {hello.server_name or 'host'} {what}.")
