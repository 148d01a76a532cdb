"""`interpose experiments`: what is known of the variants of a running instance, and deciding."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from interpose.cli import instance, options

TIMEOUT_S = 60.0

app = typer.Typer(no_args_is_help=True, help="Look at the experiments of a running instance, and decide.")

Which = Annotated[str, typer.Argument(metavar="EXPERIMENT", help="Its name.")]
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, to be kept with the decision.")]


@app.command("list")
def list_(name: options.WhichName = "", state: options.State = "", as_json: options.AsJson = False) -> None:
    """Show every experiment: how it stands, and its verdict."""
    answer = instance.ask(name, state, "GET", "/v1/experiments", TIMEOUT_S)
    if as_json:
        instance.print_json(answer)
        return
    from interpose.cli.experiment_view import list_view
    from interpose.cli.table import console

    console().print(list_view(answer["experiments"]))


@app.command("show")
def show(
    experiment: Which, name: options.WhichName = "", state: options.State = "", as_json: options.AsJson = False
) -> None:
    """Show one experiment: each variant's numbers, how sure they are, and what was decided."""
    answer = instance.ask(name, state, "GET", f"/v1/experiments/{quote(experiment, safe='')}", TIMEOUT_S)
    if as_json:
        instance.print_json(answer)
        return
    from interpose.cli.experiment_view import experiment_view
    from interpose.cli.table import console

    console().print(experiment_view(answer))


@app.command("promote")
def promote(
    experiment: Which,
    variant: Annotated[str, typer.Argument(metavar="VARIANT", help="One level of each factor: button=green.")],
    why: Why = "",
    name: options.WhichName = "",
    state: options.State = "",
    as_json: options.AsJson = False,
) -> None:
    """Give VARIANT to everybody but the holdout."""
    _decide(experiment, "promote", why, name, state, as_json, f"{variant} is for everybody now.", variant)


@app.command("pause")
def pause(
    experiment: Which,
    why: Why = "",
    name: options.WhichName = "",
    state: options.State = "",
    as_json: options.AsJson = False,
) -> None:
    """Let nobody take part, until it is resumed."""
    _decide(experiment, "pause", why, name, state, as_json, "Nobody takes part now.")


@app.command("resume")
def resume(
    experiment: Which,
    why: Why = "",
    name: options.WhichName = "",
    state: options.State = "",
    as_json: options.AsJson = False,
) -> None:
    """Let it go on, whatever was decided."""
    _decide(experiment, "resume", why, name, state, as_json, "It goes on.")


@app.command("roll-back")
def roll_back(
    experiment: Which,
    why: Why = "",
    name: options.WhichName = "",
    state: options.State = "",
    as_json: options.AsJson = False,
) -> None:
    """End it: everybody gets what there is without it."""
    _decide(experiment, "roll back", why, name, state, as_json, "It has ended; nobody takes part any more.")


def _decide(
    experiment: str, action: str, why: str, name: str, state: str, as_json: bool, said: str, variant: str = ""
) -> None:
    import json

    content: dict[str, Any] = {"action": action, "variant": variant, "why": why}
    path = f"/v1/experiments/{quote(experiment, safe='')}/decide"
    answer = instance.ask(name, state, "POST", path, TIMEOUT_S, json.dumps(content).encode())
    if as_json:
        instance.print_json(answer)
    else:
        print(said)
