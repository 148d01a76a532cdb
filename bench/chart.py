"""The chart for the README: cost per unit of work, one panel per workload, as an SVG that follows light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from bench.configurations import INTERPOSE
from bench.report import shown
from bench.results import Results
from bench.workloads import WORKLOADS

PANELS = ("gateway-1k", "forward-1k", "tls-1k", "gateway-10m", "connect")
WIDTH = 760
LABEL_WIDTH = 110
BAR_WIDTH = 520
ROW_HEIGHT = 24
TITLE_HEIGHT = 34
PANEL_GAP = 14
MARGIN = 20
# A peer that costs many times the median would press all others flat: its bar is cut, its number is not.
CUT_AT_MEDIANS = 4.0

_STYLE = """\
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328; }
  .title { font-weight: 600; }
  .unit, .foot { fill: #59636e; font-weight: 400; }
  .foot { font-size: 11px; }
  .peer { fill: #b6bfc9; }
  .ours { fill: #0969da; }
  .cut { fill: none; stroke: #ffffff; stroke-width: 3; }
  .paper { fill: #ffffff; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .unit, .foot { fill: #9198a1; }
    .peer { fill: #57606a; }
    .ours { fill: #4493f8; }
    .cut { stroke: #0d1117; }
    .paper { fill: #0d1117; }
  }
"""


@dataclass(frozen=True, slots=True)
class Mark:
    """One bar: who, how much (in the panel's unit)."""

    peer: str
    value: float


def svg(results: Results) -> str:
    """The chart of a run; `ValueError` when nothing that it shows was measured."""
    panels = [(name, marks) for name in PANELS if (marks := _marks(results, name))]
    if not panels:
        raise ValueError(f"a chart needs at least one of the workloads {', '.join(PANELS)}")
    parts: list[str] = []
    top = MARGIN
    for name, marks in panels:
        parts.extend(_panel(name, marks, top))
        top += TITLE_HEIGHT + ROW_HEIGHT * len(marks) + PANEL_GAP
    parts.append(_text(MARGIN, top + 8, f"Less is better. {results.date}, {results.machine}.", "foot"))
    height = top + MARGIN
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}">',
            "<title>CPU time per unit of work, Interpose and its peers</title>",
            f"<style>\n{_STYLE}</style>",
            f'<rect class="paper" width="{WIDTH}" height="{height}" rx="6"/>',
            *parts,
            "</svg>",
            "",
        ]
    )


def cut_length(value: float, values: Sequence[float]) -> tuple[float, bool]:
    """How much of the panel's width a bar takes, 0 to 1, and whether it had to be cut."""
    middle = sorted(values)[(len(values) - 1) // 2]
    longest = min(max(values), CUT_AT_MEDIANS * middle)
    return (1.0, value > longest) if value >= longest else (value / longest, False)


def _marks(results: Results, workload: str) -> list[Mark]:
    scale = WORKLOADS[workload].unit.scale
    costs = {peer: results.cost(workload, peer) for peer in results.workloads.get(workload, {})}
    marks = [Mark(peer, cost * scale) for peer, cost in costs.items() if cost is not None]
    return sorted(marks, key=lambda mark: mark.value)


def _panel(name: str, marks: Sequence[Mark], top: int) -> list[str]:
    workload = WORKLOADS[name]
    title = f'{escape(workload.title)} <tspan class="unit">{escape(workload.unit.label)}</tspan>'
    parts = [f'<text class="title" x="{MARGIN}" y="{top + 18}">{title}</text>']
    values = [mark.value for mark in marks]
    left = MARGIN + LABEL_WIDTH
    for row, mark in enumerate(marks):
        y = top + TITLE_HEIGHT + row * ROW_HEIGHT
        share, is_cut = cut_length(mark.value, values)
        width = max(2, round(share * BAR_WIDTH))
        kind = "ours" if mark.peer == INTERPOSE else "peer"
        parts.append(_text(MARGIN, y + 12, mark.peer))
        parts.append(
            f'<rect class="{kind}" x="{left}" y="{y}" width="{width}" height="16" rx="2">'
            f"<title>{escape(mark.peer)}: {shown(mark.value)} {escape(workload.unit.label)}</title></rect>"
        )
        if is_cut:
            x = left + width - 28
            parts.append(f'<path class="cut" d="M{x} {y - 2} l6 10 l-6 10 M{x + 8} {y - 2} l6 10 l-6 10"/>')
        parts.append(_text(left + width + 8, y + 12, shown(mark.value)))
    return parts


def _text(x: int, y: int, text: str, kind: str = "") -> str:
    css = f' class="{kind}"' if kind else ""
    return f'<text{css} x="{x}" y="{y}">{escape(text)}</text>'
