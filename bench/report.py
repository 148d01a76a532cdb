"""The verdicts on a run, and its tables."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from bench.configurations import INTERPOSE, INTERPOSE_LEAST, INTERPOSE_SILENT, INTERPOSE_TURNS, INTERPOSE_TWO
from bench.results import Results, Series
from bench.workloads import WORKLOADS

Row = list[str]


@dataclass(frozen=True, slots=True)
class Table:
    """A table of text."""

    title: str
    columns: Row
    rows: list[Row]


class Verdict(Enum):
    """What a figure is worth beside its bar."""

    HOPE_MET = "hope met"
    MET = "met"
    MISSED = "missed"
    UNKNOWN = "not measured"


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure that must not be exceeded: a ratio to a peer's cost, or the cost itself in the workload's unit; with
    another figure than the cost, that one, or what it has more than the peer's."""

    workload: str
    against: str | None
    bar: float
    hope: float | None = None
    subject: str = INTERPOSE
    figure: str = "cost"


@dataclass(frozen=True, slots=True)
class Judged:
    """A bar with the figure of this run."""

    bar: Bar
    figure: float | None
    verdict: Verdict


BARS = (
    Bar("gateway-1k", "nginx", bar=1.8, hope=1.0),
    Bar("forward-1k", "squid", bar=0.6, hope=0.35),
    Bar("forward-1k", "proxy.py", bar=0.4),
    Bar("forward-1k", "mitmproxy", bar=0.05),
    Bar("gateway-10m", "haproxy", bar=0.8, hope=0.5),
    Bar("connect", "haproxy", bar=1.1, hope=0.7),
    Bar("relay", "haproxy", bar=1.1, hope=0.7),
    Bar("datagrams", "nginx", bar=2.0),
    Bar("tls-1k", "nginx", bar=1.8, hope=1.2),
    # 0.8 of the handshakes that nginx makes in a second of CPU.
    Bar("handshake", "nginx", bar=1.25),
    Bar("balanced-1k", INTERPOSE, bar=1.15, subject=INTERPOSE_TURNS),
    Bar("balanced-1k", INTERPOSE, bar=1.15, subject=INTERPOSE_LEAST),
    Bar("intercepted-1k", "mitmproxy", bar=0.06),
    Bar("hit-1k", "nginx", bar=1.0, hope=0.8),
    Bar("firewall-1k", "nginx", bar=1.3),
    Bar("hit-1k", "varnish", bar=1.0, hope=0.8),
    Bar("hit-1k-disk", "nginx", bar=1.3, hope=1.0),
    Bar("hit-1m", "nginx", bar=1.0),
    Bar("miss-64k", "nginx", bar=1.8),
    Bar("gzip-1m", "nginx", bar=0.7),
    Bar("idle", None, bar=5, hope=3),
    Bar("idle-tls", None, bar=40, hope=28),
    Bar("slow-reader", None, bar=256, hope=128),
    Bar("stalled-upload", None, bar=256, hope=128),
    Bar("workers", INTERPOSE, bar=1.05, subject=INTERPOSE_TWO),
    # Neither of two workers below 35 %: the busier one has at most 65 %.
    Bar("workers", None, bar=0.65, subject=INTERPOSE_TWO, figure="largest_share"),
    Bar("recorded-1k", "mitmproxy", bar=0.08),
    Bar("recorded-1k", INTERPOSE_SILENT, bar=12, figure="worker_cost"),
    Bar("start", None, bar=2.0),
)


def verdict(figure: float | None, *, bar: float, hope: float | None) -> Verdict:
    """Where a figure stands; to equal the bar or the hope is to meet it."""
    if figure is None:
        return Verdict.UNKNOWN
    if hope is not None and figure <= hope:
        return Verdict.HOPE_MET
    return Verdict.MET if figure <= bar else Verdict.MISSED


def ratio(results: Results, workload: str, subject: str, against: str) -> float | None:
    """The subject's median cost over the other's, both of this run; None when either is missing."""
    ours, theirs = results.cost(workload, subject), results.cost(workload, against)
    return ours / theirs if ours is not None and theirs else None


def judge(results: Results, bars: Sequence[Bar] = BARS) -> list[Judged]:
    """Every bar whose workload was part of this run."""
    judged = []
    for bar in bars:
        if bar.workload not in results.workloads:
            continue
        if bar.against is not None and bar.figure == "cost":
            figure = ratio(results, bar.workload, bar.subject, bar.against)
        elif bar.against is not None:
            figure = _more(results, bar)
        elif bar.figure == "cost":
            cost = results.cost(bar.workload, bar.subject)
            figure = None if cost is None else cost * WORKLOADS[bar.workload].unit.scale
        else:
            series = results.workloads[bar.workload].get(bar.subject, Series())
            figure = series.median(bar.figure)
        judged.append(Judged(bar, figure, verdict(figure, bar=bar.bar, hope=bar.hope)))
    return judged


