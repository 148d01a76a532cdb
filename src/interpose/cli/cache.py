"""`interpose cache`: what a running instance keeps, for how long, and making it forget."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from interpose.cli import instance, options

TIMEOUT_S = 30.0

app = typer.Typer(no_args_is_help=True, help="Look into the cache of a running instance, and make it forget.")

PATTERN = "A URL, a URL's beginning with * after it, host:NAME or tag:NAME."


@app.command("list")
def list_(
    pattern: Annotated[str, typer.Argument(metavar="PATTERN", help=PATTERN)] = "*",
    limit: Annotated[int, typer.Option("--limit", metavar="N", help="At most so many.", min=1, max=1000)] = 100,
    name: options.WhichName = "",
    state: options.State = "",
    as_json: options.AsJson = False,
) -> None:
    """Show what is stored, and how long it stays fresh."""
    query = urlencode({"pattern": pattern, "limit": limit})
    answer = instance.ask(name, state, "GET", f"/v1/cache?{query}", TIMEOUT_S)
    if as_json:
        instance.print_json(answer)
        return
    from interpose.cli.status_view import size
    from interpose.cli.table import console, table
    from interpose.core.printable import printable

    rows = [
        (printable(_url(row).encode()), str(row["status"]), size(row["bytes"]), _left(row)) for row in answer["stored"]
    ]
    console().print(table(("URL", "Status", "Size", "Fresh"), rows))


@app.command("show")
def show(
    url: Annotated[str, typer.Argument(metavar="URL", help="As a client asks for it.")],
    name: options.WhichName = "",
    state: options.State = "",
    as_json: options.AsJson = False,
) -> None:
    """Say what is stored for a URL, for how long and why, and why a request for it last went to the server."""
    answer = instance.ask(name, state, "GET", f"/v1/cache/show?{urlencode({'url': url})}", TIMEOUT_S)
    if as_json:
        instance.print_json(answer)
        return
    from interpose.core.printable import printable

    for line in _story(answer):
        print(printable(line.encode()))


@app.command("purge")
def purge(
    pattern: Annotated[str, typer.Argument(metavar="PATTERN", help=PATTERN)],
    soft: Annotated[
        bool, typer.Option("--soft", help="Let it be stale: to be validated, or to stand in for a server that fails.")
    ] = False,
    name: options.WhichName = "",
    state: options.State = "",
    as_json: options.AsJson = False,
) -> None:
    """Forget what is stored and meant by PATTERN."""
    import json

    content = json.dumps({"pattern": pattern, "soft": soft}).encode()
    answer = instance.ask(name, state, "POST", "/v1/cache/purge", TIMEOUT_S, content)
    if as_json:
        instance.print_json(answer)
        return
    count = answer["purged"]
    what = "1 answer" if count == 1 else f"{count} answers"
    print(f"{what} {'made stale' if soft else 'forgotten'}.")


def _url(row: dict[str, Any]) -> str:
    return str(row["key"]).removeprefix("GET ")


def _left(row: dict[str, Any]) -> str:
    left = row["fresh_s"]
    return f"{left:.0f} s left" if left > 0 else "stale"


def _story(answer: dict[str, Any]) -> list[str]:
    lines = []
    for row in answer["stored"]:
        varies = f", for one value of {', '.join(row['varies_on'])}" if row["varies_on"] else ""
        tags = f" Tags: {' '.join(row['tags'])}." if row["tags"] else ""
        lines.append(f"{_url(row)}: {row['status']}, {row['bytes']} bytes{varies}; {row['freshness']}.{tags}")
    if not lines:
        lines.append("Nothing is stored for this URL.")
    miss = answer["last_miss"]
    if miss is not None:
        lines.append(f"Last asked of the server {miss['seconds_ago']:.0f} s ago: {miss['why']}.")
    return lines
