"""`interpose firewall`: what the firewall of a running instance has matched, and what other rules would do."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from interpose.cli import instance, options
from interpose.cli.say import printable

TIMEOUT_S = 30.0
TRY_TIMEOUT_S = 600.0

app = typer.Typer(no_args_is_help=True, help="See what the firewall of a running instance has matched, and try rules.")


@app.command("list")
def list_(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="Only exchanges that match it.")] = "",
    limit: Annotated[int, typer.Option("--limit", metavar="N", help="At most so many.", min=1, max=500)] = 50,
    name: options.WhichName = "",
    state: options.State = "",
    as_json: options.AsJson = False,
) -> None:
    """Show the latest exchanges in which rules matched, and the rules that match most often."""
    answer = instance.ask(name, state, "GET", f"/v1/firewall?{urlencode({'q': query, 'limit': limit})}", TIMEOUT_S)
    if as_json:
        instance.print_json(answer)
        return
    from interpose.cli.table import console, table

    out = console()
    out.print(
        table(("Flow", "Result", "Score", "Method", "Target", "Rules"), [_line(row) for row in answer["matches"]])
    )
    if answer["top"]:
        rows = [
            (one["rule"], str(one["count"]), str(one["blocked"]), printable(one["message"])) for one in answer["top"]
        ]
        out.print()
        out.print(table(("Rule", "Matched", "Blocked", "What it means"), rows[:10]))
    if not answer["is_recorded"]:
        print("Nothing is recorded by this instance: give it a [journal] table.")


@app.command("show")
def show(
    id: Annotated[int, typer.Argument(metavar="ID", help="The flow's number in the journal.", min=1)],
    name: options.WhichName = "",
    state: options.State = "",
    as_json: options.AsJson = False,
) -> None:
    """Say which rules matched in an exchange, where, and what they added up to."""
    answer = instance.ask(name, state, "GET", f"/v1/firewall/{id}", TIMEOUT_S)
    if as_json:
        instance.print_json(answer)
        return
    from interpose.cli.table import console, table

    print(f"{answer['method']} {printable(answer['target'])}: {answer['status']}")
    print(f"{answer['result']}: the {answer['side']} score is {answer['score']}, the threshold {answer['threshold']}")
    rows = [_rule(rule) for rule in answer["rules"]]
    console().print(table(("Rule", "Adds", "Where", "What it means"), rows))


@app.command("try")
def try_(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="Which recorded exchanges. Empty: all.")] = "",
    last: Annotated[int, typer.Option("--last", metavar="N", help="The newest N of them.", min=1, max=10_000)] = 500,
    rules: Annotated[str, typer.Option("--rules", metavar="DIR", help="Another rule set.")] = "",
    paranoia: Annotated[int, typer.Option("--paranoia", metavar="N", help="Block up to this level.", min=0, max=4)] = 0,
    detect: Annotated[int, typer.Option("--detect", metavar="N", help="Note up to this level.", min=0, max=4)] = 0,
    threshold: Annotated[
        int, typer.Option("--threshold", metavar="N", help="Block requests from this score.", min=0)
    ] = 0,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude", metavar="RULE[:WHAT]", help="Leave out a rule, or what it looks at: 942100:ARGS:note."
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Propose exclusions for all who would be blocked.")] = False,
    name: options.WhichName = "",
    state: options.State = "",
    as_json: options.AsJson = False,
) -> None:
    """Ask changed rules about recorded exchanges: who would newly be blocked or freed. Nothing that runs is changed."""
    import json
    from pathlib import Path

    wanted = {
        "query": query,
        "last": last,
        "rule_set": str(Path(rules).absolute()) if rules else "",
        "blocking_paranoia": paranoia,
        "detection_paranoia": detect,
        "inbound_threshold": threshold,
        "exclude": exclude or [],
        "every": every,
    }
    content = json.dumps(wanted).encode()
    answer = instance.ask(name, state, "POST", "/v1/firewall/try", TRY_TIMEOUT_S, content)
    if as_json:
        instance.print_json(answer)
        return
    _print_trial(answer)


def _print_trial(answer: dict[str, Any]) -> None:
    from interpose.cli.table import console, table

    out = console()
    before, after = answer["blocked_before"], answer["blocked_after"]
    print(f"{answer['tried']} exchanges tried. Blocked by the rules as they are: {before}; by these: {after}.")
    for key, title in (("newly_blocked", "Newly blocked"), ("newly_freed", "Newly free")):
        if answer[key]:
            out.print()
            out.print(
                table(("Flow", "Score", "Method", "Target", "Rules"), [_tried(row) for row in answer[key]], title=title)
            )
    if answer["by_rule"]:
        rows = [(one["rule"], str(one["count"]), printable(one["message"])) for one in answer["by_rule"][:20]]
        out.print()
        out.print(table(("Rule", "Blocks", "What it means"), rows, title="By rule"))
    if answer["proposal"]:
        print(f"\nThese exclusions free {answer['freed']} of them ({answer['left']} stay blocked):\n")
        print(answer["proposal"])
    for key, what in (("unjudged", "took too long"), ("cut", "had more content than the journal keeps")):
        if answer[key]:
            print(f"\n{answer[key]} of the exchanges {what}.")


def _line(row: dict[str, Any]) -> tuple[str, ...]:
    score = f"{row['score']}/{row['threshold']}"
    rules = " ".join(dict.fromkeys(rule["rule"] for rule in row["rules"]))
    return str(row["id"]), row["result"], score, row["method"], printable(row["target"]), rules


def _tried(row: dict[str, Any]) -> tuple[str, ...]:
    rules = " ".join(dict.fromkeys(rule["rule"] for rule in row["rules"]))
    return str(row["id"]), str(row["score"]), row["method"], printable(row["target"]), rules


def _rule(rule: dict[str, Any]) -> tuple[str, ...]:
    return rule["rule"], str(rule["score"]), printable(rule["where"]), printable(rule["message"])
