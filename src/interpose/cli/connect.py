"""`interpose connect`: a client for a person and for a pipe, over TCP, TLS, Unix sockets and UDP."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from interpose.cli import client_options as shared
from interpose.cli.say import Refused, printable

if TYPE_CHECKING:
    from interpose.cli.standard_streams import Outlet
    from interpose.config.client import Reach, ReachOptions
    from interpose.core.stream import Stream
    from interpose.net.address import SocketAddress

STDIN, STDOUT = 0, 1
CONNECT_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 2.0
MAX_RETRY = 1000


class Order(NamedTuple):
    """What was asked for: a conversation with `where`. `types`: a person does, at a terminal."""

    where: SocketAddress
    options: ReachOptions
    tls: bool
    timeout: float | None
    retry: int
    crlf: bool
    verbose: bool
    types: bool


def connect(
    where: Annotated[str, typer.Argument(metavar="HOST:PORT", help=r"host:port, :port, \[v6]:port or unix:path.")],
    udp: Annotated[
        bool, typer.Option("--udp", help="Send datagrams: each line typed, or all of standard input.")
    ] = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            metavar="S",
            help="How long to wait for a connection, and for an answer when all is sent.",
            show_default="10 for a connection, 2 with --udp",
        ),
    ] = None,
    retry: Annotated[
        int, typer.Option("--retry", metavar="N", help="(--udp) Send again, so often, what nobody has answered.")
    ] = 0,
    tls: Annotated[bool, typer.Option("--tls", help="Speak TLS, and check the server's certificate.")] = False,
    proxy: shared.Through = "",
    crlf: Annotated[
        bool, typer.Option("--crlf", help="End lines with CR LF, as HTTP and SMTP want it, instead of LF.")
    ] = False,
    insecure: shared.Insecure = False,
    ca_file: shared.Authorities = None,
    verbose: shared.Verbose = False,
) -> None:
    """Speak to a server: lines typed, or standard input, go out; what it answers is printed as it comes."""
    if timeout is not None:
        shared.checked_timeout(timeout)
    if not 0 <= retry <= MAX_RETRY:
        raise Refused(f"--retry {retry}: it must be from 0 to {MAX_RETRY}.")
    if retry and not udp:
        raise Refused("--retry is for --udp: in TCP the system sends again by itself what was lost.")
    if udp and (tls or proxy):
        raise Refused(f"{'--tls' if tls else '--proxy'} is for connections; leave it out with --udp.")
    address = wanted_address(where)
    if udp and address.is_unix:
        raise Refused(f"{address} is a Unix socket, which carries connections; --udp needs host:port.")
    if proxy and address.is_unix:
        raise Refused(f"{address} is a socket of this machine; a proxy cannot reach it.")
    if udp:
        check_datagram_address(address)
    options = shared.reach_options(proxy, insecure, ca_file, timeout or CONNECT_TIMEOUT_S)
    order = Order(address, options, tls, timeout, retry, crlf, verbose, shared.is_terminal(STDIN))
    raise typer.Exit(shared.run_to_end(conversed(order, udp=udp)))


def wanted_address(text: str) -> SocketAddress:
    """Where to connect to. `Refused` when that says no server."""
    from interpose.net.address import parse_address

    try:
        address = parse_address(text)
    except ValueError as error:
        raise Refused(str(error)) from None
    if not address.is_unix and address.port == 0:
        raise Refused(f"'{text}' has port 0, where nobody can be reached; write a number from 1 to 65535.")
    return address


def check_datagram_address(address: SocketAddress) -> None:
    """`Refused` where a datagram would go to many machines."""
    from interpose.net.address import ip_address
    from interpose.net.datagram_client import refusal

    literal = ip_address(address.host)
    if literal is not None and (why := refusal(literal)):
        raise Refused(f"{address} {why}")


async def conversed(order: Order, *, udp: bool) -> int:
    """Hold the conversation; the exit status. Failures become their sentence."""
    import contextlib

    from interpose.cli.explain import cannot_write, explained
    from interpose.cli.standard_streams import Outlet
    from interpose.cli.terminal_text import TerminalText
    from interpose.config.client import reaching
    from interpose.core.failure import Failure

    shared.check_output()
    outlet = Outlet(STDOUT, TerminalText() if shared.is_terminal(STDOUT) else None)
    try:
        async with reaching(order.options) as reach:
            talked = asked(order, reach, outlet) if udp else spoken(order, reach, outlet)
            status: int = await shared.unless_broken(outlet, talked)
        await outlet.finish()
    except (Failure, Refused) as failure:
        with contextlib.suppress(OSError):
            await outlet.finish()  # what came before it is printed before it
        if isinstance(failure, Refused):
            raise
        raise Refused(explained(failure, order.options.proxy.scheme if order.options.proxy else ""), status=1) from None
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Refused(cannot_write("standard output", error), status=1) from None
    except ValueError as error:
        raise Refused(str(error)) from None
    return status


async def spoken(order: Order, reach: Reach, outlet: Outlet) -> int:
    """A conversation over a connection."""
    from time import monotonic

    from interpose.core.exchange import Attempt
    from interpose.core.target import Origin
    from interpose.engine.talk import Patience, Talk

    where = order.where
    scheme = "unix" if where.is_unix else "tls" if order.tls else "tcp"
    origin = Origin(scheme, where.path or where.host, where.port)
    began = monotonic()
    stream = await reach.dial(origin, Attempt(origin, began), configured=True)
    if order.types or order.verbose:
        tell(connected(stream, order, monotonic() - began))
    patience = Patience(hang_up=order.types)
    if order.timeout is not None:
        patience = Patience(
            answer_s=None if order.tls else order.timeout,
            end_s=order.timeout,
            input_s=order.timeout,
            hang_up=order.types,
        )
    talk = Talk(stream, outlet, patience)
    await talk.run(typed(order))
    await outlet.finish()
    if talk.gave_up and (order.types or order.verbose):
        tell(f"Ended: {talk.gave_up}.")
    if order.types or order.verbose:
        tell(f"The connection has ended: {talk.sent_bytes} bytes sent, {talk.received_bytes} received.")
    return 0


def connected(stream: Stream, order: Order, took_s: float) -> str:
    """What is known of a connection that was just made."""
    info = stream.info
    through = f" through {order.options.proxy}" if order.options.proxy else ""
    words = f"Connected to {info.peer if not through else order.where}{through}"
    words += f" from {info.local}" if info.local.port else ""
    tls = f", {info.tls.version} {info.tls.cipher}" if info.tls else ""
    end = "; Ctrl-D ends what you say." if order.types else "."
    return f"{words} in {took_s * 1000:.1f} ms{tls}{end}"


async def typed(order: Order) -> AsyncIterator[bytes]:
    """What is typed, or piped in, as it is to be sent."""
    from interpose.cli.line_ends import CrLf
    from interpose.cli.standard_streams import Inlet

    if sys.stdin is None:  # closed by whoever started us, and its number may be another descriptor's by now
        return
    changed = CrLf() if order.crlf else None
    try:
        async for data in Inlet(STDIN):
            yield data if changed is None else changed(data)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise Refused(f"standard input cannot be read: {reason}.", status=1) from None


async def asked(order: Order, reach: Reach, outlet: Outlet) -> int:
    """A conversation in datagrams."""
    import asyncio

    from interpose.core.datagram import MAX_DATAGRAM_BYTES
    from interpose.engine.ask_datagrams import Asking, Insistence, no_answer

    where = order.where
    content = b"" if order.types else await all_of_input(order, MAX_DATAGRAM_BYTES)
    datagrams = await reach.datagrams(where.host, where.port)
    if order.types or order.verbose:
        tell(f"Sending to {datagrams.peer} from {datagrams.local}. UDP does not say whether anybody is there.")
    insistence = Insistence(timeout_s=order.timeout or ANSWER_TIMEOUT_S, retry=order.retry)

    async def heard(answer: bytes) -> None:
        if order.verbose:
            tell(f"An answer of {len(answer)} bytes.")
        await outlet.put(answer)

    asking = Asking(datagrams, insistence, heard, tell)
    listening = asyncio.ensure_future(asking.listen())
    try:
        if order.types:
            await asking.converse(typed(order))
        elif await asking.ask(content):
            await asking.silence()
        if asking.sent and not asking.answers:
            raise no_answer(str(datagrams.peer), asking.sent, insistence.timeout_s)
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        datagrams.close()
    return 0


async def all_of_input(order: Order, limit: int) -> bytes:
    """All of standard input. `Refused` when it is longer than a datagram can be."""
    content = b""
    async for data in typed(order):
        content += data
        if len(content) > limit:
            raise Refused(f"standard input is longer than a datagram can be, which is {limit} bytes.")
    return content


def tell(sentence: str) -> None:
    """Say something about the conversation, beside it."""
    print(printable(sentence), file=sys.stderr, flush=True)
