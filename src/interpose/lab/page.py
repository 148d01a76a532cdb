"""The page of the manual for an experiment, made from a run of it.

A page is the same after every run: ports have stand-ins, times are left out.
"""

from __future__ import annotations

from collections.abc import Iterator

from interpose.lab.diagram import drawn
from interpose.lab.experiment import Report
from interpose.lab.scene import Scene

WIDTH = 96
VARIES = "differs from run to run"


def page(report: Report) -> str:
    """The page, in Markdown."""
    return "\n".join(page_lines(report)).rstrip("\n") + "\n"


def page_lines(report: Report) -> Iterator[str]:
    """Its lines."""
    experiment, scene = report.experiment, report.scene
    yield f"# {experiment.question}"
    yield ""
    yield f"`interpose lab run {experiment.name}` shows this; here are stand-ins for what is different each time."
    yield ""
    yield from picture(scene)
    yield ""
    if scene.facts:
        yield "| | |"
        yield "|---|---|"
        for fact in scene.facts:
            value = scene.steady(fact.value) if fact.stand_in is None else fact.stand_in
            yield f"| {in_cell(fact.name)} | {in_cell(value)} |"
        yield ""
    for exhibit in scene.exhibits:
        yield f"{exhibit.title}:"
        yield ""
        yield "```text"
        yield from (scene.steady(line) for line in exhibit.lines)
        yield "```"
        yield ""
    for paragraph in experiment.paragraphs:
        yield paragraph
        yield ""
    yield "Read: " + " · ".join(link(place) for place in experiment.code)


def picture(scene: Scene) -> Iterator[str]:
    """The diagram, without times."""
    yield "```text"
    events = [event._replace(text=scene.steady(event.text)) for event in scene.events]
    for line in drawn(scene.parts, events, WIDTH, clock=False):
        yield "".join(span.text for span in line).rstrip(" ")
    yield "```"


def link(place: str) -> str:
    """A link from a page in docs/lab to a file of the source."""
    file, _, name = place.partition(":")
    shown = f"{file}, `{name}`" if name else file
    return f"[{shown}](../../src/interpose/{file})"


def in_cell(text: str) -> str:
    """The text as the cell of a table."""
    return text.replace("|", "\\|")
