"""The commands of the program, in the order in which `--help` lists them."""

from __future__ import annotations

from typing import Annotated

import typer

from interpose import __version__
from interpose.cli import (
    ca,
    cache,
    check,
    connect,
    desk,
    execute,
    experiments,
    explain_request,
    extcap,
    faults,
    firewall,
    flows,
    get,
    instance,
    lab,
    send,
    sockets,
    spool,
    start,
)

app = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"interpose {__version__}")
        raise typer.Exit


@app.callback()
def interpose(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Stand between a client and a server: relay, show, edit, filter and balance what passes."""


START = "Start something"
SPEAK = "Be a client"
ASK = "Speak to what runs"
LEARN = "Learn"

app.command(rich_help_panel=START)(start.proxy)
app.command(rich_help_panel=START)(start.gateway)
app.command(rich_help_panel=START)(sockets.relay)
app.command(rich_help_panel=START)(sockets.socks)
app.command(rich_help_panel=START)(sockets.echo)
app.command(rich_help_panel=START)(sockets.upper)
app.command(rich_help_panel=START)(spool.spool)
app.command(rich_help_panel=START)(spool.sink)
app.command(rich_help_panel=SPEAK)(connect.connect)
app.command(rich_help_panel=SPEAK)(get.get)
app.command(rich_help_panel=SPEAK)(send.send)
app.command("exec", rich_help_panel=START, context_settings={"allow_interspersed_args": False})(execute.execute)
app.command(rich_help_panel=START)(start.run)
app.command(rich_help_panel=START)(check.check)
app.command(rich_help_panel=ASK)(instance.status)
app.command(rich_help_panel=ASK)(instance.reload)
app.command(rich_help_panel=ASK)(instance.drain)
app.command(rich_help_panel=ASK)(explain_request.explain)
app.command(rich_help_panel=ASK)(extcap.extcap)
app.add_typer(flows.app, name="flows", rich_help_panel=ASK)
app.add_typer(desk.app, name="desk", rich_help_panel=ASK)
app.add_typer(faults.app, name="faults", rich_help_panel=ASK)
app.add_typer(cache.app, name="cache", rich_help_panel=ASK)
app.add_typer(firewall.app, name="firewall", rich_help_panel=ASK)
app.add_typer(experiments.app, name="experiments", rich_help_panel=ASK)
app.add_typer(ca.app, name="ca", rich_help_panel=ASK)
app.add_typer(lab.lab, name="lab", rich_help_panel=LEARN)
