"""`interpose exec -- COMMAND`: one command, with its proxy variables set to a proxy of its own.

The proxy runs in this process on a free port of 127.0.0.1 and ends with the command. The command keeps the terminal:
nothing is printed here while it runs, and its exit status becomes ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from interpose.cli import options
from interpose.cli.options import LogFormat
from interpose.cli.say import Refused

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from asyncio.subprocess import Process
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from interpose.config.model import Config

TRUST_VARIABLES = (
    "SSL_CERT_FILE",  # OpenSSL, and with it Python, Ruby, PHP, curl, and Go
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "GIT_SSL_CAINFO",
    "AWS_CA_BUNDLE",
    "CARGO_HTTP_CAINFO",
    "DENO_CERT",
    "PERL_LWP_SSL_CA_FILE",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "NIX_SSL_CERT_FILE",
)
"""Variables that name a file of the authorities to believe."""

NOT_EXECUTABLE, NOT_FOUND, SIGNALLED = 126, 127, 128
"""Exit statuses as shells have them; the last one is added to the number of the signal that ended the command."""


def execute(
    command: Annotated[list[str], typer.Argument(metavar="COMMAND", help="The command and its arguments.")],
    allow_upstream: options.AllowUpstream = [],  # noqa: B006 - never changed
    script: options.Scripts = [],  # noqa: B006
    log: options.AccessLog = "off",
    log_format: options.Format = LogFormat.COMBINED,
    intercept: options.Intercepts = [],  # noqa: B006
    keylog: options.KeyLog = None,
    no_console: options.NoConsole = False,
) -> None:
    """Run one command through a proxy of its own, and end with its exit status: `interpose exec -- pytest`.

    With --intercept it trusts a certificate authority that is made for it alone, and gone with it.
    """
    import shutil
    import tempfile
    from pathlib import Path

    from interpose.cli.start import configured

    if shutil.which(command[0]) is None:
        raise Refused(f"there is no command {command[0]!r}.", status=NOT_FOUND)
    with tempfile.TemporaryDirectory(prefix="interpose-exec-") as directory:  # mode 0700
        trusted = authority_in(Path(directory)) if intercept else {}
        config = configured(
            lambda: exec_config(
                Path(directory),
                intercept=intercept,
                keylog=options.key_log(keylog, intercept),
                allow_upstream=allow_upstream,
                scripts=script,
                log=log,
                log_format=log_format.value,
            ),
            from_flags=True,
        )
        import uvloop

        status = uvloop.run(proxied(config, command, trusted))
    raise typer.Exit(status)


def exec_config(directory: Path, **options: Any) -> Config:
    """The proxy of one command; its authority, if it has one, is in `directory`."""
    from interpose.config.load import config_of
    from interpose.config.roles import proxy_tables

    tables = proxy_tables(["127.0.0.1:0"], name="exec", **options)
    if "interception" in tables:
        tables["interception"]["dir"] = str(directory)
    return config_of(tables)


def authority_in(directory: Path) -> dict[str, str]:
    """Make an authority in `directory`; the variables by which programs come to trust it, beside those they trust."""
    from interpose.net.authority import CERTIFICATE_FILE, CertificateAuthority
    from interpose.net.trust_bundle import bundle

    authority = CertificateAuthority.create(directory, days=30)
    file = directory / "trusted.pem"
    file.write_bytes(bundle(authority.pem))
    variables = dict.fromkeys(TRUST_VARIABLES, str(file))
    return {**variables, "NODE_EXTRA_CA_CERTS": str(directory / CERTIFICATE_FILE)}  # which adds by itself


async def proxied(config: Config, command: list[str], trusted: Mapping[str, str]) -> int:
    """Run `command` through a proxy of its own, with the variables `trusted`; the exit status to end with."""
    import asyncio

    from interpose.config.serve import serve

    async with serve(config) as running:
        environment = {**proxy_environment(f"http://{running.addresses['proxy']}"), **trusted}
        begin = forward_signals(asyncio.get_running_loop())  # before the command can ask anybody to send one
        try:
            process = await asyncio.create_subprocess_exec(*command, env=environment)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise Refused(f"{command[0]!r} cannot be run: {reason}.", status=NOT_EXECUTABLE) from None
        begin(process)
        status = await process.wait()
    return SIGNALLED - status if status < 0 else status


def proxy_environment(url: str) -> dict[str, str]:
    """Our environment with every variable that programs look for set to the proxy at `url`.

    Exceptions are emptied: what the command asks of this machine's own servers goes through as well.
    """
    import os

    names = ("http_proxy", "https_proxy", "all_proxy")
    proxies = {spelling: url for name in names for spelling in (name, name.upper())}
    return {**os.environ, **proxies, "no_proxy": "", "NO_PROXY": "", "NODE_USE_ENV_PROXY": "1"}


def forward_signals(loop: AbstractEventLoop) -> Callable[[Process], None]:
    """Pass on what is sent to us to the command that the result is called with, once it is.

    Ctrl-C on a terminal reaches the command by itself, and is left to it.
    """
    import contextlib
    import os
    import signal

    command: Process | None = None
    early: list[signal.Signals] = []

    def forward(number: signal.Signals) -> None:
        if number == signal.SIGINT and is_in_foreground():
            return
        if command is None:
            early.append(number)
            return
        with contextlib.suppress(ProcessLookupError):
            command.send_signal(number)

    def begin(process: Process) -> None:
        nonlocal command
        command = process
        for number in early:
            forward(number)

    def is_in_foreground() -> bool:
        try:
            terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
        except OSError:
            return False
        try:
            return os.tcgetpgrp(terminal) == os.getpgrp()
        except OSError:
            return False
        finally:
            os.close(terminal)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        loop.add_signal_handler(number, forward, number)
    return begin
