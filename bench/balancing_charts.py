"""The pictures of docs/balancing.md, drawn from simulations (`bench.balancing`): `python -m bench.balancing_charts`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from bench.balancing import Machine, Simulation, steady
from interpose.upstream.options import Balance, GroupOptions

DOCS = Path(__file__).parent.parent / "docs"
WIDTH, HEIGHT = 760, 300
LEFT, RIGHT, TOP, BOTTOM = 60, 140, 40, 44

_STYLE = """\
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328; }
  .title { font-weight: 600; }
  .scale { font-size: 11px; fill: #59636e; }
  .line { fill: none; stroke-width: 2; }
  .grid { stroke: #d1d9e0; }
  .c0 { stroke: #0969da; } .c1 { stroke: #bc4c00; } .c2 { stroke: #1a7f37; }
  .t0 { fill: #0969da; } .t1 { fill: #bc4c00; } .t2 { fill: #1a7f37; }
  .paper { fill: #ffffff; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .scale { fill: #9198a1; }
    .grid { stroke: #30363d; }
    .c0 { stroke: #4493f8; } .c1 { stroke: #f0883e; } .c2 { stroke: #3fb950; }
    .t0 { fill: #4493f8; } .t1 { fill: #f0883e; } .t2 { fill: #3fb950; }
    .paper { fill: #0d1117; }
  }
"""


@dataclass(frozen=True)
class Line:
    """One line: a value for each second."""

    name: str
    values: Sequence[float]


def chart(title: str, unit: str, lines: Sequence[Line]) -> str:
    """Lines over seconds."""
    most = max(max(line.values) for line in lines) * 1.05
    seconds = max(len(line.values) for line in lines)
    across, down = (WIDTH - LEFT - RIGHT) / (seconds - 1), (HEIGHT - TOP - BOTTOM) / most
    parts = [f'<text class="title" x="{LEFT}" y="24">{escape(title)}</text>']
    for step in range(5):
        value = most * step / 4
        y = HEIGHT - BOTTOM - value * down
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="scale" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:.0f}</text>')
    for second in range(0, seconds, 10):
        x = LEFT + second * across
        parts.append(
            f'<text class="scale" x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{second} s</text>'
        )
    for number, line in enumerate(lines):
        points = " ".join(
            f"{LEFT + second * across:.1f},{HEIGHT - BOTTOM - value * down:.1f}"
            for second, value in enumerate(line.values)
        )
        parts.append(f'<polyline class="line c{number}" points="{points}"/>')
        parts.append(
            f'<text class="t{number}" x="{WIDTH - RIGHT + 12}" y="{TOP + 20 + number * 22}">{line.name}</text>'
        )
    parts.append(f'<text class="scale" x="{LEFT}" y="{HEIGHT - 8}">{escape(unit)}</text>')
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{WIDTH}" height="{HEIGHT}" '
            f'viewBox="0 0 {WIDTH} {HEIGHT}">',
            f"<title>{escape(title)}</title>",
            f"<style>\n{_STYLE}</style>",
            f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="6"/>',
            *parts,
            "</svg>",
            "",
        ]
    )


def recovery() -> str:
    """What a server gets that refused for ten seconds, with slow start and without."""
    lines = []
    for name, slow_start_s in (("at once", 0.0), ("slow start 20 s", 20.0)):
        machines = [Machine(steady(0.01)) for _ in range(10)]
        machines[0] = Machine(lambda now: None if 10.0 <= now < 20.0 else 0.01)
        options = GroupOptions(slow_start_s=slow_start_s)
        simulation = Simulation(machines, options, rate=1000.0)
        simulation.run(60.0)
        lines.append(Line(name, [simulation.counts(second, second + 1.0)[0] for second in range(59)]))
    return chart(
        "A server that was away from second 10 to 20", "Its requests a second; ten servers share 1,000.", lines
    )


def slow_server() -> str:
    """The slowest of twenty answers while one of ten servers is ten times slower."""
    lines = []
    ways: list[Balance] = ["round_robin", "least_active", "fastest"]
    for balance in ways:
        machines = [Machine(steady(0.04), places=4) for _ in range(10)]
        machines[0] = Machine(lambda now: 0.4 if 10.0 <= now < 40.0 else 0.04, places=4)
        simulation = Simulation(machines, GroupOptions(balance=balance), rate=200.0)
        simulation.run(60.0)
        values = []
        for second in range(59):
            took = sorted(row.took_s for row in simulation.rows if second <= row.started < second + 1)
            values.append(min(1.0, took[int(0.95 * len(took))]) * 1000)
        lines.append(Line(balance, values))
    unit = "Milliseconds that 95 % of the requests stay below, cut at 1,000; ten servers, 200 requests a second."
    return chart("One of ten servers is ten times slower from second 10 to 40", unit, lines)


if __name__ == "__main__":
    for name, drawn in (("recovery", recovery()), ("slow", slow_server())):
        (DOCS / f"balancing-{name}.svg").write_text(drawn, "utf-8")
        print(f"docs/balancing-{name}.svg written.")
