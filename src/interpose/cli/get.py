"""`interpose get`: request a page and print whatever was sent."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from interpose.cli import client_options as shared
from interpose.cli.say import Refused, complain, printable

if TYPE_CHECKING:
    from interpose.cli.content_file import Destination
    from interpose.config.client import ReachOptions, Requesting
    from interpose.core.exchange import Exchange
    from interpose.core.message import Request, Response
    from interpose.core.target import Authority
    from interpose.protocol.redirect import Redirect

STDIN = 0
MAX_REDIRECTS = 10
MAX_DATA_BYTES = 64 << 20


class Order(NamedTuple):
    """What was asked for."""

    request: Request
    host: Authority | None
    options: ReachOptions
    raw: bool
    follow: bool
    fail: bool
    output: str
    timeout: float
    verbose: bool


def get(
    url: Annotated[str, typer.Argument(metavar="URL", help="The page; http:// when it names no scheme.")],
    header: Annotated[
        list[str],
        typer.Option("--header", "-H", metavar="'NAME: VALUE'", help="A field of the request. Repeatable."),
    ] = [],  # noqa: B006 - never changed
    method: Annotated[
        str, typer.Option("--method", "-X", metavar="METHOD", help="The method.", show_default="GET, POST with --data")
    ] = "",
    data: Annotated[
        str | None,
        typer.Option(
            "--data", "-d", metavar="TEXT", help="Content to send; @FILE takes it from a file, @- from standard input."
        ),
    ] = None,
    head: Annotated[bool, typer.Option("--head", "-I", help="Ask for the head only (HEAD), and print it.")] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Print the exact bytes that come, head and framing included.")
    ] = False,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Write the content to a file.")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-L", help=f"Follow redirects, at most {MAX_REDIRECTS}.")] = False,
    fail: Annotated[
        bool, typer.Option("--fail", "-f", help="With a status of 400 or above, print no content and exit with 1.")
    ] = False,
    proxy: shared.Through = "",
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="S", help="How long to wait for the next thing to come.")
    ] = 30.0,
    insecure: shared.Insecure = False,
    ca_file: shared.Authorities = None,
    verbose: shared.Verbose = False,
) -> None:
    """Request a page and print what was sent."""
    shared.checked_timeout(timeout)
    options = shared.reach_options(proxy, insecure, ca_file, timeout)
    try:
        request, host = asked_for(url, header, method or ("HEAD" if head else "GET" if data is None else "POST"), data)
    except ValueError as error:
        raise Refused(str(error)) from None
    if host is not None and options.proxy is not None and options.proxy.scheme != "socks5":
        if request.target.scheme == "http":
            raise Refused("--header Host: an HTTP proxy is told one host, that of the URL; write it there.")
    file = "" if output == "-" else output
    order = Order(request, host, options, raw or head, follow, fail, file, timeout, verbose)
    raise typer.Exit(shared.run_to_end(fetched(order)))


def asked_for(url: str, headers: list[str], method: str, data: str | None) -> tuple[Request, Authority | None]:
    """The request, and what Host is to say if not the URL's host. ValueError with one sentence."""
    from interpose import __version__
    from interpose.config.urls import host_of, page_of
    from interpose.core.body import Body
    from interpose.core.fields import Fields
    from interpose.core.message import Request

    target, login = page_of(url)
    fields, host = Fields(), None
    for line in headers:
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError(f"--header '{line}' has no colon; write 'Name: value'.")
        value = value.strip(" \t")
        if name.lower() == "host":
            host = host_of(value)
        else:
            fields.add(name, value.encode())
    if login is not None and "Authorization" not in fields:
        fields.add("Authorization", basic(login))
    for name, value in (("User-Agent", f"interpose/{__version__}"), ("Accept", "*/*")):
        if name not in fields:
            fields.add(name, value)
    body = Body()
    if data is not None:
        body = Body(content_of(data))
        if "Content-Type" not in fields:
            fields.add("Content-Type", "application/x-www-form-urlencoded")
    request = Request(checked_method(method), target, fields, body)
    return request, host


def basic(login: bytes) -> bytes:
    """The value of Authorization for `user:password` (RFC 7617)."""
    import base64

    return b"Basic " + base64.b64encode(login)


def checked_method(method: str) -> str:
    """`method` when it can be asked for here. ValueError."""
    from interpose.core.fields import field_line

    try:
        field_line(method, "")  # a method is a token, as names of fields are
    except ValueError:
        raise ValueError(f"--method '{method}' is not a method; write GET, POST, PUT…") from None
    if method == "CONNECT":
        raise ValueError("--method CONNECT makes a tunnel, not a page: `interpose connect --proxy` does that.")
    return method


