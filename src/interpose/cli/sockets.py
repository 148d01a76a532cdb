"""`interpose relay`, `socks`, `echo` and `upper`: from options to a running supervisor."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

from interpose.cli import options
from interpose.cli.options import LogFormat
from interpose.cli.start import supervise


class ProxyProtocol(enum.StrEnum):
    """Versions of the PROXY line."""

    OFF = "off"
    V1 = "v1"
    V2 = "v2"


Udp = Annotated[bool, typer.Option("--udp", help="Datagrams instead of connections.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Do not print who connects and what is sent.")]
Hex = Annotated[bool, typer.Option("--hex", help="Print what is sent as hexadecimal.")]
Show = Annotated[bool, typer.Option("--show", help="Print who connects and what is sent.")]
NoLog = Annotated[str, typer.Option("--log", metavar="FILE", help="A line for each connection: a file, - or off.")]


def relay(
    to: Annotated[
        list[str],
        typer.Option(
            "--to", metavar="ADDR", help="host:port, tls://host:port or unix:path; several are taken in turn."
        ),
    ],
    listen: Annotated[
        list[str],
        typer.Option("--listen", metavar="ADDR", help=r"host:port, :port, \[v6]:port or unix:path. Repeatable."),
    ],
    udp: Udp = False,
    show: Show = False,
    hexadecimal: Hex = False,
    send_proxy: Annotated[
        ProxyProtocol, typer.Option("--send-proxy", help="Tell the server who the client is, by a PROXY line.")
    ] = ProxyProtocol.OFF,
    proxy_from: Annotated[
        list[str],
        typer.Option("--proxy-from", metavar="CIDR", help="Proxies before this one, which send a PROXY line."),
    ] = [],  # noqa: B006 - never changed
    ca_file: Annotated[
        str | None, typer.Option("--ca-file", metavar="FILE", help="Authorities to believe for tls:// servers (PEM).")
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Believe any certificate of a tls:// server.")] = False,
    workers: options.Workers = 1,
    allow_from: options.AllowFrom = [],  # noqa: B006
    fault: options.Faults = [],  # noqa: B006
    log: options.AccessLog = "-",
    log_format: options.Format = LogFormat.COMBINED,
    tls_certificate: options.Certificate = None,
    tls_key: options.Key = None,
    name: options.Name = "",
    state: options.State = "",
    hold: options.Holds = [],  # noqa: B006
    console: options.ConsoleIfAny = None,
    no_console: options.NoConsole = False,
) -> None:
    """Pass on whatever comes, connections or datagrams, to one server or to several in turn."""
    from interpose.config.roles import relay_config

    supervise(
        lambda: relay_config(
            to,
            listen,
            udp=udp,
            show="hex" if hexadecimal else "text" if show else "off",
            send_proxy_protocol=send_proxy.value,
            proxy_protocol_from=proxy_from,
            verify=not insecure,
            ca_file=ca_file,
            workers=workers,
            allow_from=allow_from,
            faults=fault,
            log=log,
            log_format=log_format.value,
            tls_certificate=tls_certificate,
            tls_key=tls_key,
            name=name,
            state=state,
            holds=hold,
            console=None if no_console else console,
        ),
        from_flags=True,
        servers="--to",
    )


def socks(
    listen: options.Listen = ["127.0.0.1:1080"],  # noqa: B006
    workers: options.Workers = 1,
    allow_from: options.AllowFrom = [],  # noqa: B006
    fault: options.Faults = [],  # noqa: B006
    auth: options.Auth = None,
    allow_upstream: options.AllowUpstream = [],  # noqa: B006
    log: options.AccessLog = "-",
    log_format: options.Format = LogFormat.COMBINED,
    tls_certificate: options.Certificate = None,
    tls_key: options.Key = None,
    name: options.Name = "",
    state: options.State = "",
    console: options.ConsoleIfAny = None,
    no_console: options.NoConsole = False,
) -> None:
    """Run a SOCKS server (4, 4a and 5), for programs that are told to use it."""
    from interpose.config.roles import socks_config

    supervise(
        lambda: socks_config(
            listen,
            workers=workers,
            allow_from=allow_from,
            faults=fault,
            auth=auth,
            allow_upstream=allow_upstream,
            log=log,
            log_format=log_format.value,
            tls_certificate=tls_certificate,
            tls_key=tls_key,
            name=name,
            state=state,
            console=None if no_console else console,
        ),
        from_flags=True,
    )


def echo(
    listen: options.Listen = ["127.0.0.1:8001"],  # noqa: B006
    udp: Udp = False,
    quiet: Quiet = False,
    hexadecimal: Hex = False,
    workers: options.Workers = 1,
    allow_from: options.AllowFrom = [],  # noqa: B006
    fault: options.Faults = [],  # noqa: B006
    log: NoLog = "off",
    log_format: options.Format = LogFormat.COMBINED,
    tls_certificate: options.Certificate = None,
    tls_key: options.Key = None,
    name: options.Name = "",
    state: options.State = "",
    no_console: options.NoConsole = False,
) -> None:
    """Send back whatever comes, and say who is connected."""
    from interpose.config.roles import echo_config

    supervise(
        lambda: echo_config(
            listen,
            udp=udp,
            show=_shown(quiet, hexadecimal),
            workers=workers,
            allow_from=allow_from,
            faults=fault,
            log=log,
            log_format=log_format.value,
            tls_certificate=tls_certificate,
            tls_key=tls_key,
            name=name,
            state=state,
        ),
        from_flags=True,
    )


def upper(
    listen: options.Listen = ["127.0.0.1:12000"],  # noqa: B006
    udp: Udp = False,
    quiet: Quiet = False,
    hexadecimal: Hex = False,
    workers: options.Workers = 1,
    allow_from: options.AllowFrom = [],  # noqa: B006
    fault: options.Faults = [],  # noqa: B006
    log: NoLog = "off",
    log_format: options.Format = LogFormat.COMBINED,
    tls_certificate: options.Certificate = None,
    tls_key: options.Key = None,
    name: options.Name = "",
    state: options.State = "",
    no_console: options.NoConsole = False,
) -> None:
    """Send back whatever comes in capitals, and say who is connected."""
    from interpose.config.roles import upper_config

    supervise(
        lambda: upper_config(
            listen,
            udp=udp,
            show=_shown(quiet, hexadecimal),
            workers=workers,
            allow_from=allow_from,
            faults=fault,
            log=log,
            log_format=log_format.value,
            tls_certificate=tls_certificate,
            tls_key=tls_key,
            name=name,
            state=state,
        ),
        from_flags=True,
    )


def _shown(quiet: bool, hexadecimal: bool) -> str:
    return "off" if quiet else "hex" if hexadecimal else "text"
