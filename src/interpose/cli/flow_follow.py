"""`interpose flows follow`: flows as they pass."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from interpose.cli import instance
from interpose.cli.control_client import NoAnswer, Received, ask, asked
from interpose.cli.say import Refused

TIMEOUT_S = 30.0
REST_S = 0.25
"""With a query the journal is asked again so often at most."""
MOST_AT_ONCE = 1000
_REDRAWN_PER_S = 8

Row = dict[str, Any]
Show = Callable[[Iterable[Row], int], None]


class Happening(NamedTuple):
    """One event: its kind and its data."""

    kind: str
    data: Any


async def follow(control: Path, query: str, *, as_json: bool = False) -> None:
    """Show flows that match `query` until the instance ends."""
    if query:
        await newest_of(control, query)  # what is wrong with it is said before anything is waited for
    with contextlib.ExitStack() as until_the_end:
        show = _lines(as_json) if as_json or not sys.stdout.isatty() else until_the_end.enter_context(_live(query))
        try:
            async with asked(control, "GET", "/v1/events") as received:
                if received.status >= 300:
                    raise instance.refused(control, received.status, json.loads(await received.content()))
                await _follow(control, query, received, show)
        except NoAnswer as error:
            raise Refused(f"{control.parent.name}: {error}", status=1) from None


async def _follow(control: Path, query: str, received: Received, show: Show) -> None:
    newest = await newest_of(control, "")
    looked_at = 0.0
    async for events in happenings(received):
        missed = sum(event.data["count"] for event in events if event.kind == "dropped")
        rows = [event.data for event in events if event.kind == "flow"]
        if query and (rows or missed):
            await asyncio.sleep(max(0.0, looked_at + REST_S - time.monotonic()))
            looked_at = time.monotonic()
            rows = await _matching(control, query, newest)
            missed = 0
        if rows or missed:
            newest = max([newest, *(row["id"] for row in rows)])
            show(rows, missed)


async def newest_of(control: Path, query: str) -> int:
    """The number of the newest flow that matches, 0 without one."""
    rows = await _asked(control, {"q": query, "limit": 1})
    return int(rows[0]["id"]) if rows else 0


async def _matching(control: Path, query: str, after: int) -> list[Row]:
    rows = await _asked(control, {"q": query, "after": after, "limit": MOST_AT_ONCE})
    return rows[::-1]


async def _asked(control: Path, asked_for: dict[str, Any]) -> list[Row]:
    answer = await ask(control, "GET", f"/v1/flows?{urlencode(asked_for)}", TIMEOUT_S)
    if answer.status >= 300:
        raise instance.refused(control, answer.status, answer.content)
    rows: list[Row] = answer.content["flows"]
    return rows


async def happenings(received: Received) -> AsyncIterator[list[Happening]]:
    """Events as they come, those that came together in one list (WHATWG HTML, 9.2.6, as far as we write them)."""
    rest = b""
    async for piece in received.pieces():
        *blocks, rest = (rest + piece).split(b"\n\n")
        events: list[Happening] = []
        for block in blocks:
            fields = dict(line.split(b": ", 1) for line in block.split(b"\n") if not line.startswith(b":"))
            if b"data" in fields:
                events.append(Happening(fields.get(b"event", b"").decode(), json.loads(fields[b"data"])))
        if events:
            yield events


def _lines(as_json: bool) -> Show:
    """A line for each flow."""
    from interpose.cli.flow_view import flow_line

    def show(rows: Iterable[Row], missed: int) -> None:
        for row in rows:
            print(json.dumps(row) if as_json else flow_line(row))
        sys.stdout.flush()
        if missed:
            print(f"interpose: {missed} events passed too quickly to be shown.", file=sys.stderr)

    return show


@contextlib.contextmanager
def _live(query: str) -> Any:
    """A table of the newest, as many as the terminal has lines for."""
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    from interpose.cli.flow_view import flow_table
    from interpose.cli.table import console

    screen = console()
    shown: deque[Row] = deque(maxlen=500)
    counts = {"flows": 0, "missed": 0}

    def drawn() -> Group:
        lines = max(1, screen.size.height - 4)
        rows = list(shown)[-lines:]
        count = counts["flows"]
        said = f"{count} flow{'' if count == 1 else 's'}{f' that match {query}' if query else ''}"
        more = f", {counts['missed']} not shown" if counts["missed"] else ""
        return Group(Text(f"{said}{more}; Ctrl-C ends it.", "dim"), flow_table(rows))

    with Live(get_renderable=drawn, console=screen, refresh_per_second=_REDRAWN_PER_S, vertical_overflow="crop"):

        def show(rows: Iterable[Row], missed: int) -> None:
            for row in rows:
                shown.append(row)
                counts["flows"] += 1
            counts["missed"] += missed

        yield show