def content_of(data: str) -> bytes:
    """The content that --data names. ValueError when it cannot be had."""
    if not data.startswith("@"):
        return data.encode("utf-8", "surrogateescape")
    name = data[1:]
    try:
        with open(STDIN if name == "-" else name, "rb", closefd=name != "-") as file:
            content = file.read(MAX_DATA_BYTES + 1)
    except OSError as error:
        raise ValueError(f"--data {data} cannot be read: {(error.strerror or str(error)).lower()}.") from None
    if len(content) > MAX_DATA_BYTES:
        raise ValueError(f"--data {data} is larger than {MAX_DATA_BYTES >> 20} MiB.")
    return content


async def fetched(order: Order) -> int:
    """Get the page; the exit status. Failures become their sentence."""
    from interpose.cli.content_file import Destination
    from interpose.cli.explain import cannot_write, explained
    from interpose.core.failure import Failure

    try:
        with Destination(order.output) as destination:
            try:
                return await answered(order, destination)
            except (Failure, Refused):
                await destination.flush()
                raise
    except Failure as failure:
        scheme = order.options.proxy.scheme if order.options.proxy else ""
        raise Refused(explained(failure, scheme), status=1) from None
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Refused(cannot_write(order.output or "standard output", error), status=1) from None
    except ValueError as error:
        raise Refused(str(error)) from None


async def answered(order: Order, destination: Destination) -> int:
    """Ask, and write the answer to `destination`."""
    import asyncio

    from interpose.cli.content_file import Nothing, pour
    from interpose.config.client import own_exchange, requesting
    from interpose.engine.follow import Follow
    from interpose.protocol.redirect import FOLLOWED

    loop = asyncio.get_running_loop()
    exchange = own_exchange(loop.time())

    async def receive(handler: Requesting) -> None:
        try:
            if order.follow:
                response = await Follow(MAX_REDIRECTS, told_of)(exchange, order.request, handler)
            else:
                response = await handler(exchange, order.request)
        finally:
            for line in story(exchange) if order.verbose else ():
                tell(line)
        if order.fail and response.status >= 400:
            response.body.close()
            raise Refused(f"{verdict(handler, response)}.", status=1)
        if order.raw:
            await pour(response.body, Nothing())
        else:
            with destination.progress(response.body.length):
                await pour(response.body, destination)
        await destination.keep()
        if response.status >= 400:
            complain(f"{verdict(handler, response)}.")
        elif response.status in FOLLOWED and "Location" in response.fields:
            complain(f"{verdict(handler, response)}, at {response.fields['Location']}; --follow goes there.")
        if order.verbose:
            took = (loop.time() - exchange.started) * 1000
            tell(f"{destination.written} bytes of content; {took:.1f} ms in all.")

    record = destination.outlet if order.raw else None
    async with requesting(order.options, silence_s=order.timeout, host=order.host, record=record) as handler:
        await shared.unless_broken(destination.outlet, receive(handler))
    return 0


def told_of(response: Response, redirect: Redirect) -> None:
    """Say where a redirect leads, if that is less private than before."""
    if redirect.loses_tls:
        complain(f"{response.status} redirects from https to {redirect.target}: from here on everybody can read along.")


def story(exchange: Exchange) -> list[str]:
    """What happened up to the head of the answer, a line for each event."""
    lines = []
    for attempt in exchange.attempts:
        if attempt.peer is None:
            lines.append(f"{attempt.origin} was not reached.")
            continue
        if attempt.reused:
            lines.append(f"The same connection again, to {attempt.peer}.")
        else:
            took = (attempt.connected - attempt.started) * 1000
            local = f" from {attempt.local}" if attempt.local and attempt.local.port else ""
            lines.append(f"Connected to {attempt.peer}{local} for {attempt.origin} in {took:.1f} ms.")
        if attempt.tls is not None:
            protocol = f", {attempt.tls.protocol}" if attempt.tls.protocol else ""
            lines.append(f"{attempt.tls.version}, {attempt.tls.cipher}{protocol}.")
        if attempt.first_byte:
            began = attempt.started if attempt.reused else attempt.connected
            lines.append(f"Answer {attempt.status} after {(attempt.first_byte - began) * 1000:.1f} ms.")
    return lines


def verdict(handler: Requesting, response: Response) -> str:
    """What the last server asked answered, in words."""
    from http import HTTPStatus

    reason = response.reason.decode("latin-1")
    if not reason and response.status in HTTPStatus._value2member_map_:
        reason = HTTPStatus(response.status).phrase
    return f"{handler.asked} answered {response.status} {reason}".rstrip(" ")


def tell(sentence: str) -> None:
    """Say something beside the content."""
    print(printable(sentence), file=sys.stderr, flush=True)