def _more(results: Results, bar: Bar) -> float | None:
    """What the subject's figure has more than the other's, in the workload's unit; None when either is missing."""
    assert bar.against is not None
    by_peer = results.workloads[bar.workload]
    ours, theirs = [by_peer.get(peer, Series()).median(bar.figure) for peer in (bar.subject, bar.against)]
    return None if ours is None or theirs is None else (ours - theirs) * WORKLOADS[bar.workload].unit.scale


def print_report(results: Results) -> None:
    """All tables of a run on standard output: with rich where it is installed, else as Markdown."""
    for table in tables(results):
        _print_table(table)


def tables(results: Results) -> Iterator[Table]:
    """Every table of a run: one for each workload, the verdicts, and what was run."""
    for name in results.workloads:
        yield _workload_table(results, name)
    judged = judge(results)
    if judged:
        columns = ["work", "figure", "against", "bar", "hope", "verdict"]
        yield Table("What it must reach", columns, [_bar_row(one) for one in judged])
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    settings = ", ".join(f"{name} {value}" for name, value in results.options.items())
    rows = [["machine", results.machine], ["versions", versions], ["options", settings]]
    yield Table("This run", ["date", results.date], rows)


def markdown(table: Table) -> str:
    """The table so that it reads well both raw and rendered."""
    widths = [max(3, *(len(cell) for cell in column)) for column in zip(table.columns, *table.rows, strict=True)]
    lines = [table.columns, ["-" * width for width in widths], *table.rows]
    body = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    return "\n".join([f"### {table.title}", "", *body, ""])


def shown(value: float | None, *, scale: float = 1.0, suffix: str = "") -> str:
    """Three significant digits, or nothing."""
    if value is None:
        return ""
    scaled = value * scale
    digits = f"{scaled:.0f}" if abs(scaled) >= 100 else f"{scaled:.3g}"
    return digits + suffix


def _workload_table(results: Results, name: str) -> Table:
    workload = WORKLOADS[name]
    headings = [
        "peer",
        workload.unit.label,
        "lowest-highest",
        "Interpose is",
        workload.unit.rate,
        "p50",
        "p99",
        "busy",
        "larger share",
        "PSS",
        "notes",
    ]
    rows = [_peer_row(results, name, peer, series) for peer, series in results.workloads[name].items()]
    kept = [index for index in range(len(headings)) if any(row[index] for row in rows)]
    return Table(workload.title, [headings[index] for index in kept], [[row[index] for index in kept] for row in rows])


def _peer_row(results: Results, workload: str, peer: str, series: Series) -> Row:
    """A cell for each heading, empty where there is no figure."""
    if not series.rounds:
        return [peer, *[""] * 9, f"skipped: {series.skipped}"]
    scale = WORKLOADS[workload].unit.scale
    costs = [one.cost for one in series.rounds]
    beside = None if peer == INTERPOSE else ratio(results, workload, INTERPOSE, peer)
    return [
        peer,
        shown(series.median("cost"), scale=scale),
        f"{shown(min(costs), scale=scale)}-{shown(max(costs), scale=scale)}" if len(costs) > 1 else "",
        shown(beside, suffix=" x"),
        shown(series.median("rate_per_s")),
        _duration(series.median("p50_us")),
        _duration(series.median("p99_us")),
        shown(series.median("busy"), scale=100, suffix=" %"),
        shown(series.median("largest_share"), scale=100, suffix=" %"),
        shown(series.median("pss_bytes"), scale=1 / 1024**2, suffix=" MiB"),
        "; ".join([*series.notes(), *([f"then stopped: {series.skipped}"] if series.skipped else [])]),
    ]


def _bar_row(judged: Judged) -> Row:
    bar = judged.bar
    workload = WORKLOADS[bar.workload]
    if bar.figure == "largest_share":
        title, against = f"{workload.title}: larger share", "all connections"
    elif bar.figure == "worker_cost":
        title, against = f"{workload.title}: its worker alone", f"{workload.unit.label} over {bar.against}"
    else:
        title, against = workload.title, f"x {bar.against}" if bar.against else workload.unit.label
    return [
        title,
        shown(judged.figure),
        against,
        f"≤ {bar.bar:g}",
        f"≤ {bar.hope:g}" if bar.hope is not None else "",
        judged.verdict.value,
    ]


def _duration(microseconds: float | None) -> str:
    if microseconds is None or microseconds < 1000:
        return shown(microseconds, suffix=" µs")
    return shown(microseconds, scale=1e-3, suffix=" ms")


def _print_table(table: Table) -> None:
    # Piped into a file it is a page of text: Markdown serves better than a drawing of 80 columns.
    if not sys.stdout.isatty():
        print(markdown(table))
        return
    try:
        from rich.console import Console
        from rich.table import Table as Drawn
    except ImportError:
        print(markdown(table))
        return
    drawn = Drawn(*table.columns, title=table.title, title_justify="left")
    for row in table.rows:
        drawn.add_row(*row)
    Console().print(drawn)
