"""Flows in a terminal: as rows, and one of them in full. Nothing of what passed reaches a terminal as it was."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from interpose.cli.status_view import size
from interpose.cli.table import Cell, console, table
from interpose.core.printable import printable

COLUMNS = ("ID", "At", "Method", "URL", "Status", "Type", "Size", "Took", "")
_NUMBERS = ("ID", "Size", "Took")
_LEFT_OUT = ("Type", "Size")
"""Of a terminal with less than this many columns, so that URLs can be read in it."""
_ALL_FROM = 100
_MARKS = {"star": "★", "red": "●", "orange": "●", "yellow": "●", "green": "●", "blue": "●"}
_STYLES = {2: "green", 3: "cyan", 4: "yellow", 5: "bold red"}
_SHOWN_LINES = 200


def flow_table(flows: Iterable[Mapping[str, Any]]) -> Table:
    """Flows as a table, as wide as the terminal."""
    shown = [name not in _LEFT_OUT or console().width >= _ALL_FROM for name in COLUMNS]
    rows = (tuple(itertools.compress(cells(flow), shown)) for flow in flows)
    return table(tuple(itertools.compress(COLUMNS, shown)), rows, numbers=_NUMBERS)


def cells(flow: Mapping[str, Any]) -> tuple[Cell, ...]:
    """A flow as a row of COLUMNS."""
    status = flow["status"]
    shown = (
        Text(str(status), _STYLES.get(status // 100, ""))
        if status
        else Text(_shown(flow["failure"]) or "-", "bold red")
    )
    notes = [_MARKS.get(flow["mark"], flow["mark"]), *flow["is"]]
    return (
        str(flow["id"]), time.strftime("%H:%M:%S", time.localtime(flow["started"])),
        _shown(flow["method"] or flow["kind"]), _shown(flow["url"]), shown, _shown(flow["type"]),
        size(flow["response_size"]), took(flow["duration_ms"]), _shown(" ".join(note for note in notes if note)),
    )  # fmt: skip


def flow_line(flow: Mapping[str, Any]) -> str:
    """A flow as one line of text."""
    return "  ".join(str(cell) for cell in cells(flow) if str(cell))


def flow_story(
    flow: Mapping[str, Any], previews: Mapping[str, Mapping[str, Any]], messages: Mapping[str, Any] | None
) -> Iterator[str]:
    """Lines that tell all of a flow."""
    yield from _how_it_went(flow)
    for attempt in flow["attempts"]:
        yield ""
        yield from _attempt(attempt, flow["kind"] == "http")
    if flow["kind"] == "http" or flow["request"]["fields"]:
        yield from _part(f"{flow['method']} {flow['url']}", flow["request"], previews["request"])
        if flow["status"]:
            yield from _part(f"{flow['status']} {flow['reason']}", flow["response"], previews["response"])
    if messages is not None:
        yield ""
        for message in messages["messages"]:
            arrow = "→" if message["inbound"] else "←"
            text = message["text"] if message["text"] is not None else f"({message['size']} octets)"
            yield f"{arrow} {took(message['at_ms'])}  {_shown(text)}{' …' if message['cut'] else ''}"
        if messages["more"]:
            yield f"… of {flow['messages_total']} messages"


def took(ms: float) -> str:
    """A duration as people read it."""
    if ms < 1000:
        return f"{ms:.1f} ms" if ms < 10 else f"{ms:.0f} ms"
    return f"{ms / 1000:.2f} s"


def _how_it_went(flow: Mapping[str, Any]) -> Iterator[str]:
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(flow["started"]))
    yield f"Flow {flow['id']}, {flow['kind']}, began {began}, took {took(flow['duration_ms'])}."
    who = f", user {_shown(flow['user'])}" if flow["user"] else ""
    yield f"From {_shown(flow['client'])}{who} to {_shown(flow['listener'])} ({_shown(flow['local'])})."
    if flow["failure"]:
        yield f"Failed: {_shown(flow['failure'])} ({_shown(flow['side'])}). {_shown(flow['detail'])}"
    if flow["is"]:
        yield f"What was done: {', '.join(flow['is'])}."
    if flow["mark"] or flow["comment"]:
        yield f"Marked {_shown(flow['mark']) or 'with nothing'}. {_shown(flow['comment'])}".rstrip()
    for name, value in flow["notes"].items():
        yield f"{_shown(name)}: {_shown(value)}"


def _attempt(attempt: Mapping[str, Any], is_answered: bool) -> Iterator[str]:
    """A try. A conversation has no one answer that could be missing, and a flow of datagrams no connection."""
    if attempt["reused"]:
        how = ", on a connection that was open"
    elif attempt["connected_ms"]:
        how = f", connected after {took(attempt['connected_ms'])}"
    else:
        how = ", not connected" if is_answered or attempt["failure"] else ""
    peer = f" ({_shown(attempt['peer'])})" if attempt["peer"] else ""
    end = f"status {attempt['status']}" if attempt["status"] else _shown(attempt["failure"])
    if is_answered and not end:
        end = "no answer"
    yield f"Upstream {_shown(attempt['origin'])}{peer}{how}{f': {end}' if end else '.'}"


def _part(first: str, part: Mapping[str, Any], preview: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield _shown(first)
    for name, value in part["fields"]:
        yield f"{_shown(name)}: {_shown(value)}"
    if not part["size"]:
        return
    yield ""
    text = preview["text"]
    if text is None:
        yield f"({part['size']} octets, {preview['kind']})"
        return
    lines = printable(text.encode("utf-8", "backslashreplace"), keep="\n\t").split("\n")
    yield from lines[:_SHOWN_LINES]
    if len(lines) > _SHOWN_LINES or preview["cut"]:
        yield f"… ({part['size']} octets in all)"


def _shown(text: str) -> str:
    return printable(text.encode("utf-8", "backslashreplace"))
