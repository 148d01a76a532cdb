"""What `interpose connect` and `interpose get` have in common: how servers are reached, and how the loop is run."""

from __future__ import annotations

import os
import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interpose.cli.say import Refused

if TYPE_CHECKING:
    import asyncio

    from interpose.cli.standard_streams import Outlet
    from interpose.config.client import ReachOptions

MAX_TIMEOUT_S = 86_400.0
TERMINATED = 143
"""The exit status after SIGTERM, as shells have it."""

Through = Annotated[
    str,
    typer.Option(
        "--proxy",
        metavar="URL",
        help="Go through a proxy: http://host:port, https:// or socks5://, with user:password@ before the host if "
        "it wants that.",
    ),
]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="Accept any certificate. Anybody on the way can read along.")
]
Authorities = Annotated[
    str | None, typer.Option("--ca-file", metavar="FILE", help="Authorities to believe (PEM) instead of the system's.")
]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Tell on standard error: addresses, ports, TLS, times.")]


def reach_options(proxy: str, insecure: bool, ca_file: str | None, connect_timeout_s: float) -> ReachOptions:
    """The options as the configuration has them. `Refused` for what is wrong with them."""
    from interpose.config.client import ReachOptions
    from interpose.config.urls import proxy_of

    try:
        through = proxy_of(proxy) if proxy else None
    except ValueError as error:
        raise Refused(str(error)) from None
    return ReachOptions(proxy=through, verify=not insecure, ca_file=ca_file, connect_timeout_s=connect_timeout_s)


def checked_timeout(timeout: float) -> float:
    """`timeout` when it is one. `Refused` else."""
    if not 0 < timeout <= MAX_TIMEOUT_S:
        raise Refused(f"--timeout {timeout:g}: it must be more than 0 and at most {MAX_TIMEOUT_S:g} seconds.")
    return timeout


def check_output() -> None:
    """`Refused` when standard output is closed: its number may belong to a connection before long."""
    if sys.stdout is None:
        raise Refused("standard output is closed; there is nowhere to write to.")


def run_to_end(coroutine: Coroutine[Any, Any, int]) -> int:
    """Run a command on an event loop of its own; its exit status. SIGTERM ends it as Ctrl-C does: what it began to
    write is taken back."""
    import asyncio
    import signal

    import uvloop

    was_terminated = False

    async def guarded() -> int:
        task = asyncio.current_task()
        assert task is not None

        def terminate() -> None:
            nonlocal was_terminated
            was_terminated = True
            task.cancel()

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
        return await coroutine

    try:
        return uvloop.run(guarded())
    except asyncio.CancelledError:
        if was_terminated:
            return TERMINATED
        raise


async def unless_broken(outlet: Outlet, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What `coroutine` gives, unless nobody takes what is written any more: then it is cancelled. OSError then."""
    import asyncio

    task: asyncio.Task[Any] = asyncio.ensure_future(coroutine)
    try:
        await asyncio.wait((task, outlet.broken), return_when=asyncio.FIRST_COMPLETED)
        if outlet.broken.done():
            raise outlet.broken.result()
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def is_terminal(descriptor: int) -> bool:
    """Whether a person looks at it, or types there."""
    try:
        return os.isatty(descriptor)
    except OSError:
        return False
