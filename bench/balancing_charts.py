"""The pictures of docs/balancing.md, drawn from simulations (`bench.balancing`): `python -m bench.balancing_charts`."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape
from zlib import crc32

from bench.balancing import Machine, Simulation, members, steady
from interpose.upstream.group import Group
from interpose.upstream.options import Balance, GroupOptions

DOCS = Path(__file__).parent.parent / "docs"
SIZES = (10, 30, 100, 300, 1000)
PLACES = [f"{number:,} servers" for number in SIZES]
WIDTH, HEIGHT = 760, 300
LEFT, RIGHT, TOP, BOTTOM = 60, 140, 40, 44

_STYLE = """\
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328; }
  .title { font-weight: 600; }
  .scale { font-size: 11px; fill: #59636e; }
  .line { fill: none; stroke-width: 2; }
  .line.c0 { stroke-width: 4; }
  .grid { stroke: #d1d9e0; }
  .c0 { stroke: #0969da; } .c1 { stroke: #bc4c00; } .c2 { stroke: #1a7f37; } .c3 { stroke: #8250df; }
  .t0 { fill: #0969da; } .t1 { fill: #bc4c00; } .t2 { fill: #1a7f37; } .t3 { fill: #8250df; }
  .paper { fill: #ffffff; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .scale { fill: #9198a1; }
    .grid { stroke: #30363d; }
    .c0 { stroke: #4493f8; } .c1 { stroke: #f0883e; } .c2 { stroke: #3fb950; } .c3 { stroke: #ab7df8; }
    .t0 { fill: #4493f8; } .t1 { fill: #f0883e; } .t2 { fill: #3fb950; } .t3 { fill: #ab7df8; }
    .paper { fill: #0d1117; }
  }
"""


@dataclass(frozen=True)
class Line:
    """One line: a value for each place on the axis, second after second where that says nothing else."""

    name: str
    values: Sequence[float]


def chart(title: str, unit: str, lines: Sequence[Line], places: Sequence[str] = ()) -> str:
    """Lines over seconds, or over these places."""
    step_up = _step(max(max(line.values) for line in lines) / 4)
    most = 4 * step_up
    seconds = max(len(line.values) for line in lines)
    marks = list(enumerate(places)) or [(second, f"{second} s") for second in range(0, seconds, 10)]
    across, down = (WIDTH - LEFT - RIGHT) / (seconds - 1), (HEIGHT - TOP - BOTTOM) / most
    parts = [f'<text class="title" x="{LEFT}" y="24">{escape(title)}</text>']
    for step in range(5):
        value = step_up * step
        y = HEIGHT - BOTTOM - value * down
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        shown = f"{value:.{0 if most > 9 else 1}f}"
        parts.append(f'<text class="scale" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{shown}</text>')
    for second, said in marks:
        x = LEFT + second * across
        parts.append(f'<text class="scale" x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{said}</text>')
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


def _step(least: float) -> float:
    """The next round number."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 2.5, 3, 4, 5, 10) if factor * power >= least)


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


def fairness() -> str:
    """How much more than its part the busiest of 10 to 1,000 equal servers gets."""
    ways: list[Balance] = ["round_robin", "least_active", "fastest", "hash"]
    lines = []
    for balance in ways:
        values = []
        for number in SIZES:
            machines = [Machine(steady(0.01)) for _ in range(number)]
            simulation = Simulation(
                machines, GroupOptions(balance=balance), rate=20.0 * number, key=lambda chance: chance.randbytes(4)
            )
            simulation.run(2.5)
            values.append(max(simulation.counts().values()) * number / len(simulation.rows))
        lines.append(Line(balance, values))
    unit = "The requests of the busiest server, 1.0 being its part; fifty for each; with hash, all of different keys."
    return chart("How evenly equal servers are asked", unit, lines, PLACES)


def movement() -> str:
    """How many keys have another server when one of 10 to 1,000 goes."""
    keys = [b"/key/%d" % key for key in range(10_000)]
    moved, remainder = [], []
    for number in SIZES:
        group = Group("g", random.Random(1).random)
        group.configure(members(number), GroupOptions(balance="hash"))
        before = [_owner(group, key) for key in keys]
        group.drain([group.servers[number // 2].origin], 0.0)
        after = [_owner(group, key) for key in keys]
        moved.append(_percent(sum(one != other for one, other in zip(before, after, strict=True)), len(keys)))
        remainders = [(crc32(key) % number, crc32(key) % (number - 1)) for key in keys]
        remainder.append(_percent(sum(one != other for one, other in remainders), len(keys)))
    unit = "Percent of 10,000 keys that have another server than before."
    lines = [Line("by remainder", remainder), Line("hash", moved)]
    return chart("One server of so many goes", unit, lines, PLACES)


def _owner(group: Group, key: bytes) -> int:
    server = group.choose(key, 0.0)
    assert server is not None
    group.ended(server)
    return server.index


def _percent(part: int, whole: int) -> float:
    return 100.0 * part / whole


PICTURES = {"recovery": recovery, "slow": slow_server, "fairness": fairness, "movement": movement}

if __name__ == "__main__":
    for name, draw in PICTURES.items():
        (DOCS / f"balancing-{name}.svg").write_text(draw(), "utf-8")
        print(f"docs/balancing-{name}.svg written.")
