"""`interpose explain`: which rule decides about a request, and why; or why an exchange was refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote, urlencode

import typer

from interpose.cli import instance, options
from interpose.cli.say import Refused

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT_S = 15.0
_REFERENCE = re.compile(r"[0-9]{1,6}-[0-9a-f]{1,16}")
_DONE = {
    "allow": "is let through",
    "deny": "is refused",
    "hold": "waits at the desk",
    "ask": "is decided elsewhere",
    "limit": "goes on under its limit",
}
_WHEN_IT_COMES = ("firewall", "limit")
"""Who decides by more than is asked about."""


def explain(
    what: Annotated[
        str,
        typer.Argument(metavar="URL|REFERENCE", help="A URL, host:port for a tunnel, or what an error page calls it."),
    ],
    client: Annotated[str, typer.Option("--from", metavar="IP", help="Who asks, by address.")] = "127.0.0.1",
    user: Annotated[str, typer.Option("--user", metavar="NAME", help="Who asks, by name.")] = "",
    groups: Annotated[
        list[str] | None, typer.Option("--group", metavar="NAME", help="A group of the user. Repeatable.")
    ] = None,
    method: Annotated[str, typer.Option("--method", metavar="METHOD", help="How it is asked.")] = "GET",
    listener: Annotated[
        str, typer.Option("--listener", metavar="NAME", help="Which listener is asked.", show_default="the first one")
    ] = "",
    config: Annotated[
        str, typer.Option("--config", metavar="FILE", help="Ask the rules of this file, and no running instance.")
    ] = "",
    name: options.WhichName = "",
    state: options.State = "",
    as_json: options.AsJson = False,
) -> None:
    """Say which rule decides about a request and why, which others are asked, and what would refuse it besides."""
    if not config and _REFERENCE.fullmatch(what):
        answer = instance.ask(name, state, "GET", f"/v1/access/explain/{quote(what)}", TIMEOUT_S)
        lines = list(_of_exchange(answer))
    else:
        question = {"url": what, "client": client, "user": user, "method": method, "listener": listener}
        if config:
            from pathlib import Path

            answer = _offline({**question, "user": user or None, "groups": groups or None}, Path(config))
        else:
            pairs = [*question.items(), *(("group", group) for group in groups or ())]
            answer = instance.ask(name, state, "GET", f"/v1/access/explain?{urlencode(pairs)}", TIMEOUT_S)
        lines = list(_story(answer))
    if as_json:
        instance.print_json(answer)
        return
    from interpose.core.printable import printable

    for line in lines:
        print(printable(line.encode()))


def _offline(question: dict[str, Any], file: Path) -> dict[str, Any]:
    import asyncio

    from interpose.cli.start import configured
    from interpose.config.explaining import Question, explanation_offline
    from interpose.config.load import load

    loaded = configured(lambda: load(file), from_flags=False)
    try:
        return asyncio.run(explanation_offline(Question(**question), loaded))
    except ValueError as error:
        raise Refused(f"{error}.".replace("..", ".")) from None


def _story(answer: Mapping[str, Any]) -> Iterator[str]:
    who = f"{answer['user']} at {answer['client']}" if answer["user"] else answer["client"]
    yield f"{answer['method']} {answer['url']} from {who}, on the listener {answer['listener']}"
    yield ""
    for row in answer["rules"]:
        on_trial = " (on trial)" if row["dry_run"] else ""
        yield f"  rule {row['number']}: {row['action']} {row['name']}{on_trial}"
        if row["matched"]:
            yield "      matches"
        for reason in row["reasons"]:
            yield f"      does not match: {reason['part']}, {_found(reason)}"
    yield _verdict(answer["decision"])
    yield from _besides(answer)


def _found(reason: Mapping[str, Any]) -> str:
    if reason["found"] is None:
        return "of which nothing is known here"
    return f"it is {reason['found']}" if reason["found"] else "there is none"


def _verdict(decision: Mapping[str, Any]) -> str:
    if decision["rule"] is None:
        return "No access rule decides about it: what no rule means is let through."
    status = f" with {decision['status']}" if decision["status"] else ""
    message = f": {decision['message']}" if decision["message"] else ""
    return f"By rule {decision['rule']}, {decision['name']}, it {_DONE[decision['action']]}{status}{message}"


def _besides(answer: Mapping[str, Any]) -> Iterator[str]:
    known = [other for other in answer["others"] if other["by"] not in _WHEN_IT_COMES]
    later = [other for other in answer["others"] if other["by"] in _WHEN_IT_COMES]
    for other in known:
        if not other["refuses"]:
            yield f"Before that: {other['why']}"
    refusing = [other for other in known if other["refuses"]]
    for other in refusing:
        yield f"It would fail besides ({other['by']}): {other['why']}"
    if not refusing:
        yield f"Nothing else here would refuse it{', as far as is known before it comes' if later else ''}."
    for other in later:
        yield f"When it comes: {other['why']}"


def _of_exchange(answer: Mapping[str, Any]) -> Iterator[str]:
    notes = answer["notes"]
    failure = f", {answer['failure']}" if answer["failure"] else ""
    yield f"Exchange {answer['reference']} (record {answer['record']}) ended with {answer['status']}{failure}."
    if "why" in notes:
        yield f"Refused by {notes.get('filter', '?')}, rule {notes.get('rule', '?')}: {notes['why']}"
    elif "access" in notes:
        yield f"Decided by the access rule {notes['access']}."
    else:
        yield "No rule decided about it."
    for name in ("dry_run", "bypassed", "decided"):
        if name in notes:
            yield f"{name}: {notes[name]}"
    if answer["now"] is not None:
        yield ""
        yield "By the rules as they are now (of groups nothing is known):"
        yield from _story(answer["now"])
