"""A `Dial` that reaches origins through somebody else's proxy: CONNECT at an HTTP proxy, or SOCKS 4, 4a or 5.

What the proxy refuses becomes the `Failure` that a direct connection would have had where the proxy says so clearly,
else a refusal in the proxy's own words. Names of origins are not looked up here: the proxy does it. Only SOCKS 4 knows
no names.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from interpose.core.exchange import Attempt
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.message import Request, Response
from interpose.core.stream import Stream
from interpose.core.target import Authority, Form, Origin, Target
from interpose.engine.client import Dial
from interpose.net.address import IPAddress, ip_address
from interpose.net.dial import Secure
from interpose.protocol import writer
from interpose.protocol.head import HeadParser
from interpose.protocol.socks import Login
from interpose.protocol.socks_client import Dialogue
from interpose.protocol.socks_grammar import Command

MAX_INTERIM = 8
Resolve = Callable[[str], Awaitable[Sequence[IPAddress]]]
_SHOWN_STATUS = 200
"""How much of a proxy's own explanation is repeated."""


class ProxyServer(NamedTuple):
    """A proxy: `http`, `https`, `socks4`, `socks4a` or `socks5`, where it is, and `user:password` when it asks for
    one."""

    scheme: str
    host: str
    port: int
    login: bytes | None = None

    @property
    def origin(self) -> Origin:
        """What a connection to the proxy itself belongs to."""
        return Origin(self.scheme, self.host, self.port)

    @property
    def is_socks(self) -> bool:
        """Whether it knows nothing of HTTP."""
        return self.scheme.startswith("socks")

    @property
    def authorization(self) -> bytes | None:
        """The value of Proxy-Authorization, None without a login."""
        return None if self.login is None else b"Basic " + base64.b64encode(self.login)

    def __str__(self) -> str:
        return str(self.origin)


class ThroughProxy:
    """See the module. `dial` reaches the proxy, `context(http)` is the TLS context for origins behind it. `resolve`
    looks names up for SOCKS 4. `secure` speaks TLS with https origins instead, where they are looked into."""

    def __init__(
        self,
        dial: Dial,
        proxy: ProxyServer,
        parser: HeadParser,
        context: Callable[[bool], Any],
        *,
        timeout_s: float,
        resolve: Resolve | None = None,
        secure: Secure | None = None,
    ) -> None:
        self._secure = secure
        self._dial = dial
        self._proxy = proxy
        self._parser = parser
        self._context = context
        self._timeout_s = timeout_s
        self._resolve = resolve

    async def __call__(
        self, origin: Origin, attempt: Attempt | None = None, *, configured: bool = False, opening: bytes = b""
    ) -> Stream:
        """See `engine.client.Dial`."""
        if origin.scheme == "unix":
            raise Failure("proxy_configuration_error", Side.INTERNAL, "A proxy cannot reach a Unix socket from here.")
        stream = await self._dial(self._proxy.origin, attempt, configured=True)
        try:
            async with asyncio.timeout(self._timeout_s):
                if self._proxy.is_socks:
                    await self._ask_socks(stream, origin)
                else:
                    await self._ask_http(stream, origin)
                if opening:
                    stream.write(opening)
                if origin.scheme == "https" and self._secure is not None:
                    await self._secure(stream, origin.host, self._timeout_s)
                elif origin.scheme in ("https", "tls"):
                    await stream.start_tls(self._context(origin.scheme == "https"), server_name=origin.host)
        except TimeoutError:
            stream.abort()
            detail = f"The proxy {self._proxy} did not connect to {origin} within {self._timeout_s:g} s."
            raise Failure("connection_timeout", Side.UPSTREAM, detail) from None
        except BaseException:
            stream.abort()
            raise
        if attempt is not None:
            attempt.connected = time.monotonic()
            attempt.tls = stream.info.tls
        return stream

    async def _ask_http(self, stream: Stream, origin: Origin) -> None:
        authority = Authority(origin.host, origin.port)
        fields = Fields([("User-Agent", "interpose")])
        if (authorization := self._proxy.authorization) is not None:
            fields.add("Proxy-Authorization", authorization)
        request = Request("CONNECT", Target(Form.AUTHORITY, "", authority, ""), fields)
        stream.write(writer.request_head(request, 0, False))
        for _ in range(MAX_INTERIM):
            response = self._parser.response(await self._head(stream), "CONNECT")[0]
            if response.status >= 200:
                break
        if not 200 <= response.status < 300:
            raise self._refusal(response, authority)

    async def _head(self, stream: Stream) -> bytes:
        """The next head. What comes after it may be the origin's already, and stays in the stream."""
        size = 1
        while True:
            data = await stream.peek(size)
            end = data.find(b"\r\n\r\n")
            if 0 <= end <= self._parser.limits.max_head_bytes:
                return (await stream.read(end + 4))[:end]
            self._parser.check_open_response(data)
            if len(data) < size:
                raise self._broken_off()
            size = len(data) + 1

    def _refusal(self, response: Response, authority: Authority) -> Failure:
        reason = response.reason.decode("latin-1") or writer.status_line(response.status, b"")[13:-2].decode()
        said = (response.fields.get("Proxy-Status") or "")[:_SHOWN_STATUS]
        words = f"The proxy {self._proxy} answered {response.status} {reason} when asked for {authority}"
        detail = f"{words} ({said})." if said else f"{words}."
        return Failure("http_request_denied", Side.UPSTREAM, detail, status=response.status)

    async def _ask_socks(self, stream: Stream, origin: Origin) -> None:
        login = None
        if self._proxy.login is not None:
            user, _, password = self._proxy.login.partition(b":")
            login = Login(user, password)
        host = origin.host
        if self._proxy.scheme == "socks4" and ip_address(host) is None:
            host = await self._looked_up(host)
        try:
            version = 5 if self._proxy.scheme == "socks5" else 4
            dialogue = Dialogue(version, Command.CONNECT, host, origin.port, login)
        except ValueError as error:
            raise Failure("proxy_configuration_error", Side.INTERNAL, str(error)) from None
        stream.write(dialogue.begin())
        while dialogue.answer is None:  # byte by byte: what follows the answer is the origin's, and stays in the stream
            if said := dialogue.take(await stream.read(1)):
                stream.write(said)

    async def _looked_up(self, host: str) -> str:
        """An address of `host` that SOCKS 4 can say."""
        found = await self._resolve(host) if self._resolve is not None else ()
        known = next((str(address) for address in found if address.version == 4), None)
        if known is None:
            raise Failure("dns_error", Side.UPSTREAM, f"The name '{host}' has no IPv4 address, which SOCKS 4 asks for.")
        return known

    def _broken_off(self) -> Failure:
        detail = f"The proxy {self._proxy} closed the connection before it answered."
        return Failure("connection_terminated", Side.UPSTREAM, detail)
