"""`interpose spool` and `sink`: from options to a running supervisor."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

from interpose.cli import options
from interpose.cli.options import LogFormat
from interpose.cli.start import supervise


class Form(enum.StrEnum):
    """How files are sent on."""

    AUTO = "auto"
    FRAMED = "framed"
    PLAIN = "plain"


End = Annotated[
    str,
    typer.Option("--end", metavar="END", help="What ends a plain file: half-close, or idle:S for S silent seconds."),
]
NoLog = Annotated[str, typer.Option("--log", metavar="FILE", help="A line for each connection: a file, - or off.")]


def spool(
    to: Annotated[
        str, typer.Option("--to", metavar="ADDR", help="Where files go: host:port, tls://host:port or unix:path.")
    ],
    listen: options.Listen = ["127.0.0.1:9000"],  # noqa: B006 - never changed, and shown in --help
    directory: Annotated[
        str, typer.Option("--dir", metavar="DIR", help="Where files are kept, and can be edited.")
    ] = "spool",
    hold: Annotated[bool, typer.Option("--hold", help="Send nothing that nobody has released.")] = False,
    delay: Annotated[
        float, typer.Option("--delay", metavar="S", help="How long a file waits, and can be edited, before it is sent.")
    ] = 0.0,
    end: End = "half-close",
    form: Annotated[
        Form, typer.Option("--form", help="How files are sent: framed is for spools and sinks only; see the manual.")
    ] = Form.AUTO,
    ca_file: Annotated[
        str | None, typer.Option("--ca-file", metavar="FILE", help="Authorities to believe for a tls:// server (PEM).")
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Believe any certificate of a tls:// server.")] = False,
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
    """Store files, let them wait and be edited, send on what is stored then, and pass the answer back."""
    from interpose.config.roles import spool_config

    supervise(
        lambda: spool_config(
            to,
            directory,
            listen,
            hold=hold,
            delay_s=delay,
            end=end,
            form=form.value,
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
        ),
        from_flags=True,
        servers="--to",
    )


def sink(
    directory: Annotated[str, typer.Argument(metavar="DIR", help="Where files are kept.")],
    listen: options.Listen = ["127.0.0.1:9001"],  # noqa: B006
    end: End = "half-close",
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
    """Store what is sent, and answer with its size and SHA-256."""
    from interpose.config.roles import sink_config

    supervise(
        lambda: sink_config(
            directory,
            listen,
            end=end,
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
