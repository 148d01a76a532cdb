"""Options that several commands share, each with its help, once."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from interpose.cli.say import Refused


class LogFormat(enum.StrEnum):
    """How lines of the access log and ready lines are written."""

    COMBINED = "combined"
    JSON = "json"


ConfigFile = Annotated[Path, typer.Argument(metavar="FILE", help="The configuration.")]
Listen = Annotated[
    list[str],
    typer.Option(
        "--listen", metavar="ADDR", help=r"host:port, :port, \[v6]:port or unix:path to listen on. Repeatable."
    ),
]
Workers = Annotated[int, typer.Option("--workers", metavar="N", help="Worker processes; 0 is one for each processor.")]
AllowFrom = Annotated[
    list[str],
    typer.Option(
        "--allow-from", metavar="CIDR", help="Networks of clients that may use it; others are turned away. Repeatable."
    ),
]
AllowUpstream = Annotated[
    list[str],
    typer.Option(
        "--allow-upstream", metavar="CIDR", help="Private networks that may be reached through it. Repeatable."
    ),
]
Faults = Annotated[
    list[str],
    typer.Option(
        "--fault",
        metavar="FAULT",
        help="What is to go wrong, such as 'latency latency_s=0.2 probability=0.5'. Repeatable.",
    ),
]
Cache = Annotated[
    str | None,
    typer.Option(
        "--cache",
        metavar="SIZE[,DIR]",
        help="Keep answers for the next who asks: 256MiB in memory of each worker, or 2GiB,DIR on disk for all.",
    ),
]
Compress = Annotated[bool, typer.Option("--compress", help="Compress answers: zstd, br or gzip, as clients ask.")]
Auth = Annotated[
    str | None, typer.Option("--auth", metavar="FILE", help="Users who may use it, as written by htpasswd -B.")
]
Socks = Annotated[bool, typer.Option("--socks", help="Speak SOCKS (4, 4a, 5) as well, on the same port.")]
Scripts = Annotated[
    list[str],
    typer.Option("--script", metavar="FILE", help="Filters of your own, read again when it changes. Repeatable."),
]
AccessLog = Annotated[
    str, typer.Option("--log", metavar="FILE", help="Where a line for each exchange goes: a file, - or off.")
]
Format = Annotated[LogFormat, typer.Option("--log-format", help="How log lines and ready lines are written.")]
Certificate = Annotated[
    str | None, typer.Option("--tls-certificate", metavar="FILE", help="Speak TLS, with this certificate chain (PEM).")
]
Key = Annotated[str | None, typer.Option("--tls-key", metavar="FILE", help="The certificate's private key (PEM).")]
Tls = Annotated[
    bool, typer.Option("--tls", help="Speak TLS, with a certificate for localhost that is made on the spot.")
]
Name = Annotated[
    str, typer.Option("--name", metavar="NAME", help="What this instance is called.", show_default="the role")
]
NameOfRun = Annotated[
    str,
    typer.Option(
        "--name", metavar="NAME", help="What this instance is called.", show_default="the file's, without its ending"
    ),
]
State = Annotated[
    str,
    typer.Option(
        "--state",
        metavar="DIR",
        help="Where instances keep their lock and control socket.",
        envvar="INTERPOSE_STATE",
        show_default="~/.local/state/interpose",
    ),
]
Console = Annotated[
    str,
    typer.Option(
        "--console",
        metavar="ADDR",
        help="Where the web console listens.",
        show_default="127.0.0.1:8081, or any port where that is taken",
    ),
]
ConsoleIfAny = Annotated[
    str | None,
    typer.Option("--console", metavar="ADDR", help="Record what passes, and show it on a web console at this address."),
]
Holds = Annotated[
    list[str],
    typer.Option(
        "--hold", metavar="QUERY", help="Requests that wait until somebody has looked: 'method:POST'. Repeatable."
    ),
]
Intercepts = Annotated[
    list[str],
    typer.Option(
        "--intercept",
        metavar="QUERY",
        help="Look into the TLS of these tunnels: 'host:*.example.com', or '*' for all. Repeatable.",
    ),
]
KeyLog = Annotated[
    str | None,
    typer.Option(
        "--keylog",
        metavar="FILE",
        help="Write the secrets of the TLS that is looked into there, for Wireshark.",
        show_default="$SSLKEYLOGFILE, if set",
    ),
]
NoConsole = Annotated[bool, typer.Option("--no-console", help="Run without the web console, and record nothing.")]
WhichName = Annotated[
    str, typer.Option("--name", metavar="NAME", help="Which instance.", show_default="the only one running")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]


def key_log(file: str | None, intercept: list[str]) -> str | None:
    """The same file, if there are secrets to be written to it."""
    if file is not None and not intercept:
        raise Refused("--keylog takes the secrets of TLS that is looked into: add --intercept QUERY.")
    return file
