"""`interpose run`, `proxy` and `gateway`: from a file or options to a running supervisor."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from interpose.cli import options
from interpose.cli.options import LogFormat
from interpose.cli.say import Refused, numbered

if TYPE_CHECKING:
    from interpose.config.model import Config

DEFAULT_FILE = Path("interpose.toml")
Made = TypeVar("Made")


def proxy(
    listen: options.Listen = ["127.0.0.1:8080"],  # noqa: B006 - never changed, and shown in --help
    workers: options.Workers = 1,
    allow_from: options.AllowFrom = [],  # noqa: B006
    fault: options.Faults = [],  # noqa: B006
    auth: options.Auth = None,
    allow_upstream: options.AllowUpstream = [],  # noqa: B006
    socks: options.Socks = False,
    cache: options.Cache = None,
    script: options.Scripts = [],  # noqa: B006
    log: options.AccessLog = "-",
    log_format: options.Format = LogFormat.COMBINED,
    tls_certificate: options.Certificate = None,
    tls_key: options.Key = None,
    tls: options.Tls = False,
    name: options.Name = "",
    state: options.State = "",
    intercept: options.Intercepts = [],  # noqa: B006
    keylog: options.KeyLog = None,
    hold: options.Holds = [],  # noqa: B006
    console: options.Console = "",
    no_console: options.NoConsole = False,
) -> None:
    """Run a forward proxy, for browsers and programs that are told to use it."""
    from interpose.config.roles import proxy_config

    supervise(
        lambda: proxy_config(
            listen,
            workers=workers,
            allow_from=allow_from,
            faults=fault,
            auth=auth,
            allow_upstream=allow_upstream,
            socks=socks,
            cache=cache,
            scripts=script,
            log=log,
            log_format=log_format.value,
            tls_certificate=tls_certificate,
            tls_key=tls_key,
            tls_development=tls,
            name=name,
            state=state,
            holds=hold,
            intercept=intercept,
            keylog=options.key_log(keylog, intercept),
            console=None if no_console else console,
        ),
        from_flags=True,
    )


def gateway(
    upstream: Annotated[
        list[str], typer.Argument(metavar="UPSTREAM", help="http://host:port, https://host, host:port or unix:path.")
    ],
    listen: options.Listen = ["127.0.0.1:8080"],  # noqa: B006
    workers: options.Workers = 1,
    allow_from: options.AllowFrom = [],  # noqa: B006
    fault: options.Faults = [],  # noqa: B006
    auth: options.Auth = None,
    cache: options.Cache = None,
    compress: options.Compress = False,
    script: options.Scripts = [],  # noqa: B006
    log: options.AccessLog = "-",
    log_format: options.Format = LogFormat.COMBINED,
    tls_certificate: options.Certificate = None,
    tls_key: options.Key = None,
    tls: options.Tls = False,
    name: options.Name = "",
    state: options.State = "",
    hold: options.Holds = [],  # noqa: B006
    console: options.Console = "",
    no_console: options.NoConsole = False,
) -> None:
    """Run a gateway (reverse proxy) before one server, or before several of which any will do."""
    from interpose.config.roles import gateway_config

    supervise(
        lambda: gateway_config(
            upstream,
            listen,
            workers=workers,
            allow_from=allow_from,
            faults=fault,
            auth=auth,
            cache=cache,
            compress=compress,
            scripts=script,
            log=log,
            log_format=log_format.value,
            tls_certificate=tls_certificate,
            tls_key=tls_key,
            tls_development=tls,
            name=name,
            state=state,
            holds=hold,
            console=None if no_console else console,
        ),
        from_flags=True,
    )


def run(
    file: options.ConfigFile = DEFAULT_FILE,
    name: options.NameOfRun = "",
    state: options.State = "",
    log_format: Annotated[
        LogFormat | None, typer.Option("--log-format", help="Instead of the format in the file.")
    ] = None,
    no_console: options.NoConsole = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Read the file again whenever it changes, as `interpose reload` does.")
    ] = False,
) -> None:
    """Run what a configuration describes. It is read again on SIGHUP and `interpose reload`."""
    from msgspec.structs import replace

    from interpose.config.load import load

    check_default(file)

    def read() -> Config:
        config = load(file)
        process = replace(config.process, name=name or config.process.name, state_dir=state or config.process.state_dir)
        log = config.log if log_format is None else replace(config.log, format=log_format.value)
        if no_console:
            config = replace(config, console=None, journal=None)
        return replace(config, process=process, log=log)

    supervise(read, from_flags=False, watched=file if watch else None)


def supervise(
    read: Callable[[], Config], *, from_flags: bool, servers: str = "UPSTREAM", watched: Path | None = None
) -> None:
    """Run a configuration until it is told to stop. Flags do not change: only a file is worth reading again.

    `servers` is the option or argument of the servers behind it. `watched` is read again when it changes.
    """
    config = configured(read, from_flags=from_flags, servers=servers)
    from interpose.config import launch

    interactive = from_flags or sys.stderr.isatty()
    raise typer.Exit(
        launch.supervise(config, load=None if from_flags else read, interactive=interactive, watched=watched)
    )


def check_default(file: Path) -> None:
    """Refuse in helpful words when no file was named and the one that is then meant is not there."""
    if file == DEFAULT_FILE and not file.exists():
        raise Refused(
            f"there is no {file} in this directory; name a configuration, or start without one: "
            "`interpose proxy`, `interpose gateway UPSTREAM`"
        )


def configured(read: Callable[[], Made], *, from_flags: bool, servers: str = "UPSTREAM") -> Made:
    """What `read` makes of a configuration, or every sentence about what is wrong with it."""
    from interpose.config.problem import ConfigError
    from interpose.config.roles import said_of_flags

    try:
        return read()
    except ConfigError as error:
        problems = said_of_flags(error.problems, servers) if from_flags else map(str, error.problems)
        raise Refused(*numbered(problems)) from None
    except ValueError as error:  # from building: each line is a sentence
        raise Refused(*numbered(str(error).split("\n"))) from None
