"""What `interpose status` shows: one line about the instance, its listeners, its workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from interpose.cli.table import table
from interpose.core.printable import printable

_STATES = {
    "serving": "green",
    "ready": "green",
    "starting": "yellow",
    "draining": "yellow",
    "dead": "bold red",
}
_MOST_RULES = 30
_BYTE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_WORKER_NUMBERS = ("Restarts", "Connections", "Requests", "Per s", "Memory")


def status_view(status: Mapping[str, Any]) -> RenderableType:
    """The status as people read it; what an instance does not tell is shown as a dash."""
    listeners = table(
        ("Listener", "Role", "Address"),
        [(_text(row, "name"), _text(row, "role"), _text(row, "url")) for row in _rows(status, "listeners")],
    )
    workers = table(
        ("Worker", "Process", "State", *_WORKER_NUMBERS),
        [
            (
                _text(row, "number"),
                _text(row, "pid"),
                Text(_text(row, "state"), style=_STATES.get(_text(row, "state"), "")),
                *(_text(row, key) for key in ("restarts", "connections", "requests")),
                rate(row.get("requests_per_s")),
                size(row.get("memory_bytes")),
            )
            for row in _rows(status, "workers")
        ],
        numbers=_WORKER_NUMBERS,
    )
    top = headline(status), *console_link(status), *looked_into(status), *inspected(status), *failed_reload(status)
    return Group(*top, Text(), listeners, Text(), workers)


def certificates_view(certificates: Sequence[Mapping[str, Any]]) -> RenderableType:
    """The certificates of listeners, with what is wrong."""
    return table(
        ("Listener", "Certificate for", "Expires", "Problem"),
        [
            (
                _text(row, "listener"),
                ", ".join(row.get("names") or ()) or _text(row, "certificate"),
                _text(row, "expires").replace("T", " ")[:16],
                Text(row.get("problem") or "", style="bold red"),
            )
            for row in certificates
        ],
    )


def scripts_view(scripts: Sequence[Mapping[str, Any]]) -> RenderableType:
    """The scripts, how often they failed, and what is wrong with them."""
    return table(
        ("Script", "Functions", "Errors", "Problem"),
        [
            (
                printable(_text(row, "file").encode()),
                ", ".join(row.get("functions") or ()),
                _text(row, "errors"),
                Text(printable(_problem_of(row).encode()), style="bold red"),
            )
            for row in scripts
        ],
        numbers=("Errors",),
    )


def _problem_of(script: Mapping[str, Any]) -> str:
    """Why it does not run as it stands, which functions are not called, else what went wrong last."""
    if broken := script.get("broken"):
        return f"changed, and cannot be loaded: {broken}"
    parts = [f"not called: {', '.join(off)}"] if (off := script.get("off")) else []
    for trouble in (script.get("troubles") or [])[:1]:
        times = "once" if trouble["count"] == 1 else f"{trouble['count']} times"
        parts.append(f"line {trouble['line']} in {trouble['function']}: {trouble['error']} ({times})")
    return "; ".join(parts)


def rules_view(rules: Sequence[Mapping[str, Any]]) -> RenderableType:
    """The access rules, and how often each decided; of many only those that decided most."""
    if len(rules) > _MOST_RULES:
        rules = sorted(rules, key=lambda row: row.get("hits") or 0, reverse=True)[:_MOST_RULES]
    return table(
        ("Access rule", "Name", "Action", "Hits"),
        [
            (
                _text(row, "number"),
                printable(_text(row, "name").encode()),
                _text(row, "action") + " (on trial)" * bool(row.get("dry_run")),
                _text(row, "hits"),
            )
            for row in rules
        ],
        numbers=("Hits",),
    )


def blocklists_view(lists: Sequence[Mapping[str, Any]]) -> RenderableType:
    """The block lists, how many rules each has, and how often it blocked something."""
    return table(
        ("Block list", "Rules", "Hits", "Problem"),
        [
            (
                _text(row, "name"),
                _text(row, "rules"),
                _text(row, "hits"),
                Text(printable((row.get("problem") or "").encode()), style="bold red"),
            )
            for row in lists
        ],
        numbers=("Rules", "Hits"),
    )


def limits_view(limits: Sequence[Mapping[str, Any]]) -> RenderableType:
    """The limits, and how often each refused something."""
    return table(
        ("Limit", "Allows", "Refused"),
        [(_text(row, "name"), printable(_text(row, "allows").encode()), _text(row, "refused")) for row in limits],
        numbers=("Refused",),
    )


def headline(status: Mapping[str, Any]) -> Text:
    """Name, version, process, age and generation."""
    line = Text.assemble((_text(status, "name"), "bold"), f"  Interpose {_text(status, 'version')}")
    line.append(f"  process {_text(status, 'pid')}", "dim")
    line.append(f"  up {duration(status.get('uptime_s'))}", "dim")
    line.append(f"  generation {_text(status, 'generation')}", "dim")
    if status.get("ready") is False:
        line.append("  not ready", "bold red")
    return line


def console_link(status: Mapping[str, Any]) -> list[Text]:
    """Where a browser is let in, when there is a console."""
    link = status.get("console")
    return [Text(f"console at {link}", "dim", no_wrap=True, overflow="ignore")] if isinstance(link, str) else []


def looked_into(status: Mapping[str, Any]) -> list[Text]:
    """What became of tunnels, where TLS is looked into."""
    counters = status.get("counters")
    if not isinstance(counters, dict) or "intercepted_tunnels_total" not in counters:
        return []
    words = ("intercepted_tunnels", "looked into"), ("passed_tunnels", "passed"), ("refused_tunnels", "refused")
    parts = [f"{_text(counters, f'{name}_total')} {word}" for name, word in words]
    learned, minted = (_text(counters, f"{name}_total") for name in ("learned_tunnels", "minted_certificates"))
    made, times = ("" if count == "1" else "s" for count in (minted, learned))
    said = f"{minted} certificate{made} made, {learned} time{times} not believed"
    return [Text(f"tunnels: {', '.join(parts)}; {said}", "dim")]


def inspected(status: Mapping[str, Any]) -> list[Text]:
    """What the firewall did, where there is one."""
    counters = status.get("counters")
    if not isinstance(counters, dict) or "firewall_blocked_total" not in counters:
        return []
    words = ("blocked", "refused"), ("detected", "only noted"), ("skipped", "not inspected whole")
    said = ", ".join(f"{_text(counters, f'firewall_{name}_total')} {word}" for name, word in words)
    lines = [Text(f"firewall: {said}", "dim")]
    if counters.get("firewall_deadlines_total") or counters.get("firewall_deaths_total"):
        late, dead = (_text(counters, f"firewall_{name}_total") for name in ("deadlines", "deaths"))
        lines.append(Text(f"  its processes took too long {late} times and died {dead} times", "yellow"))
    return lines


def failed_reload(status: Mapping[str, Any]) -> list[Text]:
    """Why the configuration that runs is not the one in the file, when the last reload failed."""
    reloads = status.get("reloads")
    errors = reloads.get("errors") if isinstance(reloads, dict) else None
    if not isinstance(errors, list) or not errors:
        return []
    return [
        Text("The last reload failed; the old configuration goes on.", "bold red"),
        *(Text(f"  {e}") for e in errors),
    ]


def duration(seconds: object) -> str:
    """The two largest units of a duration: `3 d 4 h`, `12 min 5 s`."""
    if not isinstance(seconds, int | float):
        return "-"
    rest = int(seconds)
    parts: list[str] = []
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, length)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def size(octets: object) -> str:
    """A number of bytes in the unit that keeps it readable: `32.5 MiB`."""
    if not isinstance(octets, int | float):
        return "-"
    number, unit = float(octets), 0
    while number >= 1024 and unit < len(_BYTE_UNITS) - 1:
        number, unit = number / 1024, unit + 1
    return f"{number:.0f} {_BYTE_UNITS[unit]}" if unit == 0 or number >= 100 else f"{number:.1f} {_BYTE_UNITS[unit]}"


def rate(per_second: object) -> str:
    """A number per second, with a decimal only while it is small."""
    if not isinstance(per_second, int | float):
        return "-"
    return f"{per_second:.1f}" if per_second < 10 else f"{per_second:.0f}"


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "-" if value is None else str(value)


def _rows(status: Mapping[str, Any], key: str) -> Sequence[Mapping[str, Any]]:
    rows = status.get(key)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
