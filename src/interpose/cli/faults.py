"""`interpose faults`: what is to go wrong on a running instance, changed while it runs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from interpose.cli import instance, options

TIMEOUT_S = 60.0
OFF = "off"

app = typer.Typer(no_args_is_help=True, help="Let connections, datagrams and exchanges fail, on a running instance.")

Where = typer.Argument(metavar="NAME", help="A listener or a route, as list shows it.")


@app.command("list")
def list_(name: options.WhichName = "", state: options.State = "", as_json: options.AsJson = False) -> None:
    """Show the faults of every listener and route, and whether they come from the configuration or were set live."""
    answer = instance.ask(name, state, "GET", "/v1/faults", TIMEOUT_S)
    if as_json:
        instance.print_json(answer)
        return
    from interpose.cli.table import console, table

    rows = [
        (str(row["name"]), str(row["of"]), _source(row), ", ".join(row["faults"]) or "none")
        for row in answer.get("faults", ())
    ]
    console().print(table(("Name", "What", "From", "Faults"), rows))


def _source(row: dict[str, Any]) -> str:
    return "live" if row["live"] else "configuration"


@app.command("set")
def set_(
    where: Annotated[str, Where],
    faults: Annotated[
        list[str],
        typer.Argument(metavar="FAULT", help=f"Such as 'latency latency_s=0.2 probability=0.5'; {OFF} for none."),
    ],
    name: options.WhichName = "",
    state: options.State = "",
    as_json: options.AsJson = False,
) -> None:
    """Let a listener or a route have exactly these faults, whatever its configuration says, until they are cleared.
    Connections and exchanges that have begun keep theirs."""
    wanted = [] if faults == [OFF] else faults
    done = f"From now on {where} has {', '.join(wanted) or 'no faults'}."
    _change(name, state, "PUT", {"name": where, "faults": wanted}, as_json, done)


@app.command("clear")
def clear(
    where: Annotated[str, Where] = "",
    name: options.WhichName = "",
    state: options.State = "",
    as_json: options.AsJson = False,
) -> None:
    """Let a listener or a route, or all of them, have the faults of the configuration again."""
    _change(
        name,
        state,
        "DELETE",
        {"name": where},
        as_json,
        f"From now on {where or 'everything'} has the faults of its configuration.",
    )


def _change(name: str, state: str, method: str, wanted: dict[str, Any], as_json: bool, done: str) -> None:
    import json

    answer = instance.ask(name, state, method, "/v1/faults", TIMEOUT_S, json.dumps(wanted).encode())
    if as_json:
        instance.print_json(answer)
    else:
        print(done)
