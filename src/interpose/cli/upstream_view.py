"""Upstreams as people read them in a terminal: each with its last quarter of an hour, then its servers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from interpose.cli.table import table
from interpose.core.printable import printable

Row = Mapping[str, Any]

_STYLES = {
    "up": "green",
    "trying": "yellow",
    "drained": "yellow",
    "ejected": "bold red",
    "down": "bold red",
}
_USABLE = ("up", "trying", "lone")
_NUMBERS = ("Active", "Requests", "Failed", "Latency")
_BLOCKS = "▁▂▃▄▅▆▇█"
BARS = 15
"""Bars of a small chart: one for each minute that is kept."""


def upstreams_view(servers: Sequence[Row], past: Row, *, with_charts: bool = True) -> RenderableType:
    """The servers and how they stand; above them how each upstream has fared, as far as that is kept in `past`."""
    parts: list[RenderableType] = []
    if series := past.get("upstreams", ()):
        parts += [_upstreams(series, servers, with_charts), Text()]
    parts.append(_servers(servers))
    reasons = list(_reasons(servers))
    return Group(*parts, *([Text(), *reasons] if reasons else []))


def _upstreams(series: Sequence[Row], servers: Sequence[Row], with_charts: bool) -> RenderableType:
    columns = ["Upstream", "Get requests", "Per s", "15 minutes", "Latency", "15 minutes"]
    rows = []
    for one in series:
        states = [row["state"] for row in servers if row["upstream"] == one["upstream"]]
        usable = sum(state in _USABLE for state in states)
        style = "" if usable == len(states) else "yellow" if usable else "bold red"
        rows.append(
            [
                one["upstream"],
                Text(f"{usable} of {len(states)}", style),
                _per_second(_newest(one["requests"])),
                small_chart(one["requests"]),
                _in_ms(_newest(one["latency_ms"])),
                small_chart(one["latency_ms"]),
            ]
        )
    if not with_charts:
        columns, rows = [columns[at] for at in (0, 1, 2, 4)], [[row[at] for at in (0, 1, 2, 4)] for row in rows]
    return table(columns, rows, numbers=("Per s", "Latency"))


def _servers(servers: Sequence[Row]) -> RenderableType:
    return table(
        ("Upstream", "Server", "State", *_NUMBERS),
        [
            (
                row["upstream"],
                row["server"],
                Text(_state_of(row), style=_STYLES.get(row["state"], "")),
                "-" if row.get("active") is None else str(row["active"]),
                str(row["requests"]),
                str(row["failures"] + row.get("errors", 0)),
                _in_ms((row["latency_s"] or 0) * 1000 or None),
            )
            for row in servers
        ],
        numbers=_NUMBERS,
    )


def _reasons(servers: Sequence[Row]) -> Iterator[Text]:
    """Why servers get no requests."""
    for row in servers:
        if row["why"] and row["state"] not in _USABLE:
            why = row["why"].removeprefix(f"{row['server']} ")  # failures name the server themselves
            yield Text(f"{row['server']} is {row['state']}: {printable(why.encode())}", "red")


def _state_of(row: Row) -> str:
    """The state, and in how many workers when they do not agree: each judges by its own requests."""
    workers = row.get("workers", {})
    if len(workers) < 2:
        return "alone" if row["state"] == "lone" else str(row["state"])
    return ", ".join(f"{state} in {count}" for state, count in workers.items())


def small_chart(values: Sequence[float | None], bars: int = BARS, kept: int = 450) -> str:
    """The means of equal parts of the last `kept` values as bars, the newest at the right; blank where nothing is
    known."""
    each = kept // bars
    ends = [len(values) - each * number for number in range(bars)]
    parts = [[value for value in values[max(0, end - each) : max(0, end)] if value is not None] for end in ends[::-1]]
    means = [sum(part) / len(part) if part else None for part in parts]
    most = max((mean for mean in means if mean is not None), default=0.0)
    return "".join(" " if mean is None else _BLOCKS[_step(mean, most)] for mean in means)


def _step(mean: float, most: float) -> int:
    return min(len(_BLOCKS) - 1, int(mean / most * len(_BLOCKS))) if most > 0 else 0


def _newest(values: Sequence[float | None]) -> float | None:
    return values[-1] if values else None


def _in_ms(ms: float | None) -> str:
    """A short time; a dash when none is known."""
    if ms is None:
        return "-"
    return f"{ms:.1f} ms" if ms < 1000 else f"{ms / 1000:.1f} s"


def _per_second(number: float | None) -> str:
    """A rate, with a decimal only while it is small."""
    if number is None:
        return "-"
    return f"{number:.1f}" if number < 10 else f"{number:.0f}"
